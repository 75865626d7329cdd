"""The mail channel on a real mail server: what arrives, over which connections, and what each failure comes to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from services.delivery.channels.smtp import Bounds, Smtp, queue_id
from services.delivery.mail import MAX_MAIL_BYTES
from services.delivery.model import Answer, File, Outgoing, ProviderCheckError
from services.delivery.settings import SmtpSettings
from services.kernel.clock import utc_now
from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome
from services.messages.options import EmailOptions, SendOptions
from tests.providers.authority import Authority
from tests.providers.smtp import CUT, HANG, PASSWORD, USER, SmtpServer, Step
from tests.unit.services.builders import ENVIRONMENT, NOW, content

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="session")

ACCEPTED = AttemptOutcome.ACCEPTED
TEMPORARY = AttemptOutcome.TEMPORARY_FAILURE
PERMANENT = AttemptOutcome.PERMANENT_FAILURE
UNKNOWN = AttemptOutcome.UNKNOWN
CREDENTIALS = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
WRONG_CREDENTIALS = f"{quote(USER, safe='')}:wrong-password@"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Gives who signs the servers' certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


def outgoing(*copies: str, target: str = "spongebob@squarepants.com", **fields: Any) -> Outgoing:
    """Makes a call for a mail, with hidden copies."""
    made: dict[str, Any] = {
        "environment": ENVIRONMENT,
        "user_id": "userId_123abc",
        "tracking_id": "m1",
        "notification_id": "order_tracking",
        "content": content(Channel.EMAIL, subject="Hello", html="<p>Hello</p>"),
        "target": target,
        "expire_time": NOW,
        "options": SendOptions(email=EmailOptions(bcc_addresses=copies)),
    }
    return Outgoing(**made | fields)


@asynccontextmanager
async def channel(
    server: SmtpServer,
    *,
    scheme: str = "smtp",
    host: str = "127.0.0.1",
    credentials: str = "",
    bounds: Bounds | None = None,
    unsubscribe_url: Callable[[Outgoing], str | None] = lambda _: None,
    **fields: Any,
) -> AsyncIterator[Smtp]:
    """Gives the channel to a server, until the block ends."""
    settings = SmtpSettings(
        url=SecretStr(f"{scheme}://{credentials}{host}:{server.port}"),
        from_address="notifications@example.com",
        **fields,
    )
    async with Smtp(settings, now=utc_now, unsubscribe_url=unsubscribe_url, bounds=bounds or Bounds()) as opened:
        yield opened


async def delivered(server: SmtpServer, call: Outgoing | None = None, **fields: Any) -> Answer:
    """Sends one mail to a server over a channel of its own."""
    async with server.run(), channel(server, **fields) as opened:
        return await opened.deliver(call or outgoing())


async def test_a_mail_is_handed_over() -> None:
    """What a server accepts is accepted, under the server's own id."""
    server = SmtpServer(queue_id="4XyZ")

    answer = await delivered(server, outgoing("copy@example.com"))

    assert answer == Answer(ACCEPTED, provider_id="4XyZ")
    [mail] = server.mails
    assert (mail.sender, mail.recipients) == (
        "notifications@example.com",
        ("spongebob@squarepants.com", "copy@example.com"),
    )
    assert mail.part("html") == "<p>Hello</p>\n"
    assert mail.options[0] == f"SIZE={len(mail.content)}"
    assert mail.hello == "[127.0.0.1]"


