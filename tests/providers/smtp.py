"""A mail server on loopback: aiosmtpd, which a test can let refuse, cut and hang at every step."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any, Literal, cast

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from email.message import EmailMessage

USER, PASSWORD = "carillon@example.com", "p@ss/w:rd%"

CUT = "CUT"
"""A reply that is none: the connection ends."""

HANG = "HANG"
"""A reply that does not come before the connection ends."""

Step = Literal["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BODY", "ANSWER", "RSET", "NOOP"]
"""What can be answered otherwise than usual. DATA: before the text. BODY: in the middle of it. ANSWER: after it."""


@dataclass(frozen=True)
class ReceivedMail:
    """A mail as it was handed over."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    options: tuple[str, ...]
    """What stood after the sender in MAIL."""

    hello: str
    user: str
    """Who had authenticated; empty: nobody."""

    is_encrypted: bool
    connection: int
    """Which connection of the server's it came by, from 1."""

    @property
    def message(self) -> EmailMessage:
        """The mail as a mail program reads it."""
        return message_from_bytes(self.content, policy=policy.default)

    def header(self, name: str) -> str:
        """Gives a header as a mail program reads it; empty where there is none."""
        return str(self.message[name] or "")

    def part(self, kind: str) -> str:
        """Gives the text of the part of a subtype: ``plain`` or ``html``."""
        body = self.message.get_body((kind,))
        return str(body.get_content()).replace("\r\n", "\n") if body else ""

    def files(self) -> dict[str, tuple[str, bytes]]:
        """Gives the attachments: type and bytes by name."""
        return {
            str(one.get_filename()): (one.get_content_type(), cast("bytes", one.get_payload(decode=True)))
            for one in self.message.iter_attachments()
        }


