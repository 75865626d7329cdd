from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus

from gateway.app import run_gateway
from gateway.closes import CloseCode
from gateway.settings import GatewaySettings
from services.kernel.process import SettingsError
from services.kernel.server import PortTakenError
from tests.contract.gateway.world import ANSWER_S, HANDSHAKE
from tests.contract.services.world import MASTER_KEY_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.contract.gateway.world import World

    Start = Callable[..., AbstractAsyncContextManager[World]]


async def test_no_hello_in_time_ends_the_connection(start: Start) -> None:
    """A connection that says nothing is closed when the time is over."""
    async with start(hello_timeout_s=0.05) as world, world.connect() as tab:
        assert await tab.closed() == CloseCode.HELLO_LATE.code


async def test_a_hello_in_time_keeps_the_connection(start: Start) -> None:
    """The time is that of the hello, not of the session."""
    async with start(hello_timeout_s=0.5) as world, world.tab("anna") as tab, world.connect() as silent:
        assert await silent.closed() == CloseCode.HELLO_LATE.code
        await tab.send(type="ping")
        assert await tab.receive() == {"type": "pong"}


async def test_a_bad_first_frame_is_told_and_closed(start: Start) -> None:
    """The error names the field, the close means to stay away."""
    async with start() as world, world.connect() as tab:
        await tab.hello("anna", limit=0)

        error = await tab.receive()
        assert (error["code"], error["field"]) == ("INVALID_FIELD", "limit")
        assert await tab.closed() == CloseCode.BAD_FRAME.code


async def test_a_live_session_survives_two_bad_frames(start: Start) -> None:
    """Each is answered with what was wrong, the third ends the session."""
    async with start() as world, world.tab("anna") as tab:
        for bad, code in (("{", "NOT_JSON"), ('{"type":"shout","ref":"9"}', "UNKNOWN_TYPE"), (b"\x00", "NOT_TEXT")):
            await tab.socket.send(bad)
            assert (await tab.receive())["code"] == code

        assert await tab.closed() == CloseCode.BAD_FRAME.code


async def test_a_frame_that_is_too_large_ends_the_connection(start: Start) -> None:
    """The library closes with 1009 before it reads such a frame."""
    async with start() as world, world.tab("anna") as tab:
        await tab.socket.send(json.dumps({"type": "ping", "pad": "x" * 20_000}))

        assert await tab.closed() == 1009


@pytest.mark.parametrize(
    ("path", "options", "status", "text"),
    [
        ("/", {}, 404, "/v1/inbox"),
        ("/v1/inbox/", {}, 404, "/v1/inbox"),
        ("/v1/inbox", {"subprotocols": None}, 400, "carillon.v1"),
        ("/v1/inbox", {"subprotocols": ["carillon.v9"]}, 400, "carillon.v1"),
    ],
)
async def test_a_wrong_path_or_subprotocol_is_refused_with_what_is_right(
    start: Start, path: str, options: dict[str, Any], status: int, text: str
) -> None:
    """The answer is plain HTTP and names what would be right."""
    async with start() as world:
        with pytest.raises(InvalidStatus) as caught:
            async with world.connect(path, **options):
                pass

    assert caught.value.response.status_code == status
    assert text in caught.value.response.body.decode()


@pytest.mark.parametrize("target", ["//[", "//[/v1/inbox", "//a]b", "http://[x/v1/inbox"])
async def test_a_path_that_no_url_can_have_is_a_wrong_path(start: Start, target: str) -> None:
    """It is no failure of the gateway, whatever a parser of URLs makes of it."""
    async with start() as world, world.raw(HANDSHAKE.replace("/v1/inbox", target)) as (reader, _):
        async with asyncio.timeout(ANSWER_S):
            assert await reader.readline() == b"HTTP/1.1 404 Not Found\r\n"


async def test_a_stop_closes_all_sessions(start: Start) -> None:
    """With and without a hello, a connection learns that the gateway goes away."""
    async with start() as world, world.tab("anna") as tab, world.connect() as silent:
        world.stop.set()

        assert await tab.closed() == CloseCode.GOING_AWAY.code
        assert await silent.closed() == CloseCode.GOING_AWAY.code


async def test_a_session_is_two_lines_in_the_log(start: Start, lines: list[Any]) -> None:
    """One at its welcome, one at its end; its frames are counted, not logged."""
    async with start() as world, world.tab("anna") as tab:
        await world.insert("anna", "a", "b")
        await tab.receive()
        await tab.receive()

    opened, closed = [line for line in lines if line["event"].startswith("session_")]
    assert opened | {"log_level": ""} == {
        "event": "session_opened",
        "protocol": "carillon.v1",
        "client_id": "dev",
        "user_id": "anna",
        "log_level": "",
    }
    assert (closed["event"], closed["sent"], closed["close_code"]) == ("session_closed", 3, 1000)
    assert closed["protocol"] == "carillon.v1"
    assert closed["lasted_s"] > 0


async def test_a_port_that_is_taken_is_one_plain_error(start: Start) -> None:
    """The second gateway on a port fails with one line that says what to do."""
    async with start() as world:
        settings = GatewaySettings(
            mongodb_uri="mongodb://127.0.0.1:1/", master_key=MASTER_KEY_TEXT, ws_port=world.gateway.ws_port
        )
        with pytest.raises(PortTakenError, match=r"^cannot listen on 127\.0\.0\.1 port \d+: .*set another one$"):
            await run_gateway(settings, world.stop)


async def test_a_gateway_without_a_mongodb_is_one_plain_error(start: Start) -> None:
    """What is missing is named as the variable that sets it."""
    async with start() as world:
        with pytest.raises(SettingsError, match=r"^CARILLON_MONGODB_URI is not set"):
            await run_gateway(GatewaySettings(mongodb_uri=None), world.stop)


async def test_a_gateway_without_the_master_key_is_one_plain_error(start: Start) -> None:
    """It could not sign cursors that the services read."""
    async with start() as world:
        with pytest.raises(SettingsError, match=r"^CARILLON_MASTER_KEY is not set"):
            await run_gateway(GatewaySettings(mongodb_uri="mongodb://127.0.0.1:1/"), world.stop)


async def test_a_gateway_with_another_master_key_says_so(start: Start, lines: list[Any]) -> None:
    """It lets nobody in, as no client could resume, and its log names what is wrong."""
    other = SecretStr(base64.b64encode(bytes(31) + b"x").decode())
    async with start(master_key=other) as world, world.connect() as tab:
        await tab.hello("anna")

        assert await tab.closed() == CloseCode.UNAVAILABLE.code

    (line,) = [line for line in lines if line["event"] == "master_keys_differ"]
    assert "CARILLON_MASTER_KEY" in line["problem"]


async def test_a_defect_ends_its_session_alone_and_is_in_the_log(start: Start, lines: list[Any]) -> None:
    """What nobody foresaw, as an answer of services from the future, is logged as a failure, and others go on."""
    async with start() as world, world.tab("anna") as other, world.connect() as tab:
        world.inbox.resume = 99
        await tab.hello("anna")

        assert await tab.closed() == 1011
        await other.send(type="ping")
        assert await other.receive() == {"type": "pong"}

    (failed,) = [line for line in lines if line["event"] == "session_failed"]
    assert failed["log_level"] == "error"
