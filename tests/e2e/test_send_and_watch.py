"""`carillon send` and `carillon watch`: a notification from one terminal to another."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from carillon.v1 import users_pb2
from tests.e2e.processes import Result, call, free_port, start
from tests.e2e.stack import TITLE, retract_order_tracking

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORDER = ("-m", "item=Krabby Patty Burger", "-m", "address=124 Conch Street", "-m", "orderId=0012")


async def send(stack: Stack, *arguments: str) -> Result:
    """Runs `carillon send`."""
    return await call("send", *arguments, **stack.client_settings)


def watch_settings(stack: Stack) -> dict[str, str]:
    """Gives the settings of `carillon watch`."""
    return stack.client_settings | {"ws_url": f"ws://127.0.0.1:{stack.ws_port}/v1/inbox"}


async def test_a_send_tells_of_each_channel(stack: Stack) -> None:
    """`carillon send` prints the tracking id, and each channel with its outcome and the reason."""
    result = await send(stack, "order_tracking", "sender-1", *ORDER)

    assert result.code == 0, result.stderr
    head, _, titles, *rows = result.stdout.splitlines()
    assert head.startswith("order_tracking to sender-1: ")
    assert titles.split() == ["CHANNEL", "OUTCOME", "WHY"]
    assert ["INAPP_WEB", "DELIVERED"] in [row.split() for row in rows]
    assert ["CALL", "SKIPPED", "DEFAULT_OFF"] in [row.split() for row in rows]
    assert ["EMAIL", "SKIPPED", "NO_ADDRESS"] in [row.split() for row in rows]


async def test_a_send_for_later_tells_when(stack: Stack) -> None:
    """With --at each channel waits for a time of the user's day; what is no time is refused in one line."""
    result = await send(stack, "order_tracking", "sender-later", *ORDER, "--at", "23:59")

    assert result.code == 0, result.stderr
    assert any(
        row.split()[:2] == ["INAPP_WEB", "SCHEDULED"] and row.endswith("UTC") for row in result.stdout.splitlines()
    )
    refused = await send(stack, "order_tracking", "sender-later", *ORDER, "--at", "noon")
    assert refused.code == 1
    assert "schedule_local_time" in refused.stderr


async def test_nothing_that_arrives_is_a_failure(stack: Stack, tmp_path: Path) -> None:
    """A send that every channel skips says so, and exits with 1."""
    file = tmp_path / "off.yaml"
    file.write_text("notifications: [{id: switched-off, disabled: true, channels: [{channel: SMS}]}]")
    assert (await call("apply", str(file), **stack.client_settings)).code == 0

    result = await send(stack, "switched-off", "sender-2")

    assert result.code == 1
    assert "NOTIFICATION_DISABLED" in result.stdout
    assert "ALL_CHANNELS_SKIPPED" in result.stdout


async def test_a_send_that_is_refused_is_one_line(stack: Stack, tmp_path: Path) -> None:
    """What is wrong with a send, or with what it reads, is one line on stderr."""
    bad = tmp_path / "tags.json"
    bad.write_text("[1]")
    torn = tmp_path / "torn.json"
    torn.write_text('{"a": ')
    results = {
        "NOT_FOUND: notification 'nowhere' does not exist": await send(stack, "nowhere", "u"),
        "user.id: ": await send(stack, "order_tracking", ""),
        "a merge tag is KEY=VALUE, not 'item'": await send(stack, "order_tracking", "u", "-m", "item"),
        f"{bad}: must be a JSON object": await send(stack, "order_tracking", "u", "--json", str(bad)),
        f"{torn}: is no JSON": await send(stack, "order_tracking", "u", "--json", str(torn)),
        f"{tmp_path}/none: no such file": await send(stack, "order_tracking", "u", "--json", f"{tmp_path}/none"),
    }
    for problem, result in results.items():
        assert (result.code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"carillon: {problem}")
        assert result.stderr.count("\n") == 1


async def test_an_inbox_is_watched_live(stack: Stack, tmp_path: Path) -> None:
    """`carillon watch` prints the inbox, then each item as it comes and goes, with the badge; SIGTERM ends it well."""
    file = tmp_path / "tags.json"
    file.write_text(json.dumps({"item": "Coral\x1b[2J Bits", "orderId": 7}))
    await send(stack, "order_tracking", "watched", *ORDER)

    async with start("watch", "watched", **watch_settings(stack)) as child:
        assert "(1 unread)" in await child.says("welcome   1 item")
        assert TITLE in await child.says("● ")

        await send(stack, "order_tracking", "watched", "--json", str(file), "-m", "address=a")
        line = await child.says("created")
        assert "Your Coral [2J Bits is on its way" in line
        assert "\x1b" not in line
        assert "(2 unread)" in line

        async with stack.backend() as backend:
            await backend.sender.Retract(retract_order_tracking("watched"))
        lines = [await child.says("retracted"), await child.says("retracted")]
        assert lines[-1].endswith("(0 unread)\n")
        assert any(TITLE in line for line in lines)
        assert await child.stop() == 0


async def test_a_watch_comes_back(stack: Stack) -> None:
    """A watch that finds no gateway, or loses it, tries again, and shows the inbox as soon as there is one."""
    async with start("watch", "patient", **watch_settings(stack) | {"ws_url": "ws://127.0.0.1:1/v1/inbox"}) as child:
        assert "ws://127.0.0.1:1/v1/inbox does not answer" in await child.says("again in")
        assert "does not answer" in await child.says("again in")

    other = replace(stack, ws_port=free_port(), http_port=free_port())
    async with start("watch", "patient", **watch_settings(other)) as child:
        async with other.gateway():
            await child.says("welcome")
        await child.says("again in")
        async with other.gateway():
            await child.says("welcome")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"client_secret": "wrong"}, "the gateway closed the connection for good: credentials refused (4501)"),
        ({"ws_url": "http://127.0.0.1"}, "CARILLON_WS_URL: "),
    ],
)
async def test_a_watch_that_cannot_be_ends(stack: Stack, settings: dict[str, str], problem: str) -> None:
    """A watch whom the gateway tells to stay away, and one without a socket's URL, end with one line."""
    result = await call("watch", "u", **watch_settings(stack) | settings)

    assert result.code == 1
    assert result.stderr.startswith(f"carillon: {problem}")


async def test_the_watch_of_a_deleted_user_ends(stack: Stack) -> None:
    """Deleting the user ends their sessions, and so the watch."""
    await send(stack, "order_tracking", "gone", *ORDER)
    async with start("watch", "gone", **watch_settings(stack)) as child:
        await child.says("welcome")
        async with stack.backend() as backend:
            await backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id="gone"))
        await child.says("the user was deleted (4510)")
