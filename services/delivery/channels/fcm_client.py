"""firebase-admin's client, kept so that it can be closed, makes one request a call, and lets no call hold up another.

What the library does not offer, and what is done about it with nothing but its public surface:

- Its asynchronous client belongs to the event loop it first ran on, yet `delete_app` closes it by `asyncio.run`, which
  a running loop refuses and another thread must not do. So the clients live in a thread with a loop of its own, and
  `delete_app` comes there while that loop rests.
- Its transport repeats a request up to four times after 500 and 503, whatever ``Retry-After`` says, and never closes
  the answers that it drops: each keeps one of the 100 streams of the connection, and memory, for ever. Which transport
  a host gets, httpx decides by ``NO_PROXY``: the host that it names goes past the transport that repeats. The variable
  is set for the moment in which a client is made. (Proxies are no loss: the library's transports hide them anyway.)
- Calls that share a connection wait for each other: httpcore hands an answer over only when the call that is waiting
  before it has got data as well, or after 10 s lets all of them fail. So each call has a client, and with it a
  connection, to itself; it goes on to the next call once there was an answer.
- A call that is given up leaves its stream open, as httpx tells the server nothing. So its client is not used again.
- The connection remembers each stream that it has closed, 65,536 of them. So a client is replaced after ``max_calls``.
- It knows one host. Where a network lets nobody out directly, ``connect_to`` leads the connections to a relay, by the
  loop's own `getaddrinfo` and `create_connection`; TLS is still with that host, so the relay must pass it through.

A client takes 65 ms to make and 2.6 MB (measured), so they are made when they are needed and kept.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import firebase_admin
from firebase_admin import messaging

from services.kernel.clock import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from google.auth.credentials import Credentials

HOST = "fcm.googleapis.com"
_NO_PROXY = "no_proxy"


class FcmClient:
    """Makes calls to FCM; how many at once is the caller's to bound.

    Args:
        project_id: The Firebase project.
        credentials: Hold the access token.
        timeout_s: How long connecting, writing and the answer may take, each.
        connect_to: host:port of what passes on to FCM; empty: FCM itself.
        max_calls: After how many calls a client is replaced.
    """

    def __init__(
        self,
        project_id: str,
        credentials: Credentials,
        *,
        timeout_s: float,
        connect_to: str = "",
        max_calls: int = 500,
    ) -> None:
        self._options = {"projectId": project_id, "httpTimeout": timeout_s}
        self._credentials = credentials
        self._connect_to = connect_to
        self._max_calls = max_calls
        self._idle: list[_Client] = []
        self._used_up: list[_Client] = []
        self._wake = asyncio.Event()
        self._is_ended = False

    async def __aenter__(self) -> FcmClient:
        self._loop = _loop(self._connect_to)
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="fcm", daemon=True)
        self._thread.start()
        try:
            await asyncio.wrap_future(started)
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        await asyncio.to_thread(self._thread.join)

    async def send(self, message: messaging.Message, *, dry_run: bool = False) -> messaging.SendResponse:
        """Makes one request and gives what the library makes of the answer.

        Raises:
            ValueError: If the library finds that FCM would not take the message.
            FirebaseError: If the library did not understand the answer.
        """
        call = asyncio.run_coroutine_threadsafe(self._send(message, dry_run=dry_run), self._loop)
        return await asyncio.wrap_future(call)

    def _end(self) -> None:
        self._is_ended = True
        # A thread that could not begin has closed its loop.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake.set)

    # --- In the thread ---

    def _run(self, started: Future[None]) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                # Not with the first call, so that what keeps a client from being made ends the start.
                self._idle.append(runner.run(self._make()))
            except Exception as error:
                started.set_exception(error)
                return
            # Else nobody waits for it any more.
            if started.set_running_or_notify_cancel():
                started.set_result(None)
            while not self._is_ended:
                runner.run(self._woken())
                _delete(self._used_up)
            runner.run(_cancel_calls())
            _delete(self._used_up)
            _delete(self._idle)
            # What that has closed takes leave of the loop it was opened on.
            runner.run(asyncio.sleep(0))

    async def _woken(self) -> None:
        await self._wake.wait()
        self._wake.clear()

    async def _send(self, message: messaging.Message, *, dry_run: bool) -> messaging.SendResponse:
        client = self._idle.pop() if self._idle else await self._make()
        client.calls_left -= 1
        is_answered = True
        try:
            # Alone in its batch: what the library did not expect of one message costs no other.
            batch = await messaging.send_each_async([message], dry_run=dry_run, app=client.app)
        except asyncio.CancelledError:
            is_answered = False
            raise
        finally:
            if is_answered and client.calls_left:
                self._idle.append(client)
            else:
                self._used_up.append(client)
                self._wake.set()
        [response] = batch.responses
        return response

    async def _make(self) -> _Client:
        app = firebase_admin.initialize_app(self._credentials, self._options, name=new_id())
        try:
            with _no_repeats():
                # Nothing to send: it makes the client, and does not wait for anything.
                await messaging.send_each_async([], app=app)
        except Exception:
            # Nothing is in it yet that a running loop could not close.
            firebase_admin.delete_app(app)
            raise
        return _Client(app, self._max_calls)


@dataclass(slots=True)
class _Client:
    app: firebase_admin.App
    calls_left: int


def _delete(clients: list[_Client]) -> None:
    while clients:
        firebase_admin.delete_app(clients.pop().app)


async def _cancel_calls() -> None:
    calls = asyncio.all_tasks() - {asyncio.current_task()}
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


@contextmanager
def _no_repeats() -> Iterator[None]:
    """Lets httpx clients that are made in the block send to FCM as httpx does, not as the library's transport does."""
    before = os.environ.get(_NO_PROXY)
    os.environ[_NO_PROXY] = f"https://{HOST}"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_NO_PROXY]
        else:
            os.environ[_NO_PROXY] = before


def _loop(connect_to: str) -> asyncio.AbstractEventLoop:
    if not connect_to:
        return asyncio.SelectorEventLoop()
    host, _, port = connect_to.rpartition(":")
    return _RelayedLoop(host.strip("[]"), int(port))


class _RelayedLoop(asyncio.SelectorEventLoop):
    """Connects to one place, whatever it is asked for."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._relay = (host, port)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return await super().getaddrinfo(*self._relay, **options)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        return await super().create_connection(protocol_factory, *self._relay, **options)
