"""Clients that lose their connection anywhere, come back by their last cursor, and hold what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import socket
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from carillon.v1 import inbox_pb2
from gateway.closes import STAY_AWAY_FROM, CloseCode
from services.kernel.auth import user_hash
from tests.contract.services.world import reason
from tests.e2e.resume.model import BrokenPromiseError, Model, frame_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.resume.accounts import Accounts
    from tests.e2e.resume.model import Frame
    from tests.e2e.resume.users import User

_OPEN_S = 30.0
_PAUSE_S = 0.1
# Nobody closes by these but for a client that is wrong, or a server that is.
_INTERNAL_ERROR = 1011


class Cut(enum.Enum):
    """Where a connection is cut."""

    CONNECTED = "connected"
    """Before anything is said."""

    HELLO = "hello"
    """When the first frame has left."""

    BYTES = "bytes"
    """After some bytes of the answer, the handshake's included."""

    WELCOME = "welcome"
    """When the first frame has come."""


class End(enum.Enum):
    """How a session ended."""

    COME_BACK = "come back"
    USER_DELETED = "user deleted"


@dataclass(frozen=True)
class Plan:
    """Where a session is to be cut."""

    cut: Cut
    after_bytes: int = 0


class Connection(Protocol):
    """What a session is held by."""

    async def receive(self) -> Frame | None:
        """Gives what comes next; None: nothing that matters."""


class _CutError(Exception):
    """The session was cut where it was to be."""