async def test_a_mail_can_be_ended_with_one_click() -> None:
    """Where a link can be made for the mail, its headers have it."""
    server = SmtpServer()

    await delivered(server, unsubscribe_url=lambda call: f"https://carillon.example.com/u/{call.user_id}")

    assert server.mails[0].header("List-Unsubscribe") == "<https://carillon.example.com/u/userId_123abc>"
    assert server.mails[0].header("List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"


async def test_a_server_without_ids() -> None:
    """Where the server says no id, the mail's own is the provider's."""
    server = SmtpServer(queue_id="")

    answer = await delivered(server, hello_name="worker.example.com")

    assert answer.provider_id == server.mails[0].header("Message-ID") == "<m1@example.com>"
    assert server.mails[0].hello == "worker.example.com"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.0.0 Ok: queued as 4XyZ", "4XyZ"),
        ("OK id=1rXYZ-0001Ab-2C", "1rXYZ-0001Ab-2C"),
        ("2.0.0 3AR9xq0123 Message accepted for delivery", "3AR9xq0123"),
        ("Ok 0100018c5f-a1b2-000000", "0100018c5f-a1b2-000000"),
        ("2.0.0 first line\nqueued as <abc>.", ""),
        ("queued as abc.", "abc"),
        ("OK", ""),
        ("", ""),
    ],
)
async def test_the_id_of_a_server_is_found(text: str, expected: str) -> None:
    """The queue id is read out of what the usual servers say."""
    assert queue_id(text) == expected


async def test_connections_are_kept() -> None:
    """Mails that follow each other go over one connection, and it is left politely at the end."""
    server = SmtpServer()
    async with server.run():
        async with channel(server) as opened:
            for _ in range(3):
                assert (await opened.deliver(outgoing())).outcome is ACCEPTED
        assert server.quits == 1

    assert [mail.connection for mail in server.mails] == [1, 1, 1]
    assert server.connections == 1


async def test_mails_at_once_have_connections_of_their_own() -> None:
    """As many connections are opened as there are mails at once, and then used again."""
    server = SmtpServer()
    server.script("ANSWER", HANG, HANG)
    async with server.run(), channel(server, max_connections=2) as opened, asyncio.TaskGroup() as tasks:
        hanging = [tasks.create_task(opened.deliver(outgoing())) for _ in range(2)]
        for _ in hanging:
            await server.hung.acquire()
        assert server.connections == 2
        await server.drop()
    assert [task.result().outcome for task in hanging] == [UNKNOWN, UNKNOWN]


@pytest.mark.parametrize("target", ["spongebob@squarepants.com", "jörg@example.com"])
async def test_a_connection_that_the_server_ended_is_replaced(target: str) -> None:
    """A server that ended an idle connection costs no attempt, and what it could do is asked of the next."""
    server = SmtpServer()
    async with server.run(), channel(server) as opened:
        await opened.deliver(outgoing())
        await server.drop()
        for _ in range(20):
            # The end of the connection is seen here in a turn of the loop, if not in this one.
            await asyncio.sleep(0)
        assert (await opened.deliver(outgoing(target=target))).outcome is ACCEPTED

    assert [mail.connection for mail in server.mails] == [1, 2]


@pytest.mark.parametrize("reply", [CUT, HANG, "421 4.4.2 idle for too long"])
async def test_a_kept_connection_that_ends_when_it_is_used_is_replaced(reply: str) -> None:
    """A kept connection that turns out to be dead is replaced by a new one within the same attempt."""
    server = SmtpServer()
    async with server.run(), channel(server, bounds=Bounds(kept_s=0.3)) as opened:
        await opened.deliver(outgoing())
        server.script("MAIL", reply)
        assert (await opened.deliver(outgoing())).outcome is ACCEPTED

    assert [mail.connection for mail in server.mails] == [1, 2]


async def test_a_new_connection_is_tried_once() -> None:
    """A new connection that ends at once costs the attempt, so that a broken server is not called in a loop."""
    server = SmtpServer()
    async with server.run(), channel(server) as opened:
        await opened.deliver(outgoing())
        server.script("MAIL", CUT, CUT)
        answer = await opened.deliver(outgoing())

    assert answer.outcome is TEMPORARY
    assert server.connections == 2


async def test_an_idle_connection_is_not_kept_for_long() -> None:
    """A connection that nobody uses is closed from here, before a firewall forgets it."""
    server = SmtpServer()
    async with server.run(), channel(server, bounds=Bounds(idle_s=0)) as opened:
        await opened.deliver(outgoing())
        await server.all_ended.wait()
        assert (await opened.deliver(outgoing())).outcome is ACCEPTED

    assert server.connections == 2


