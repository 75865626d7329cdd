"""What one connection, or many, may cost; each bound is shown not to be felt by another session of the gateway."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from gateway.closes import CloseCode
from tests.contract.gateway.world import ANSWER_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from websockets.http11 import Response

    from tests.contract.gateway.world import Tab, World

    Start = Callable[..., AbstractAsyncContextManager[World]]

ABNORMAL = 1006


async def test_frames_that_come_too_fast_end_their_session_alone(start: Start) -> None:
    """The first frame over the burst closes with a code that means to come back."""
    async with (
        start(frames_per_s=0.001, frames_burst=5) as world,
        world.tab("anna") as fast,
        world.tab("bert") as other,
    ):
        for _ in range(4):
            await fast.send(type="ping")
            assert await fast.receive() == {"type": "pong"}
        await fast.send(type="ping")

        assert await fast.closed() == CloseCode.TOO_FAST.code
        await assert_serves(other)


async def test_a_client_may_send_for_as_long_as_it_is_not_too_fast(start: Start) -> None:
    """What was sent is forgotten with time."""
    async with start(frames_per_s=1_000_000, frames_burst=1) as world, world.tab("anna") as tab:
        for _ in range(20):
            await assert_serves(tab)


async def test_a_flood_of_what_the_protocol_never_sees_is_cut(start: Start) -> None:
    """Pings of WebSocket are answered by the library, and would fill the memory of who does not read the answers."""
    async with (
        start(frames_per_s=0.001, frames_burst=2) as world,
        world.tab("anna") as fast,
        world.tab("bert") as other,
    ):
        with suppress(ConnectionClosed):
            for _ in range(20):
                await (await fast.socket.ping())

        assert await fast.closed() == ABNORMAL
        await assert_serves(other)


@pytest.mark.parametrize("origin", ["https://evil.com", "http://app.example.com", "null", "https://deep.io.evil.com"])
async def test_a_page_of_another_origin_is_refused(start: Start, origin: str) -> None:
    """The answer is plain HTTP; those who are open do not feel it."""
    async with start(allowed_origins="https://app.example.com, https://*.deep.io") as world, world.tab("anna") as other:
        with pytest.raises(InvalidStatus) as caught:
            async with world.connect(origin=Origin(origin)):
                pass
        await assert_serves(other)

    assert caught.value.response.status_code == 403
    assert caught.value.response.body == (
        b"pages of this origin may not connect; CARILLON_ALLOWED_ORIGINS names who may\n"
    )


async def test_a_page_of_an_allowed_origin_is_let_in(start: Start) -> None:
    """So is a client without an origin, as it is no browser; and without a list, every page."""
    async with start(allowed_origins="https://app.example.com,https://*.deep.io") as world:
        for options in ({}, {"origin": "https://app.example.com"}, {"origin": "https://very.deep.io"}):
            async with world.tab("anna", **options):
                pass
    async with start() as world, world.tab("anna", origin="https://evil.com"):
        pass


async def test_the_same_pages_may_call_over_http(start: Start) -> None:
    """The list of origins is one: who may connect may call NotificationAPI's paths, and nobody else."""
    async with start(allowed_origins="https://app.example.com") as world, httpx.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{world.gateway.http_port}/dev/users/anna"
        for origin, expected in (("https://app.example.com", "https://app.example.com"), ("https://evil.com", None)):
            answer = await http.options(url, headers={"Origin": origin, "Access-Control-Request-Method": "GET"})
            assert answer.headers.get("access-control-allow-origin") == expected


async def test_who_answers_no_ping_is_closed(start: Start, lines: list[Any]) -> None:
    """A peer that is gone without a word ends its session alone."""
    async with (
        start(ping_interval_s=0.1, ping_timeout_s=1, close_timeout_s=0.1, frames_burst=1_000_000) as world,
        world.tab("bert") as other,
        world.raw() as (reader, _),
    ):
        head = await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(ANSWER_S):
            frames = await reader.read()
        await wait_until(lambda: is_session_closed(lines, meanwhile=other))

    assert b"101 Switching Protocols" in head
    assert frames.startswith(b"\x89\x04")
    assert b"\x03\xf3keepalive ping timeout" in frames


