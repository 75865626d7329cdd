from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.http.notificationapi.slashes import Slashes

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


async def through(raw_path: bytes, *, kind: str = "http") -> tuple[bytes, str]:
    """Gives the path as the application behind sees it."""
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        return

    await Slashes(app)({"type": kind, "raw_path": raw_path, "path": raw_path.decode()}, receive, send)
    return seen[0]["raw_path"], seen[0]["path"]


@pytest.mark.parametrize(
    ("came", "raw", "path"),
    [
        (b"/dev/sender", b"/dev/sender", "/dev/sender"),
        (b"//dev/sender", b"/dev/sender", "/dev/sender"),
        (b"///dev//sender///retract//", b"/dev/sender/retract", "/dev/sender/retract"),
        (b"/dev/users/anna/", b"/dev/users/anna", "/dev/users/anna"),
        (b"/dev/users/a%2Fb/", b"/dev/users/a%2Fb", "/dev/users/a%2Fb"),
        (b"/dev/users/a%2f%2Fb", b"/dev/users/a%2f%2Fb", "/dev/users/a%2f%2Fb"),
        (b"//dev/auth/validateAuthenticate", b"/dev/auth/validateAuthenticate", "/dev/auth/validateAuthenticate"),
    ],
)
async def test_their_paths_have_one_slash_where_some_have_two(came: bytes, raw: bytes, path: str) -> None:
    """And none at the end; one that is encoded belongs to an id, and stays encoded until a route is found."""
    assert await through(came) == (raw, path)


@pytest.mark.parametrize("path", [b"/", b"//inbox/", b"//dev//senders", b"/web//carillon.js", b"/sender/"])
async def test_other_paths_are_left_alone(path: bytes) -> None:
    """Files and our own routes mean what they say."""
    assert await through(path) == (path, path.decode())


async def test_what_is_not_http_is_left_alone() -> None:
    """A socket has no routes of theirs here."""
    assert (await through(b"//dev/sender", kind="websocket"))[0] == b"//dev/sender"