async def test_a_refused_mail_leaves_its_connection_usable() -> None:
    """After a refusal the transaction is reset, and the next mail goes over the same connection."""
    server = SmtpServer()
    server.script("RCPT", "550 5.1.1 no such user")
    async with server.run(), channel(server) as opened:
        assert (await opened.deliver(outgoing())).outcome is PERMANENT
        assert (await opened.deliver(outgoing())).outcome is ACCEPTED

    assert (server.connections, server.resets) == (1, 1)


@pytest.mark.parametrize("reply", [CUT, HANG, "421 4.3.2 going down"])
async def test_a_connection_that_cannot_be_reset_is_not_used_again(reply: str) -> None:
    """A connection that does not come back from a refusal is left, and the refusal stands."""
    server = SmtpServer()
    server.script("RCPT", "550 5.1.1 no such user")
    server.script("RSET", reply)
    async with server.run(), channel(server, bounds=Bounds(kept_s=0.3)) as opened:
        assert (await opened.deliver(outgoing())).outcome is PERMANENT
        assert (await opened.deliver(outgoing())).outcome is ACCEPTED

    assert server.connections == 2


@pytest.mark.parametrize(
    ("step", "reply", "outcome"),
    [
        ("CONNECT", "421 4.3.2 too busy", TEMPORARY),
        ("CONNECT", "554 5.3.2 you are not welcome", TEMPORARY),
        ("CONNECT", CUT, TEMPORARY),
        ("EHLO", "421 4.3.2 too busy", TEMPORARY),
        ("EHLO", "550 5.7.1 who are you", TEMPORARY),
        ("EHLO", CUT, TEMPORARY),
        ("MAIL", "421 4.3.2 too busy", TEMPORARY),
        ("MAIL", "451 4.3.0 later", TEMPORARY),
        ("MAIL", "550 5.7.1 not from there", PERMANENT),
        ("MAIL", "no answer at all", TEMPORARY),
        ("MAIL", CUT, TEMPORARY),
        ("RCPT", "421 4.3.2 too busy", TEMPORARY),
        ("RCPT", "450 4.2.0 greylisted", TEMPORARY),
        ("RCPT", "550 5.1.1 no such user", PERMANENT),
        ("RCPT", CUT, TEMPORARY),
        ("DATA", "421 4.3.2 too busy", TEMPORARY),
        ("DATA", "451 4.3.0 later", TEMPORARY),
        ("DATA", "554 5.5.1 no", PERMANENT),
        ("DATA", CUT, UNKNOWN),
        ("BODY", CUT, UNKNOWN),
        ("ANSWER", "421 4.3.2 going down", TEMPORARY),
        ("ANSWER", "452 4.3.1 disk full", TEMPORARY),
        ("ANSWER", "554 5.7.1 spam", PERMANENT),
        ("ANSWER", "no answer at all", UNKNOWN),
        ("ANSWER", CUT, UNKNOWN),
    ],
)
async def test_each_failure_is_what_it_is(step: Step, reply: str, outcome: AttemptOutcome) -> None:
    """Refusals before MAIL and codes of 400 are temporary, other codes permanent; the detail is the server's words.

    What was sent and never answered is unknown.
    """
    server = SmtpServer()
    server.script(step, reply)

    answer = await delivered(server)

    assert answer.outcome is outcome
    assert answer.detail
    if reply[0].isdigit():
        assert answer.detail == reply
    assert server.mails == []


@pytest.mark.parametrize(
    ("step", "bounds", "outcome"),
    [
        ("CONNECT", Bounds(open_s=0.3, kept_s=3600), TEMPORARY),
        ("EHLO", Bounds(open_s=0.3, kept_s=3600), TEMPORARY),
        ("MAIL", Bounds(envelope_s=0.3, kept_s=3600), TEMPORARY),
        ("RCPT", Bounds(envelope_s=0.3, kept_s=3600), TEMPORARY),
        ("ANSWER", Bounds(data_s=0.3, kept_s=3600), UNKNOWN),
    ],
)
async def test_a_server_that_hangs_is_left(step: Step, bounds: Bounds, outcome: AttemptOutcome) -> None:
    """Each part of a transaction has a deadline of its own, so that the log says how far it came.

    Nothing more is asked on such a connection: a late answer would be taken for that to something else.
    """
    server = SmtpServer()
    server.script(step, HANG)

    answer = await delivered(server, bounds=bounds)

    assert answer.outcome is outcome
    assert "did not answer" in answer.detail
    assert server.resets == 0


