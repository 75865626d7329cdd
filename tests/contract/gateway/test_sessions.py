"""Sessions by token, with services that accept what each test lets them, and a clock of the test's own."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect

from gateway.closes import CloseCode
from gateway.notificationapi.protocol import NotificationApiProtocol
from gateway.protocol import InboxProtocol, Welcome
from gateway.server import SUBPROTOCOL, serve_websockets
from gateway.session import Limits, Session
from services.live.hub import Ending, Hub
from tests.contract.gateway.world import HANDSHAKE, Gate, Tab
from tests.tokens import mint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from websockets.asyncio.server import ServerConnection

    from gateway.frames import Hello
    from gateway.requests import Request

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
LESS_THAN_A_HANDSHAKE_S = 8


class Accepting:
    """Services that accept everybody, once the test lets them."""

    def __init__(self) -> None:
        self.welcoming = Gate()
        self.answering = Gate()
        self.cancelling = Gate()
        self.welcomes = 0

    async def read_welcome(self, hello: Hello, *, min_position: int) -> Welcome:
        """Gives an empty inbox."""
        self.welcomes += 1
        await self.welcoming.pass_through()
        return Welcome(min_position, 0, [], incarnation=1, cursor_at=str)

    async def ask(self, hello: Hello, request: Request) -> Mapping[str, Any]:
        """Gives an empty result; takes its time to end where it is not wanted any more."""
        try:
            await self.answering.pass_through()
        except asyncio.CancelledError:
            await self.cancelling.pass_through()
            raise
        return {}


class Sessions:
    """A websocket server, the sessions that it made, and a client's connections to it."""

    def __init__(self) -> None:
        self.services = Accepting()
        self.admitting = Gate()
        self.is_given_up = asyncio.Event()
        self.made: list[Session] = []
        self.now = NOW
        self.port = 0

    def make(self, socket: ServerConnection, hello: Hello | None) -> Session:
        """Makes what serves a connection."""
        session = Session(
            socket,
            NotificationApiProtocol(hello) if hello else InboxProtocol(frames_burst=1_000_000),
            hub=Hub(),
            services=self.services,
            is_feed_live=lambda: True,
            limits=Limits(),
            clock=lambda: self.now,
        )
        self.made.append(session)
        return session

    @asynccontextmanager
    async def hello(self, **credentials: Any) -> AsyncIterator[Tab]:
        """Connects and says hello."""
        url = f"ws://127.0.0.1:{self.port}/v1/inbox"
        async with connect(url, subprotocols=[SUBPROTOCOL], proxy=None) as socket:
            tab = Tab(socket)
            await tab.send(type="hello", **credentials)
            yield tab


@pytest.fixture
async def sessions() -> AsyncIterator[Sessions]:
    """Gives a server of sessions."""
    made = Sessions()

    async def admit(hello: Hello) -> None:
        """Lets everybody in, once the test lets it."""
        try:
            await made.admitting.pass_through()
        except asyncio.CancelledError:
            made.is_given_up.set()
            raise

    limits = Limits(frames_burst=1_000_000)
    serving = serve_websockets(made.make, host="127.0.0.1", port=0, is_healthy=lambda: True, limits=limits, admit=admit)
    async with serving as server:
        made.port = server.port
        yield made


def token(made: datetime = NOW, user_id: str = "anna", ttl: timedelta = HOUR) -> str:
    """Makes a token."""
    return mint("secret" * 8, "dev", user_id, now=made, ttl=ttl)


async def renew(tab: Tab, token: str) -> dict[str, Any]:
    """Hands in a token and gives the answer."""
    await tab.send(type="renew", ref="r", token=token)
    return await tab.receive()


async def test_a_session_ends_with_its_token(sessions: Sessions) -> None:
    """At the end of its token a session is closed, also one whose token ends while it is being welcomed."""
    sessions.now = NOW + HOUR - timedelta(milliseconds=50)
    async with sessions.hello(token=token()) as tab:
        assert (await tab.receive())["type"] == "welcome"
        assert await tab.closed() == CloseCode.TOKEN_EXPIRED.code

    sessions.services.welcoming.shut()
    async with sessions.hello(token=token()) as tab:
        await sessions.services.welcoming.reached.wait()
        sessions.now = NOW + 2 * HOUR
        sessions.services.welcoming.open()
        assert await tab.closed() == CloseCode.TOKEN_EXPIRED.code


