"""`carillon dev`: one process, its page, and its end."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import grpc
import pytest
from playwright.async_api import expect

from carillon.v1 import preferences_pb2
from services.kernel.auth import basic_authorization
from tests.contract.services.requests import CALL, INSTANT
from tests.contract.services.world import Caller
from tests.e2e.browser import badge, open_page, state, titles
from tests.e2e.processes import call, free_port, start
from tests.e2e.stack import TITLE
from tests.e2e.test_worker import to_everywhere

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser

    from tests.e2e.processes import Child

pytestmark = pytest.mark.asyncio(loop_scope="session")

PORTS = ("grpc_port", "http_port", "ws_port")


class Dev:
    """How `carillon dev` is started in one test."""

    def __init__(self, data_dir: Path) -> None:
        self.settings: dict[str, object] = {name: free_port() for name in PORTS} | {"data_dir": data_dir}
        self._pid_file = data_dir / "mongod" / "mongod.lock"

    @property
    def mongod_pid(self) -> int:
        """The process of its MongoDB, or 0 where none runs."""
        # mongod empties this file when it ends in order.
        text = self._pid_file.read_text()
        return int(text) if text else 0

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Child]:
        """Starts it, ready when entered; leaves no mongod behind, whatever happens."""
        async with start("dev", **self.settings) as child:
            await child.says("Carillon is running")
            pid = self.mongod_pid
            try:
                yield child
                await child.stop()
            except BaseException:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise


@pytest.fixture
def dev(tmp_path: Path) -> Dev:
    """Data and ports of the test's own."""
    return Dev(tmp_path / "data")


async def test_dev_from_start_to_end(dev: Dev, browser: Browser) -> None:
    """It says where it is, its page sends and retracts, a second one is refused, and SIGTERM ends all of it."""
    async with dev.run() as child, open_page(browser) as page:
        await child.says(f"http://localhost:{dev.settings['http_port']}")
        await child.says(f"127.0.0.1:{dev.settings['grpc_port']}")
        await child.says(f"ws://localhost:{dev.settings['ws_port']}/v1/inbox")
        await child.says("client_id      dev")
        await child.says("client_secret  dev-secret")
        await child.says("userId_123abc")

        await page.goto(f"http://localhost:{dev.settings['http_port']}")
        await expect(state(page)).to_have_text(["live", "live"])
        await page.get_by_test_id("send").click()
        await expect(titles(page)).to_have_text([TITLE])
        await expect(badge(page)).to_have_text(["1", "0"])
        outcomes = page.get_by_test_id("outcome").get_by_role("listitem")
        await expect(outcomes).to_have_text(
            [
                "EMAILSKIPPEDNO_ADDRESS",
                "INAPP_WEBDELIVERED",
                "SMSSKIPPEDNO_ADDRESS",
                "CALLSKIPPEDDEFAULT_OFF",
                "PUSHSKIPPEDNO_ADDRESS",
                "WEB_PUSHSKIPPEDNO_ADDRESS",
            ]
        )

        await page.get_by_test_id("retract").click()
        await expect(page.get_by_test_id("outcome")).to_have_text("1 item retracted.")
        await expect(titles(page)).to_have_count(0)
        await expect(badge(page)).to_have_text(["0", "0"])

        again = await call("dev", **dev.settings)
        assert again.code == 1
        assert again.stderr.startswith(f"carillon: {dev.settings['data_dir']} is in use by process ")
        assert again.stderr.count("\n") == 1

        pid = dev.mongod_pid
        os.kill(pid, 0)
        assert await child.stop() == 0
        await expect(state(page)).to_have_text(["reconnecting", "reconnecting"])
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_what_no_provider_carries_is_shown_on_the_console(dev: Dev) -> None:
    """Each mail, text, call, push and browser push is on the console as a person would like to read it."""
    async with dev.run() as child, grpc.aio.insecure_channel(f"127.0.0.1:{dev.settings['grpc_port']}") as channel:
        backend = Caller(channel, [basic_authorization("dev", "dev-secret")])
        request = to_everywhere("userId_123abc")
        request.options.email.cc_addresses.append("patrick@squarepants.com")
        # The sample calls nobody who has not chosen it.
        calls = preferences_pb2.Preference(
            notification_id=request.notification_id, channel=CALL, delivery_option=INSTANT
        )
        await backend.preferences.SetPreferences(
            preferences_pb2.SetPreferencesRequest(user_id="userId_123abc", preferences=[calls])
        )
        await backend.sender.Send(request)

        for text in (
            "mail to spongebob@squarepants.com",
            "Cc       patrick@squarepants.com",
            f"Subject  {TITLE}",
            "Preview  Order 1234567890 to 124 Conch Street",
            "your Krabby Patty Burger will be delivered to 124 Conch Street.",
            "text message to +15005550006",
            "call to +15005550006",
            "push to SM-G930F (token …ushToken)",
            TITLE,
            "browser push to a browser (endpoint …_4iba0Ao)",
            "/orders/1234567890",
        ):
            await child.says(text)


@pytest.mark.parametrize("name", ["grpc_port", "http_port"])
async def test_a_taken_port(dev: Dev, name: str) -> None:
    """A port that is taken is one line, and its MongoDB does not stay."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = await call("dev", **(dev.settings | {name: port, "log_level": "warning"}))

    assert result.code == 1
    assert result.stderr.startswith(f"carillon: cannot listen on 127.0.0.1 port {port}: ")
    assert result.stderr.count("\n") == 1
    assert dev.mongod_pid == 0