async def test_who_reads_nothing_is_closed_though_no_ping_gets_out(start: Start, lines: list[Any]) -> None:
    """A frame that does not leave in the time of a ping and its answer ends the session, without another event."""
    async with (
        start(
            ping_interval_s=0.1,
            ping_timeout_s=1,
            close_timeout_s=0.1,
            frames_burst=1_000_000,
            outbox_frames=1000,
            outbox_bytes=100_000_000,
        ) as world,
        world.tab("anna") as other,
        world.lazy_tab("anna"),
    ):
        for _ in range(12):
            ids = await world.insert("anna", *"x" * 50, body="x" * 16_000)
            assert [(await other.receive())["item"]["id"] for _ in ids] == ids
        await wait_until(lambda: is_session_closed(lines, meanwhile=other))


async def test_the_connections_of_a_process_are_bounded(start: Start) -> None:
    """One too many is told by HTTP when to come back; one that says nothing counts, one that leaves makes room."""
    async with start(max_connections=2) as world, world.tab("anna") as other:
        async with world.raw(request="GET"):
            await wait_until(lambda: refusal(world))
            refused = await refusal(world)
            assert await world.healthz() == 200
            await assert_serves(other)

        await wait_until(lambda: is_let_in(world))

    assert refused
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "5"
    assert refused.body == b"too many connections; come back in a moment\n"


async def test_connections_far_over_the_bound_are_cut(start: Start) -> None:
    """Those are not even waited for, so that they cannot take memory by saying nothing."""
    async with start(max_connections=1) as world, world.tab("anna") as other:
        silent = [await asyncio.open_connection("127.0.0.1", world.gateway.ws_port) for _ in range(9)]
        # The first of them is within the bound, the next three are over it.
        async with asyncio.timeout(ANSWER_S):
            assert await asyncio.gather(*(reader.read() for reader, _ in silent[4:])) == [b""] * 5
        await assert_serves(other)
        for _, writer in silent:
            writer.close()


async def test_a_stop_spreads_the_closes(start: Start) -> None:
    """Sessions are closed one by one in any order, though all of them at last, and until then they are served."""
    count = 100
    async with start() as world, AsyncExitStack() as stack:
        tabs = [await stack.enter_async_context(world.connect()) for _ in range(count)]
        closed: list[int] = []

        async def note(number: int) -> float:
            assert await tabs[number].closed() == CloseCode.GOING_AWAY.code
            closed.append(number)
            return asyncio.get_running_loop().time()

        begun = asyncio.get_running_loop().time()
        world.stop.set()
        times = await asyncio.gather(*map(note, range(count)))

    assert max(times) - begun > (count - 1) / 200 - 0.01
    assert closed != sorted(closed)


async def test_a_stop_does_not_wait_for_who_says_nothing(start: Start) -> None:
    """A connection without a request is cut, and one without a hello is closed."""
    async with asyncio.timeout(ANSWER_S - 2):
        async with start() as world, world.raw(request="GET") as (reader, _), world.connect() as tab:
            world.stop.set()

            assert await tab.closed() == CloseCode.GOING_AWAY.code
            assert await reader.read() == b""


async def assert_serves(tab: Tab) -> None:
    """Asserts that a session answers."""
    await tab.send(type="ping")
    assert await tab.receive() == {"type": "pong"}


async def wait_until(ask: Callable[[], Awaitable[object]]) -> None:
    """Asks until the answer is yes, by what lets the gateway, in the same loop, have its turn."""
    async with asyncio.timeout(ANSWER_S):
        while not await ask():
            pass


async def is_session_closed(lines: list[Any], *, meanwhile: Tab) -> bool:
    """Tells whether a session has come to its end; another answers meanwhile."""
    await assert_serves(meanwhile)
    return any(line["event"] == "session_closed" for line in lines)


async def refusal(world: World) -> Response | None:
    """Gives what a connection is refused with, if it is."""
    try:
        async with world.connect():
            return None
    except InvalidStatus as error:
        return error.response


async def is_let_in(world: World) -> bool:
    """Tells whether a connection is taken."""
    return await refusal(world) is None
