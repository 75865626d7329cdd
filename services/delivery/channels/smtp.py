"""Mail over SMTP, by aiosmtplib: one transaction a mail, on connections that are kept for the next one.

The transaction is made command by command, not by the library's ``sendmail``: what became of a mail depends on how far
it had come. ``test_smtp.py`` moves nothing for its server but the URL and the CA file, which are settings.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from aiosmtplib import SMTP, SMTPException, SMTPRecipientRefused, SMTPResponseException

from services.delivery.mail import MailError, build_mail
from services.delivery.model import Answer, ProviderCheckError
from services.messages.model import AttemptOutcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from services.delivery.mail import Mail
    from services.delivery.model import Outgoing
    from services.delivery.settings import SmtpSettings
    from services.kernel.clock import Clock

_QUIT_S = 2.0
_UNAVAILABLE = 421
_QUEUE_IDS = (
    re.compile(r"\bqueued as ([^\s;,()<>]+)", re.IGNORECASE),  # Postfix, and many after it
    re.compile(r"\bid=([^\s;,()<>]+)", re.IGNORECASE),  # Exim
    re.compile(r"^(?:2\.\d\.\d )?(\S+) Message accepted", re.IGNORECASE),  # Sendmail
    re.compile(r"^(?:2\.\d\.\d )?Ok:? ([0-9a-z][0-9a-z.-]{11,})$", re.IGNORECASE),  # Amazon SES
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long each part of a call may take. RFC 5321 would wait for minutes; the lease of a message does not."""

    kept_s: float = 3.0
    """For the first answer on a kept connection: one that a firewall has forgotten never gives it."""

    open_s: float = 12.0
    """Until a new connection is encrypted and authenticated."""

    envelope_s: float = 10.0
    """Until sender and recipients are said."""

    data_s: float = 20.0
    """Until the server has taken the mail itself; what is cut off here, nobody knows."""

    idle_s: float = 30.0
    """How long a connection is kept that nobody uses: less than servers and firewalls bear."""


