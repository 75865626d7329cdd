"""firebase-admin's client, kept so that it can be closed, makes one request a call, and can be led another way.

What the library does not offer, and what is done about it with nothing but its public surface:

- Its asynchronous client belongs to the event loop it first ran on, yet `delete_app` closes it by `asyncio.run`, which
  a running loop refuses and another thread must not do. So it gets a thread with a loop of its own: there, `delete_app`
  comes after that loop's work and before its end.
- Its transport repeats a request up to four times after 500 and 503, whatever ``Retry-After`` says, and never closes
  the answers that it drops: each keeps one of the 100 streams of the connection, and memory, for ever. Which transport
  a host gets, httpx decides by ``NO_PROXY``: the host that it names goes past the transport that repeats. The variable
  is set for the moment in which the client is made. (Proxies are no loss: the library's transports hide them anyway.)
- A call that is given up keeps its stream too: httpx forgets it without a word to the server. So the calls after it get
  another client, with another connection; the one before ends with the calls that are still under way on it.
- It knows one host. Where a network lets nobody out directly, ``connect_to`` leads the connections to a relay, by the
  loop's own `getaddrinfo` and `create_connection`; TLS is still with that host, so the relay must pass it through.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
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
    """Makes calls to FCM, over a connection that has answered all of them so far.

    Args:
        project_id: The Firebase project.
        credentials: Hold the access token.
        timeout_s: How long connecting, writing and the answer may take, each.
        connect_to: host:port of what passes on to FCM; empty: FCM itself.
    """

    def __init__(self, project_id: str, credentials: Credentials, *, timeout_s: float, connect_to: str = "") -> None:
        self._options = {"projectId": project_id, "httpTimeout": timeout_s}
        self._credentials = credentials
        self._connect_to = connect_to
        self._line: _Line | None = None
        self._lines: list[_Line] = []

    async def __aenter__(self) -> FcmClient:
        # Here and not with the first call, so that what keeps it from being made ends the start.
        line = self._open()
        try:
            await asyncio.wrap_future(line.started)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def send(self, message: messaging.Message, *, dry_run: bool = False) -> messaging.SendResponse:
        """Makes one request and gives what the library makes of the answer.

        Raises:
            ValueError: If the library finds that FCM would not take the message.
            FirebaseError: If the library did not understand the answer.
        """
        line = self._line or self._open()
        try:
            return await line.send(message, dry_run=dry_run)
        except asyncio.CancelledError:
            if line is self._line:
                self._line = None
                line.end()
            raise

    def _open(self) -> _Line:
        self._lines = [line for line in self._lines if line.thread.is_alive()]
        line = self._line = _Line(self._credentials, self._options, _loop(self._connect_to))
        self._lines.append(line)
        line.thread.start()
        return line

    async def _close(self) -> None:
        for line in self._lines:
            line.end()
        for line in self._lines:
            await asyncio.to_thread(line.thread.join)


class _Line:
    """An App of the library with its client and its connection, in a thread of its own."""

    def __init__(self, credentials: Credentials, options: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self.started: Future[None] = Future()
        self.thread = threading.Thread(target=self._run, name="fcm", daemon=True)
        self._app = firebase_admin.initialize_app(credentials, options, name=new_id())
        self._loop = loop
        self._ended = asyncio.Event()

    async def send(self, message: messaging.Message, *, dry_run: bool) -> messaging.SendResponse:
        # Alone in its batch: what the library did not expect of one message costs no other.
        batch = messaging.send_each_async([message], dry_run=dry_run, app=self._app)
        call = asyncio.run_coroutine_threadsafe(batch, self._loop)
        [response] = (await asyncio.wrap_future(call)).responses
        return response

    def end(self) -> None:
        """Ends the thread after the calls that are under way; may be called again."""
        # Where the loop is closed, the thread has ended by itself.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                with _no_repeats():
                    # Nothing to send: it makes the client.
                    runner.run(messaging.send_each_async([], app=self._app))
            except Exception as error:
                self.started.set_exception(error)
            else:
                runner.run(self._work())
            firebase_admin.delete_app(self._app)
            # What that has closed takes leave of the loop it was opened on.
            runner.run(asyncio.sleep(0))

    async def _work(self) -> None:
        # Else nobody waits for it any more.
        if self.started.set_running_or_notify_cancel():
            self.started.set_result(None)
        await self._ended.wait()
        calls = asyncio.all_tasks() - {asyncio.current_task()}
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