@dataclass
class SmtpServer:
    """What a mail server has got, and how it answers; `run` makes it listen.

    Args:
        queue_id: What it says that a mail is queued as; empty: nothing.
        has_utf8: Whether it takes addresses that are not ASCII.
        wants_auth: Whether it takes mails only from `USER`.
        max_bytes: The largest mail that it takes.
    """

    queue_id: str = "4XyZ"
    has_utf8: bool = True
    wants_auth: bool = False
    max_bytes: int = 33_554_432
    mails: list[ReceivedMail] = field(default_factory=list)
    connections: int = 0
    """How many there ever were."""

    resets: int = 0
    quits: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    """What it says to the recipients that it does not take."""

    reply: Callable[[ReceivedMail], str] | None = None
    """Gives the last answer to each mail, for servers that fail at random; empty: the usual one."""

    hung: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released when a reply begins to hang."""

    port: int = 0
    _open: set[_Session | _Refusing] = field(default_factory=set)
    all_ended: asyncio.Event = field(default_factory=asyncio.Event)
    _script: dict[Step, deque[str]] = field(default_factory=lambda: defaultdict(deque))

    def __post_init__(self) -> None:
        self.all_ended.set()

    def script(self, step: Step, *replies: str) -> None:
        """Sets what the next times are answered at a step."""
        self._script[step].extend(replies)

    def next_reply(self, step: Step) -> str:
        """Takes what a step is answered now; empty: the usual."""
        return self._script[step].popleft() if self._script[step] else ""

    async def drop(self) -> None:
        """Ends all connections, as a server does with those that are idle, and waits until they have ended."""
        for session in list(self._open):
            session.abort()
        await self.all_ended.wait()

    def began(self, session: _Session | _Refusing) -> None:
        """Notes that a connection is open."""
        self._open.add(session)
        self.all_ended.clear()

    def ended(self, session: _Session | _Refusing) -> None:
        """Notes that a connection is not open any more."""
        self._open.discard(session)
        if not self._open:
            self.all_ended.set()

    @asynccontextmanager
    async def run(
        self, context: ssl.SSLContext | None = None, *, is_tls: bool = False, offers_starttls: bool = True
    ) -> AsyncIterator[SmtpServer]:
        """Listens on a port of its own until the block ends.

        Args:
            context: Its certificate. Absent: it speaks no TLS.
            is_tls: Whether it speaks TLS from the start.
            offers_starttls: Whether it offers to begin with it.
        """

        def accept() -> asyncio.Protocol:
            self.connections += 1
            if greeting := self.next_reply("CONNECT"):
                return _Refusing(self, greeting)
            return _Session(self, context if offers_starttls and not is_tls else None, is_tls=is_tls)

        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        server = await asyncio.get_running_loop().create_server(accept, sock=listening, ssl=context if is_tls else None)
        async with server:
            try:
                yield self
            finally:
                await self.drop()


class _Refusing(asyncio.Protocol):
    """A connection that is turned away with its greeting."""

    def __init__(self, owner: SmtpServer, greeting: str) -> None:
        self._owner = owner
        self._greeting = greeting
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._owner.began(self)
        if self._greeting == HANG:
            self._owner.hung.release()
            return
        if self._greeting != CUT:
            self._transport.write(self._greeting.encode() + b"\r\n")
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._owner.ended(self)

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()


class _Session(SMTP):
    """A connection: each step asks the script first."""

    def __init__(self, owner: SmtpServer, context: ssl.SSLContext | None, *, is_tls: bool) -> None:
        super().__init__(
            _Handler(owner),
            hostname="mail.example.com",
            enable_SMTPUTF8=owner.has_utf8,
            data_size_limit=owner.max_bytes,
            tls_context=context,
            authenticator=self._authenticate,
            auth_require_tls=context is not None,
            loop=asyncio.get_running_loop(),
        )
        self.owner = owner
        self.number = owner.connections
        self.is_encrypted = is_tls
        self._is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.is_encrypted = transport.get_extra_info("sslcontext") is not None
        super().connection_made(transport)
        self.owner.began(self)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            super().connection_lost(error)
            self.owner.ended(self)

    def abort(self) -> None:
        transport = cast("asyncio.Transport | None", self.transport)
        if transport:
            # One of TLS that has ended by itself has nothing left to abort, before Python 3.11.4 at least.
            if not transport.is_closing():
                transport.abort()
            # In the middle of a handshake nobody else says so.
            self.connection_lost(None)

    async def scripted(self, step: Step, usual: str = "") -> str:
        """Gives the reply of a step; where that is none, ends this connection's task with it."""
        reply = self.owner.next_reply(step) or usual
        if reply == HANG:
            self.owner.hung.release()
            await asyncio.Event().wait()
        if reply == CUT:
            self.abort()
            await asyncio.Event().wait()
        return reply

    async def smtp_EHLO(self, arg: str) -> None:
        if reply := await self.scripted("EHLO"):
            await self.push(reply)
        else:
            await super().smtp_EHLO(arg)

    async def smtp_STARTTLS(self, arg: str) -> None:
        if reply := await self.scripted("STARTTLS"):
            await self.push(reply)
        else:
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:
        if reply := await self.scripted("AUTH"):
            await self.push(reply)
        else:
            await super().smtp_AUTH(arg)

    async def smtp_DATA(self, arg: str) -> None:
        if reply := await self.scripted("DATA"):
            await self.push(reply)
            return
        if self.owner.next_reply("BODY") == CUT:
            await self.push("354 go on")
            await self._reader.readline()
            self.abort()
            return
        await super().smtp_DATA(arg)

    def _authenticate(self, *call: Any) -> AuthResult:
        login = cast("LoginPassword", call[-1])
        is_right = login == LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=is_right, handled=False, auth_data=login)


class _Handler:
    """The steps of a transaction; the names are aiosmtpd's."""

    def __init__(self, owner: SmtpServer) -> None:
        self._owner = owner

    async def handle_MAIL(self, server: _Session, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        reply = await server.scripted("MAIL")
        if not reply and self._owner.wants_auth and not session.authenticated:
            reply = "530 5.7.0 Authentication required"
        if reply:
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server: _Session, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if reply := await server.scripted("RCPT", self._owner.refused.get(address, "")):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: _Session, session: Any, envelope: Any) -> str:
        mail = ReceivedMail(
            sender=envelope.mail_from,
            recipients=tuple(envelope.rcpt_tos),
            content=envelope.original_content or envelope.content,
            options=tuple(envelope.mail_options),
            hello=session.host_name,
            user=session.auth_data.login.decode() if session.authenticated else "",
            is_encrypted=server.is_encrypted,
            connection=server.number,
        )
        reply = await server.scripted("ANSWER", self._owner.reply(mail) if self._owner.reply else "")
        if reply and not reply.startswith("2"):
            return reply
        self._owner.mails.append(mail)
        return reply or f"250 2.0.0 Ok: queued as {self._owner.queue_id}".removesuffix(": queued as ")

    async def handle_RSET(self, server: _Session, session: Any, envelope: Any) -> str:
        self._owner.resets += 1
        return await server.scripted("RSET", "250 OK")

    async def handle_NOOP(self, server: _Session, session: Any, envelope: Any, arg: str) -> str:
        return await server.scripted("NOOP", "250 OK")

    async def handle_QUIT(self, server: _Session, session: Any, envelope: Any) -> str:
        self._owner.quits += 1
        return "221 Bye"