class Smtp:
    """A mail server as a provider; works inside of ``async with``.

    Args:
        settings: Where it is, and how to speak to it.
        now: The clock of the mails' dates.
        unsubscribe_url: Gives where a click leads that ends such mails, if it leads anywhere.
        bounds: How long it waits for the server.
    """

    name = "smtp"
    deadline_s = 35.0
    """The most that leases allow. It cuts off nothing that the bounds do not but a mail's own text."""

    def __init__(
        self,
        settings: SmtpSettings,
        *,
        now: Clock,
        unsubscribe_url: Callable[[Outgoing], str | None] = lambda _: None,
        bounds: Bounds = Bounds(),
    ) -> None:
        self.max_in_flight = settings.max_connections
        self._settings = settings
        self._server = settings.server
        self._now = now
        self._bounds = bounds
        self._unsubscribe_url = unsubscribe_url
        self._tls = ssl.create_default_context(cafile=settings.ca_file)
        self._kept: dict[SMTP, asyncio.TimerHandle] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        kept = list(self._kept)
        for client in kept:
            self._kept.pop(client).cancel()
        await asyncio.gather(*map(_end, kept))

    async def deliver(self, outgoing: Outgoing) -> Answer:
        """Sends one mail, to its recipient and all copies at once."""
        try:
            # Apart, since megabytes are encoded here.
            mail = await asyncio.to_thread(self._build, outgoing)
        except MailError as error:
            return Answer(AttemptOutcome.PERMANENT_FAILURE, detail=str(error))
        answer = None
        if kept := self._take():
            answer = await self._deliver_on(kept, mail, was_kept=True)
        if answer is None:
            try:
                opened = await self._open()
            except ProviderCheckError as error:
                # Whatever code it has: that the server does not want us says nothing about the mail.
                return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=str(error))
            answer = await self._deliver_on(opened, mail)
        assert answer is not None, "a new connection gives an answer"
        return answer

    async def check(self) -> None:
        """Connects, encrypts, authenticates and leaves.

        Raises:
            ProviderCheckError: If that fails.
        """
        client = await self._open()
        try:
            async with asyncio.timeout(self._bounds.envelope_s):
                await client.noop()
        except (SMTPException, OSError) as error:
            raise ProviderCheckError(self._described(error)) from None
        finally:
            await _end(client)

    def _build(self, outgoing: Outgoing) -> Mail:
        return build_mail(
            outgoing,
            from_address=self._settings.from_address,
            date=self._now(),
            unsubscribe_url=self._unsubscribe_url(outgoing) or "",
        )

    async def _deliver_on(self, client: SMTP, mail: Mail, *, was_kept: bool = False) -> Answer | None:
        """Makes the transaction, and keeps the connection if it is still good.

        Returns:
            How it ended; None if the connection ``was_kept`` and had ended before anything was said on it.
        """
        is_good = False
        try:
            answer = await self._transact(client, mail, was_kept=was_kept)
            if answer and answer.outcome is not AttemptOutcome.UNKNOWN and client.is_connected:
                is_good = answer.outcome is AttemptOutcome.ACCEPTED or await self._is_reset(client)
            return answer
        finally:
            if is_good:
                self._keep(client)
            else:
                client.close()

    async def _transact(self, client: SMTP, mail: Mail, *, was_kept: bool) -> Answer | None:
        if mail.needs_utf8 and not client.supports_extension("smtputf8"):
            problem = "an address of the mail needs SMTPUTF8, which the mail server does not have"
            return Answer(AttemptOutcome.PERMANENT_FAILURE, detail=problem)
        refused = []
        is_begun = False
        try:
            async with asyncio.timeout(self._bounds.envelope_s):
                await self._begin(client, mail, timeout_s=self._bounds.kept_s if was_kept else self._bounds.envelope_s)
                is_begun = True
                encoding = "utf-8" if mail.needs_utf8 else "ascii"
                # The mail is for this one: is it refused, nobody gets a copy.
                await client.rcpt(mail.recipient, encoding=encoding)
                for address in mail.copies:
                    try:
                        await client.rcpt(address, encoding=encoding)
                    except SMTPRecipientRefused as error:
                        if error.code == _UNAVAILABLE:
                            raise
                        refused.append(error)
        except SMTPResponseException as error:
            if was_kept and not is_begun and error.code == _UNAVAILABLE:
                return None
            return self._refusal(error)
        except (SMTPException, OSError) as error:
            # What it still has to say would be taken for the answer to something else.
            client.close()
            if was_kept and not is_begun:
                return None
            return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=self._described(error))
        try:
            async with asyncio.timeout(self._bounds.data_s):
                response = await client.data(mail.content)
        except SMTPResponseException as error:
            return self._refusal(error, otherwise=AttemptOutcome.UNKNOWN)
        except (SMTPException, OSError) as error:
            return Answer(AttemptOutcome.UNKNOWN, detail=self._described(error))
        detail = ""
        if refused:
            # Not tried again: those that were accepted would get it twice.
            detail = f"{len(refused)} of {len(mail.copies)} copies were refused: {self._described(refused[0])}"
        provider_id = queue_id(response.message) or mail.message_id
        return Answer(AttemptOutcome.ACCEPTED, provider_id=provider_id, detail=detail)

    async def _begin(self, client: SMTP, mail: Mail, *, timeout_s: float) -> None:
        options = [f"SIZE={len(mail.content)}"] if client.supports_extension("size") else []
        if mail.needs_utf8:
            options += ["BODY=8BITMIME", "SMTPUTF8"]
        encoding = "utf-8" if mail.needs_utf8 else "ascii"
        await client.mail(mail.sender, options=options, encoding=encoding, timeout=timeout_s)

    async def _open(self) -> SMTP:
        """Gives a new connection, encrypted and authenticated as the settings want it.

        Raises:
            ProviderCheckError: If there is none.
        """
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.is_tls,
            start_tls=False,
            tls_context=self._tls,
            timeout=self.deadline_s,
            # Else it is looked up, in a thread for each connection.
            local_hostname=self._settings.hello_name or "localhost",
        )
        is_open = False
        try:
            async with asyncio.timeout(self._bounds.open_s):
                await client.connect()
                client.local_hostname = self._settings.hello_name or _own_address(client)
                await client.ehlo()
                await self._encrypt(client)
                if server.user:
                    await client.login(server.user, server.password)
            is_open = True
            return client
        except TimeoutError:
            raise ProviderCheckError(
                f"{server.host}:{server.port} did not answer within {self._bounds.open_s:g} s"
            ) from None
        # ValueError: what the server says in AUTH is decoded.
        except (SMTPException, OSError, ValueError) as error:
            raise ProviderCheckError(self._described(error)) from None
        finally:
            if not is_open:
                client.close()

    async def _encrypt(self, client: SMTP) -> None:
        server, settings = self._server, self._settings
        if server.is_tls:
            return
        if settings.starttls != "never" and client.supports_extension("starttls"):
            await client.starttls()
            await client.ehlo()
            return
        if settings.starttls == "required":
            raise ProviderCheckError("the mail server offers no STARTTLS, and CARILLON_SMTP__STARTTLS is required")
        if server.user and not (server.is_here or settings.plain_auth):
            raise ProviderCheckError(
                "the connection is not encrypted, so the password is not sent: use smtps:// or a server with STARTTLS,"
                " or set CARILLON_SMTP__PLAIN_AUTH"
            )

    async def _is_reset(self, client: SMTP) -> bool:
        try:
            await client.rset(timeout=self._bounds.kept_s)
        except (SMTPException, OSError):
            return False
        return True

    def _take(self) -> SMTP | None:
        """Gives the connection that was used last, if one is there that the server has not ended."""
        while self._kept:
            client, timer = self._kept.popitem()
            timer.cancel()
            if client.is_connected:
                return client
        return None

    def _keep(self, client: SMTP) -> None:
        self._kept[client] = asyncio.get_running_loop().call_later(self._bounds.idle_s, self._forget, client)

    def _forget(self, client: SMTP) -> None:
        del self._kept[client]
        client.close()

    def _refusal(
        self, error: SMTPResponseException, *, otherwise: AttemptOutcome = AttemptOutcome.TEMPORARY_FAILURE
    ) -> Answer:
        """Gives what a refusal means; ``otherwise`` is for an answer that is none."""
        match error.code // 100:
            case 5:
                outcome = AttemptOutcome.PERMANENT_FAILURE
            case 4:
                outcome = AttemptOutcome.TEMPORARY_FAILURE
            case _:
                outcome = otherwise
        return Answer(outcome, detail=self._described(error))

    def _described(self, error: Exception) -> str:
        """Gives an error's own words, without credentials, which some servers repeat."""
        if isinstance(error, SMTPResponseException):
            text = f"{error.code} {error.message}"
        else:
            text = str(error) or "the mail server did not answer in time"
        user, password = self._server.user, self._server.password
        if password:
            encoded = (base64.b64encode(one.encode()).decode() for one in (f"\0{user}\0{password}", password))
            for secret in (*encoded, password):
                text = text.replace(secret, "…")
        return text


def queue_id(text: str) -> str:
    """Gives the id under which a server has queued a mail, out of its last answer; empty where it says none."""
    line = text.strip().splitlines()[-1].strip() if text.strip() else ""
    return next((found[1].rstrip(".") for pattern in _QUEUE_IDS if (found := pattern.search(line))), "")


def _own_address(client: SMTP) -> str:
    """Gives our end of a connection as a literal (RFC 5321, section 4.1.3), which needs no name server."""
    address = ip_address(str(client.get_transport_info("sockname")[0]).partition("%")[0])
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


async def _end(client: SMTP) -> None:
    try:
        await client.quit(timeout=_QUIT_S)
    except (SMTPException, OSError):
        client.close()