async def test_a_renewal_moves_the_end(sessions: Sessions) -> None:
    """A new token takes the place of the old one's end, a later and an earlier one."""
    sessions.now = NOW + HOUR - timedelta(seconds=2)
    async with sessions.hello(token=token()) as renewed:
        assert (await renewed.receive())["type"] == "welcome"
        assert await renew(renewed, token(NOW + HOUR / 2)) == {"type": "result", "ref": "r"}

        # Opened later and with the same token, so what ends this one would have ended the other before.
        async with sessions.hello(token=token()) as old:
            assert await old.closed() == CloseCode.TOKEN_EXPIRED.code
        await renewed.send(type="list", ref="1")
        assert await renewed.receive() == {"type": "result", "ref": "1"}

        assert (await renew(renewed, token(ttl=timedelta(minutes=59))))["type"] == "result"
        assert await renewed.closed() == CloseCode.TOKEN_EXPIRED.code


async def test_a_renewal_while_the_old_token_ends_is_harmless(sessions: Sessions) -> None:
    """What is answered after the end is dropped, and the next session opens as if nothing had been."""
    sessions.now = NOW + HOUR - timedelta(milliseconds=50)
    sessions.services.answering.shut()
    async with sessions.hello(token=token()) as tab:
        assert (await tab.receive())["type"] == "welcome"
        await tab.send(type="renew", ref="r", token=token(NOW + HOUR))
        assert await tab.closed() == CloseCode.TOKEN_EXPIRED.code
        sessions.services.answering.open()

    async with sessions.hello(token=token(NOW + HOUR)) as tab:
        assert (await tab.receive())["type"] == "welcome"


async def test_a_revocation_ends_an_open_session(sessions: Sessions) -> None:
    """A session whose token is older is closed for good; one by a hash, or by a later token, goes on."""
    by_hash = {"client_id": "dev", "user_id": "anna", "user_hash": "aGFzaA=="}
    async with (
        sessions.hello(token=token()) as older,
        sessions.hello(token=token(NOW + timedelta(seconds=1))) as later,
        sessions.hello(**by_hash) as hashed,
    ):
        for tab in (older, later, hashed):
            assert (await tab.receive())["type"] == "welcome"
        for session in sessions.made:
            session.revoke(NOW + timedelta(seconds=1))

        assert await older.closed() == CloseCode.TOKEN_REVOKED.code
        for tab in (later, hashed):
            await tab.send(type="ping")
            assert await tab.receive() == {"type": "pong"}


async def test_a_revocation_during_the_welcome_ends_the_session(sessions: Sessions) -> None:
    """Whoever was accepted just before the revocation gets no welcome."""
    sessions.services.welcoming.shut()
    async with sessions.hello(token=token()) as tab:
        await sessions.services.welcoming.reached.wait()
        sessions.made[0].revoke(NOW + HOUR)
        sessions.services.welcoming.open()

        assert await tab.closed() == CloseCode.TOKEN_REVOKED.code


async def test_who_is_gone_is_not_resumed(sessions: Sessions, lines: list[Any]) -> None:
    """Events that are lost while a session ends begin nothing new, which nobody would end any more."""
    sessions.services.answering.shut()
    sessions.services.cancelling.shut()
    async with connect(f"ws://127.0.0.1:{sessions.port}/?envId=dev&userId=anna", proxy=None) as socket:
        await socket.send('{"route":"environment/data"}')
        await sessions.services.answering.reached.wait()
    await sessions.services.cancelling.reached.wait()
    sessions.made[0].end(Ending.EVENTS_MISSED)
    sessions.services.cancelling.open()
    async with sessions.hello(token=token()) as other:
        while not any(line["event"] == "session_closed" for line in lines):
            await other.send(type="ping")
            await other.receive()

    assert sessions.services.welcomes == 2


async def test_who_leaves_during_the_check_is_not_checked_on(sessions: Sessions) -> None:
    """No limit counts who is gone, and a stop, which cuts whom it finds there, would wait for the answer."""
    sessions.admitting.shut()
    _, writer = await asyncio.open_connection("127.0.0.1", sessions.port)
    writer.write(HANDSHAKE.replace("/v1/inbox", "/?envId=dev&userId=anna").encode())
    await sessions.admitting.reached.wait()
    writer.close()

    async with asyncio.timeout(LESS_THAN_A_HANDSHAKE_S):
        await sessions.is_given_up.wait()
    assert sessions.made == []