async def test_the_deadlines_fit_into_that_of_the_call() -> None:
    """What is cut off before the text is sent is so before the worker would call it unknown."""
    bounds = Bounds()

    assert bounds.kept_s + bounds.open_s + bounds.envelope_s < Smtp.deadline_s


async def test_nobody_there_is_temporary() -> None:
    """A server that is away is tried again."""
    server = SmtpServer()
    async with server.run():
        pass

    async with channel(server) as opened:
        answer = await opened.deliver(outgoing())

    assert answer.outcome is TEMPORARY
    assert str(server.port) in answer.detail


async def test_a_refused_copy_costs_the_copy() -> None:
    """The mail goes to its recipient and the other copies, and the log says what was refused."""
    server = SmtpServer(refused={"gone@example.com": "550 5.1.1 gone", "later@example.com": "450 4.2.0 later"})

    answer = await delivered(server, outgoing("gone@example.com", "there@example.com", "later@example.com"))

    assert answer.outcome is ACCEPTED
    assert answer.detail == "2 of 3 copies were refused: 550 5.1.1 gone"
    assert [mail.recipients for mail in server.mails] == [("spongebob@squarepants.com", "there@example.com")]


async def test_a_server_that_leaves_in_the_middle_of_the_copies() -> None:
    """A server that goes away among the recipients gets no text, so the mail is simply tried again."""
    server = SmtpServer(refused={"second@example.com": "421 4.3.2 going down"})

    answer = await delivered(server, outgoing("first@example.com", "second@example.com", "third@example.com"))

    assert answer == Answer(TEMPORARY, detail="421 4.3.2 going down")
    assert server.mails == []


async def test_without_its_recipient_a_mail_goes_to_nobody() -> None:
    """A mail whose own recipient is refused is not sent to the copies."""
    server = SmtpServer(refused={"spongebob@squarepants.com": "550 5.1.1 gone"})

    answer = await delivered(server, outgoing("there@example.com"))

    assert answer == Answer(PERMANENT, detail="550 5.1.1 gone")
    assert server.mails == []


async def test_a_cancelled_call_leaves_nothing_open() -> None:
    """A call that is cancelled takes its connection with it."""
    server = SmtpServer()
    server.script("ANSWER", HANG)
    async with server.run(), channel(server) as opened:
        task = asyncio.create_task(opened.deliver(outgoing()))
        await server.hung.acquire()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.all_ended.wait()
        assert (await opened.deliver(outgoing())).outcome is ACCEPTED

    assert server.connections == 2


async def test_addresses_beyond_ascii() -> None:
    """An address that needs SMTPUTF8 arrives where the server has it, in envelope and header."""
    server = SmtpServer()

    answer = await delivered(server, outgoing(target="jörg@bücher.example"))

    assert answer.outcome is ACCEPTED
    assert server.mails[0].recipients == ("jörg@xn--bcher-kva.example",)
    assert "SMTPUTF8" in server.mails[0].options
    assert "To: jörg@xn--bcher-kva.example\r\n".encode() in server.mails[0].content


async def test_a_server_without_utf8() -> None:
    """Where the server lacks SMTPUTF8, such an address is a permanent failure that says so; a domain alone is none."""
    server = SmtpServer(has_utf8=False)
    async with server.run(), channel(server) as opened:
        answer = await opened.deliver(outgoing(target="jörg@example.com"))
        assert answer.outcome is PERMANENT
        assert answer.detail == "an address of the mail needs SMTPUTF8, which the mail server does not have"
        assert (await opened.deliver(outgoing(target="joerg@bücher.example"))).outcome is ACCEPTED