class Client(ABC):
    """One client of a user. It is away until `come` is called, and comes back by itself until `leave` is.

    Args:
        name: What it is called where it fails.
        user: Whose it is.
        accounts: Where its welcomes are counted.
        limit: How many items it wants in a snapshot.
    """

    def __init__(self, name: str, user: User, accounts: Accounts, *, limit: int) -> None:
        self.name = name
        self.user = user
        self.model = Model()
        self._limit = limit
        self._accounts = accounts
        self._deletions = 0
        self._position = 0
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    @property
    def is_away(self) -> bool:
        """Whether it neither has a connection nor tries to get one."""
        return self._task is None or self._task.done()

    def come(self) -> None:
        """Lets it connect, and come back whenever it is told to."""
        assert self.is_away
        self._task = asyncio.create_task(self._stay(), name=self.name)

    async def leave(self) -> None:
        """Ends its connection, wherever it is, and waits until that is done."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self.check()

    async def be_cut(self, plan: Plan) -> None:
        """Connects, and loses the connection where the plan says."""
        assert self.is_away
        await self._session(plan)
        self._accounts.happened[f"cut at {plan.cut.value}"] += 1

    def check(self) -> None:
        """Raises what it has found wrong."""
        if self._task is not None and self._task.done() and not self._task.cancelled() and self._task.exception():
            raise BrokenPromiseError(f"{self.name}: {self._task.exception()}") from self._task.exception()

    async def until_told(self, item_id: str) -> None:
        """Returns once it was told of an item, or is not coming back."""
        while item_id not in self.model.told and not self.is_away:
            self._news.clear()
            await self._news.wait()
        self.check()

    @abstractmethod
    def _connection(self, plan: Plan | None) -> contextlib.AbstractAsyncContextManager[Connection]:
        """Connects and says hello; raises _CutError where that is the plan, and `_Lost` errors where it fails."""

    @abstractmethod
    def _end_of(self, error: BaseException) -> End:
        """Tells how the session ended; raises BrokenPromiseError where it must not end like that."""

    async def _stay(self) -> None:
        try:
            while await self._session(None) is not End.USER_DELETED:
                self._accounts.happened["came back"] += 1
                await asyncio.sleep(_PAUSE_S)
        finally:
            self._news.set()

    async def _session(self, plan: Plan | None) -> End:
        try:
            async with contextlib.AsyncExitStack() as held:
                async with self.user.gate.passing():
                    # While the user is being deleted nobody can say what is theirs.
                    connection = await held.enter_async_context(self._connection(plan))
                    async with asyncio.timeout(_OPEN_S):
                        welcome = await connection.receive()
                    self._welcome(welcome)
                if plan:
                    return End.COME_BACK
                while True:
                    if frame := await connection.receive():
                        self._take(frame)
        except _CutError:
            return End.COME_BACK
        except _LOST as error:
            return self._end_of(error)

    def _welcome(self, frame: Frame | None) -> None:
        if frame is None or frame["type"] != "welcome":
            raise BrokenPromiseError(f"no welcome: {frame}")
        self.user.ledger.judge(frame, self.model.cursor, deletions=self._deletions)
        self._deletions, self._position = self.user.ledger.deletions, 0
        self._take(frame)

    def _take(self, frame: Frame) -> None:
        rung = len(self.model.shown_as_new)
        self.model.apply(frame)
        position = self.user.ledger.position(frame["cursor"])
        if position <= self._position:
            raise BrokenPromiseError(f"{frame} is not later than {self._position:016x}, so it was told before")
        self._position = position
        self.user.promises.check_told(self.model.told)
        self._accounts.rung += len(self.model.shown_as_new) - rung
        self._news.set()


class SocketClient(Client):
    """A client of the gateway, by websocket.

    Args:
        ws_port: Where the gateway is.
        aborts: Whether it leaves without a word.
    """

    def __init__(self, name: str, user: User, accounts: Accounts, *, limit: int, ws_port: int, aborts: bool) -> None:
        super().__init__(name, user, accounts, limit=limit)
        self._url = f"ws://127.0.0.1:{ws_port}/v1/inbox"
        self._ws_port = ws_port
        self._aborts = aborts

    @asynccontextmanager
    async def _connection(self, plan: Plan | None) -> AsyncIterator[Connection]:
        options: dict[str, Any] = {"subprotocols": ["carillon.v1"], "proxy": None, "compression": None}
        options |= {"open_timeout": _OPEN_S, "max_size": None, "close_timeout": _OPEN_S}
        async with contextlib.AsyncExitStack() as held:
            if plan and plan.cut is Cut.BYTES:
                options["sock"] = await held.enter_async_context(_limited(self._ws_port, plan.after_bytes))
            connection = await connect(self._url, **options)
            is_orderly = False
            try:
                if plan and plan.cut is Cut.CONNECTED:
                    raise _CutError
                await connection.send(json.dumps(self._hello()))
                if plan and plan.cut is Cut.HELLO:
                    raise _CutError
                yield _Socket(connection)
            except asyncio.CancelledError:
                is_orderly = not self._aborts
                raise
            finally:
                if not is_orderly:
                    connection.transport.abort()
                await connection.close()

    def _hello(self) -> dict[str, Any]:
        tenant, user_id = self.user.right, self.user.id
        hello = {"type": "hello", "client_id": tenant.client_id, "user_id": user_id, "limit": self._limit}
        hello |= {"user_hash": user_hash(tenant.secret, user_id)}
        return hello | ({"cursor": self.model.cursor} if self.model.cursor else {})

    def _end_of(self, error: BaseException) -> End:
        close = error.rcvd if isinstance(error, ConnectionClosed) else None
        if close is None:
            return End.COME_BACK
        if close.code == CloseCode.USER_DELETED.code:
            return End.USER_DELETED
        if close.code >= STAY_AWAY_FROM or (close.code == _INTERNAL_ERROR and "ping" not in close.reason):
            raise BrokenPromiseError(f"closed with {close.code} ({close.reason})")
        return End.COME_BACK


class StreamClient(Client):
    """A client of WatchInbox.

    Args:
        late: Whether it asks the services whose clock is late.
    """

    def __init__(self, name: str, user: User, accounts: Accounts, *, limit: int, late: bool) -> None:
        super().__init__(name, user, accounts, limit=limit)
        self._late = late

    @asynccontextmanager
    async def _connection(self, plan: Plan | None) -> AsyncIterator[Connection]:
        request = inbox_pb2.WatchInboxRequest(cursor=self.model.cursor, limit=self._limit)
        call = self.user.caller(late=self._late).inbox.WatchInbox(request, timeout=None)
        try:
            if plan and plan.cut is Cut.CONNECTED:
                raise _CutError
            if plan and plan.cut in (Cut.HELLO, Cut.BYTES):
                await call.wait_for_connection()
                raise _CutError
            yield _Stream(call)
        finally:
            call.cancel()

    def _end_of(self, error: BaseException) -> End:
        if not isinstance(error, grpc.aio.AioRpcError):
            return End.COME_BACK
        if (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND"):
            return End.USER_DELETED
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise BrokenPromiseError(f"ended with {error.code()} {reason(error)} ({error.details()})")
        return End.COME_BACK


@dataclass(frozen=True)
class _Socket:
    socket: Any

    async def receive(self) -> Frame | None:
        frame: Frame = json.loads(await self.socket.recv())
        return frame


@dataclass(frozen=True)
class _Stream:
    call: Any

    async def receive(self) -> Frame | None:
        response = await self.call.read()
        if response is grpc.aio.EOF:
            raise EOFError("the stream has ended without an error")
        return frame_of(response)


_LOST = (ConnectionClosed, InvalidHandshake, InvalidMessage, OSError, TimeoutError, EOFError, grpc.aio.AioRpcError)


@asynccontextmanager
async def _limited(port: int, budget: int) -> AsyncIterator[socket.socket]:
    """Connects to a port of this machine, and cuts both ways after so many bytes have come from there."""
    far_reader, far = await asyncio.open_connection("127.0.0.1", port)
    ours, inner = socket.socketpair()
    near_reader, near = await asyncio.open_connection(sock=inner)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int) -> None:
        while left > 0 and (data := await reader.read(min(left, 4096))):
            writer.write(data)
            await writer.drain()
            left -= len(data)

    async def relay() -> None:
        ways = [
            asyncio.create_task(pump(near_reader, far, 1 << 30)),
            asyncio.create_task(pump(far_reader, near, budget)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far.transport.abort()
            near.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    relaying = asyncio.create_task(relay())
    try:
        yield ours
    finally:
        relaying.cancel()
        await asyncio.gather(relaying, return_exceptions=True)
        ours.close()