async def test_too_large_a_mail() -> None:
    """More than any mail may have is not even tried; what is too much for the server is for it to say."""
    server = SmtpServer(max_bytes=100_000)
    async with server.run(), channel(server) as opened:
        huge = await opened.deliver(outgoing(files=(File("a.bin", "", bytes(MAX_MAIL_BYTES + 1)),)))
        large = await opened.deliver(outgoing(files=(File("a.bin", "", bytes(200_000)),)))

    assert (huge.outcome, large.outcome) == (PERMANENT, PERMANENT)
    assert str(MAX_MAIL_BYTES) in huge.detail
    assert large.detail.startswith("552 ")
    assert server.connections == 1


async def test_many_lines_that_begin_with_a_dot() -> None:
    """A text that looks like the end of the mail is not."""
    server = SmtpServer()
    text = ".\r\n..\r\n.QUIT\r\n" + "x" * 5000 + "\r\nend\r\n"

    answer = await delivered(server, outgoing(content=content(Channel.EMAIL, subject="s", text=text)))

    assert answer.outcome is ACCEPTED
    assert server.mails[0].part("plain") == text.replace("\r\n", "\n")


async def test_starttls_is_used_where_it_is_offered(authority: Authority) -> None:
    """A connection becomes an encrypted one before credentials are sent; user and password are percent-decoded."""
    server = SmtpServer(wants_auth=True)
    async with (
        server.run(authority.server_context("localhost", alpn="smtp")),
        channel(server, host="localhost", credentials=CREDENTIALS, ca_file=authority.ca_file) as opened,
    ):
        answer = await opened.deliver(outgoing())

    assert answer.outcome is ACCEPTED
    assert (server.mails[0].is_encrypted, server.mails[0].user) == (True, USER)


async def test_tls_from_the_start(authority: Authority) -> None:
    """smtps:// speaks TLS from the first byte."""
    server = SmtpServer(wants_auth=True)
    async with (
        server.run(authority.server_context("localhost", alpn="smtp"), is_tls=True),
        channel(server, scheme="smtps", host="localhost", credentials=CREDENTIALS, ca_file=authority.ca_file) as opened,
    ):
        answer = await opened.deliver(outgoing())

    assert answer.outcome is ACCEPTED
    assert (server.mails[0].is_encrypted, server.mails[0].user) == (True, USER)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("mistake", ["unknown authority", "another host"])
async def test_a_certificate_that_is_not_the_hosts_is_refused(
    authority: Authority, scheme: str, mistake: str, tmp_path: Path
) -> None:
    """Nothing is sent to a server whose certificate is signed by a stranger or for another host."""
    server = SmtpServer()
    context = authority.server_context("localhost" if mistake == "unknown authority" else "mail.example.com", alpn="x")
    ca_file = Authority(tmp_path).ca_file if mistake == "unknown authority" else authority.ca_file
    async with (
        server.run(context, is_tls=scheme == "smtps"),
        channel(server, scheme=scheme, host="localhost", ca_file=ca_file) as opened,
    ):
        answer = await opened.deliver(outgoing())
        with pytest.raises(ProviderCheckError, match="certificate"):
            await opened.check()

    assert answer.outcome is TEMPORARY
    assert "certificate" in answer.detail
    assert server.mails == []


async def test_starttls_can_be_required(authority: Authority) -> None:
    """Where it is required and not offered, as when somebody in between took the offer away, nothing is sent."""
    server = SmtpServer()
    async with server.run(), channel(server, starttls="required") as opened:
        answer = await opened.deliver(outgoing())

    assert answer.outcome is TEMPORARY
    assert "CARILLON_SMTP__STARTTLS" in answer.detail


async def test_starttls_that_fails_is_not_passed_over(authority: Authority) -> None:
    """A server that offers to encrypt and then cannot is not spoken to without."""
    server = SmtpServer()
    server.script("STARTTLS", "454 4.7.0 not now")
    async with (
        server.run(authority.server_context("localhost", alpn="smtp")),
        channel(server, host="localhost", ca_file=authority.ca_file) as opened,
    ):
        answer = await opened.deliver(outgoing())

    assert answer == Answer(TEMPORARY, detail="454 4.7.0 not now")


async def test_starttls_can_be_switched_off(authority: Authority) -> None:
    """With never, a server on this machine is spoken to as it is, credentials included."""
    server = SmtpServer()
    context = authority.server_context("localhost", alpn="smtp")
    async with server.run(context), channel(server, host="localhost", starttls="never") as opened:
        answer = await opened.deliver(outgoing())

    assert answer.outcome is ACCEPTED
    assert not server.mails[0].is_encrypted


async def test_a_password_stays_here_without_encryption() -> None:
    """No password goes to another machine over a connection that is not encrypted, but where the settings allow it."""
    server = SmtpServer(wants_auth=True)
    # Another machine by its name, which the resolver brings back to this one.
    async with server.run():
        async with channel(server, host="0.0.0.0", credentials=CREDENTIALS) as careful:
            answer = await careful.deliver(outgoing())
            assert answer.outcome is TEMPORARY
            assert "CARILLON_SMTP__PLAIN_AUTH" in answer.detail
        async with channel(server, host="0.0.0.0", credentials=CREDENTIALS, plain_auth=True) as allowed:
            assert (await allowed.deliver(outgoing())).outcome is ACCEPTED
        async with channel(server, host="127.0.0.1", credentials=CREDENTIALS) as here:
            assert (await here.deliver(outgoing())).outcome is ACCEPTED

    assert [mail.user for mail in server.mails] == [USER, USER]


@pytest.mark.parametrize("reply", ["454 4.7.0 not now", "535 5.7.8 {} is not {}", CUT])
async def test_credentials_that_are_refused(reply: str) -> None:
    """Wrong credentials are for the operator to mend, so the mail is kept; the log never has them."""
    server = SmtpServer(wants_auth=True)
    repeated = reply.format(PASSWORD, "AGNhcmlsbG9uQGV4YW1wbGUuY29tAHBAc3MvdzpyZCU=")
    server.script("AUTH", repeated, repeated, repeated)

    answer = await delivered(server, credentials=CREDENTIALS)

    assert answer.outcome is TEMPORARY
    assert answer.detail
    assert PASSWORD not in answer.detail
    assert "AGNhcmls" not in answer.detail


async def test_check_sends_nothing(authority: Authority) -> None:
    """A check connects, encrypts, authenticates and leaves."""
    server = SmtpServer(wants_auth=True)
    async with (
        server.run(authority.server_context("localhost", alpn="smtp")),
        channel(server, host="localhost", credentials=CREDENTIALS, ca_file=authority.ca_file) as opened,
    ):
        await opened.check()
        assert (server.connections, server.quits, server.mails) == (1, 1, [])


@pytest.mark.parametrize(
    ("step", "reply"), [("CONNECT", "554 5.3.2 no"), ("AUTH", ""), ("NOOP", "421 4.3.2 going down"), ("NOOP", CUT)]
)
async def test_check_says_what_is_wrong(step: Step, reply: str) -> None:
    """A check that fails is one line with the server's words, without credentials."""
    server = SmtpServer(wants_auth=True)
    if reply:
        server.script(step, reply)
    async with server.run(), channel(server, credentials=WRONG_CREDENTIALS if not reply else CREDENTIALS) as opened:
        with pytest.raises(ProviderCheckError) as caught:
            await opened.check()

    assert str(caught.value)
    assert "password" not in str(caught.value)
    if reply and reply != CUT:
        assert str(caught.value) == reply


async def test_check_of_nobody() -> None:
    """Where nothing listens, a check says where it looked."""
    server = SmtpServer()
    async with server.run():
        pass
    async with channel(server) as opened:
        with pytest.raises(ProviderCheckError, match=str(server.port)):
            await opened.check()


async def test_a_mail_that_is_sent_again_can_be_recognised() -> None:
    """Every attempt at a mail has the same Message-ID."""
    server = SmtpServer()
    server.script("ANSWER", "452 4.3.1 disk full")
    seen = []
    server.reply = lambda mail: seen.append(mail.header("Message-ID")) or ""  # type: ignore[func-returns-value] # for its effect
    async with server.run(), channel(server) as opened:
        await opened.deliver(outgoing())
        await opened.deliver(outgoing())
        await opened.deliver(replace(outgoing(), tracking_id="m2"))

    assert seen == ["<m1@example.com>", "<m1@example.com>", "<m2@example.com>"]
