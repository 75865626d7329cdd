from __future__ import annotations

from email import message_from_bytes, message_from_string, policy
from email.header import decode_header, make_header
from email.utils import getaddresses
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.delivery import mail
from services.delivery.mail import MAX_MAIL_BYTES, Mail, MailError, build_mail
from services.delivery.model import File, Outgoing
from services.environments.model import Environment
from services.kernel.vocabulary import Channel
from services.messages.options import EmailOptions, SendOptions
from services.notifications.model import Content
from services.users.model import is_email
from tests.unit.services.builders import ENVIRONMENT, NOW

if TYPE_CHECKING:
    from email.message import EmailMessage

TEXTS = {"subject": "Hello", "html": "<p>Hello <b>you</b></p>"}
HEADERS = {"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"}
texts = st.text(st.characters(exclude_categories=["Cs"])) | st.text(
    st.sampled_from('\r\n\0\t\x0b\x0c\x1c\x85\u2028 :;,.<>@()[]"\\=?utf8qbäß€日本👩‍👩‍👧Bcc')
)
addresses = st.builds(
    "{}@{}".format,
    st.text(st.sampled_from("abcé.-_+='&日"), min_size=1, max_size=64),
    st.sampled_from(["example.com", "sub.example.org", "bücher.example", "例え.jp"]),
).filter(lambda address: is_email(address) and address[0] != "." and ".@" not in address)


def built(options: EmailOptions | None = None, *, url: str = "", files: tuple[File, ...] = (), **fields: Any) -> Mail:
    """Makes a mail; ``fields`` are texts of the template, but for target and environment."""
    outgoing = Outgoing(
        environment=fields.pop("environment", ENVIRONMENT),
        user_id="userId_123abc",
        tracking_id="0197b2a0-0000-7000-8000-000000000001",
        notification_id="order_tracking",
        content=mail_content({**TEXTS, **fields}),
        target=fields.pop("target", "spongebob@squarepants.com"),
        expire_time=NOW,
        options=SendOptions(email=options or EmailOptions()),
        files=files,
    )
    return build_mail(outgoing, from_address="notifications@example.com", date=NOW, unsubscribe_url=url)


def mail_content(texts: dict[str, str]) -> Content:
    """Makes the content of a mail; empty texts are left out."""
    return Content(Channel.EMAIL, {name: text for name, text in texts.items() if text})


def read(made: Mail) -> EmailMessage:
    """Reads a mail as a mail program does."""
    return message_from_bytes(made.content, policy=policy.default)


def mailboxes(made: Mail, header: str) -> list[tuple[str, str]]:
    """Gives name and address of everybody in a header.

    By Python's older reader: the newer puts spaces between encoded words, and raises for some addresses.
    """
    raw = message_from_string(made.content.decode(), policy=policy.compat32)[header] or ""
    unfolded = raw.replace("\r\n", "\n").replace("\n ", " ")
    return [(str(make_header(decode_header(name))), address) for name, address in getaddresses([unfolded]) if address]


def shown(text: str) -> str:
    """Gives what a header can show of a text."""
    return mail._CONTROLS.sub(" ", text).strip(" ")


def test_a_mail_has_a_text_and_an_html_part() -> None:
    """A mail program that reads HTML shows it, others show the text, which is made of the HTML where there is none."""
    message = read(built())

    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    plain, html = (part.get_content().strip() for part in message.iter_parts())
    assert (plain, html) == ("Hello you", TEXTS["html"])
    assert set(message.keys()) == HEADERS
    assert message["Date"].datetime == NOW


def test_the_templates_own_text_is_kept() -> None:
    """A text part of the template's own is sent as it is; without HTML there is nothing else."""
    both = read(built(text="Hi"))
    alone = read(built(text="Hi", html=""))

    assert next(both.iter_parts()).get_content() == "Hi\r\n"
    assert (alone.get_content_type(), alone.get_content()) == ("text/plain", "Hi\r\n")


def test_the_preview_is_hidden_in_the_html() -> None:
    """The preview text is the first of the HTML, escaped, and not in the text part."""
    plain, html = (part.get_content() for part in read(built(preview_text="3 < 4")).iter_parts())

    assert html.startswith('<div style="display:none')
    assert "3 &lt; 4" in html
    assert "3 <" not in plain


@pytest.mark.parametrize(
    ("options", "texts", "environment", "expected"),
    [
        ({}, {}, Environment("dev", ()), ("dev", "notifications@example.com")),
        ({}, {}, Environment("dev", (), name="Krusty Krab"), ("Krusty Krab", "notifications@example.com")),
        (
            {},
            {"from_name": "Template", "from_address": "t@example.org"},
            Environment("dev", (), name="Krusty Krab"),
            ("Template", "t@example.org"),
        ),
        (
            {"from_name": "Send", "from_address": "s@example.net"},
            {"from_name": "Template", "from_address": "t@example.org"},
            Environment("dev", (), name="Krusty Krab"),
            ("Send", "s@example.net"),
        ),
    ],
)
def test_who_a_mail_is_from(
    options: dict[str, str], texts: dict[str, str], environment: Environment, expected: tuple[str, str]
) -> None:
    """The send's own sender wins over the template's, that over the environment's and the settings'."""
    made = built(EmailOptions(**options), environment=environment, **texts)  # type: ignore[arg-type] # texts

    assert mailboxes(made, "From") == [expected]
    assert made.sender == expected[1]
    assert made.message_id == f"<0197b2a0-0000-7000-8000-000000000001@{expected[1].partition('@')[2]}>"
    assert read(made)["Message-ID"] == made.message_id


def test_who_a_mail_goes_to() -> None:
    """Copies are in the envelope once each; the hidden ones are nowhere else."""
    options = EmailOptions(
        reply_to_addresses=("r1@example.com", "r2@example.com"),
        cc_addresses=("c@example.com", "both@example.com"),
        bcc_addresses=("hidden@example.com", "both@example.com", "spongebob@squarepants.com"),
    )
    made = built(options)

    assert made.recipient == "spongebob@squarepants.com"
    assert made.copies == ("c@example.com", "both@example.com", "hidden@example.com")
    assert b"hidden@" not in made.content
    assert mailboxes(made, "To") == [("", "spongebob@squarepants.com")]
    assert mailboxes(made, "Cc") == [("", "c@example.com"), ("", "both@example.com")]
    assert mailboxes(made, "Reply-To") == [("", "r1@example.com"), ("", "r2@example.com")]


@settings(deadline=None)
@given(st.lists(addresses, min_size=1, max_size=50, unique=True))
def test_every_address_arrives(many: list[str]) -> None:
    """As many addresses as a send may have are read by a mail program as they are in the envelope."""
    made = built(EmailOptions(cc_addresses=tuple(many)))

    shown_in_cc = [address for _, address in mailboxes(made, "Cc")]
    assert {*shown_in_cc} == {*made.copies}
    assert len(shown_in_cc) == len(many)


def test_domains_are_as_dns_has_them() -> None:
    """Only what stands before the @ can need more than ASCII."""
    made = built(target="joerg@Bücher.example")

    assert made.recipient == "joerg@xn--bcher-kva.example"
    assert not made.needs_utf8
    assert built(target="jörg@example.com").needs_utf8
    assert built(EmailOptions(bcc_addresses=("jörg@example.com",))).needs_utf8


@pytest.mark.parametrize("address", ["nobody", "a@b", "a@-ä.example", "a b@example.com", "a@\u2488.example"])
def test_what_is_no_address_is_refused(address: str) -> None:
    """An address that cannot be one is an error that does not repeat it."""
    with pytest.raises(MailError) as caught:
        built(target=address)

    assert address not in str(caught.value)


@settings(deadline=None, max_examples=300)
@given(texts, texts, texts, texts)
@example("a\r\nBcc: x@example.com", "a\r\n\r\nb", "\r\nX: y", "a\nContent-Type: text/html")
@example("=?utf-8?q?=0D=0ABcc:_x@example.com?=", "=?utf-8?q?a?= <x@example.com>", "a", "b")
@example("a" * 2000, "b" * 2000, "c" * 3000, "ä" * 500)
@example("word " * 400, 'Foo, "Bar" (x)', "<i>", "d" * 300)
def test_no_text_adds_a_header(subject: str, name: str, preview: str, filename: str) -> None:
    """Whatever is in the texts, the headers are the ones that they should be, with those texts in them."""
    files = (File(filename, "text/plain", b"content"),)
    made = built(EmailOptions(from_name=name), subject=subject, preview_text=preview, files=files)
    message = read(made)

    assert set(message.keys()) == HEADERS - (set() if shown(subject) else {"Subject"})
    assert str(message["Subject"] or "") == shown(subject)
    assert mailboxes(made, "From") == [(shown(name) or ("" if name else "dev"), "notifications@example.com")]
    assert [part.get_content_type() for part in message.iter_attachments()] == ["text/plain"]
    assert [one.get_payload(decode=True) for one in message.iter_attachments()] == [b"content"]
    assert message.get_content_type() == "multipart/mixed"
    assert made.content.isascii()
    assert max(map(len, made.content.split(b"\r\n"))) <= 998
    assert b"\n" not in made.content.replace(b"\r\n", b"")
    assert b"\r" not in made.content.replace(b"\r\n", b"")


@settings(deadline=None)
@given(texts, texts)
@example("ä", "日本語 👩‍👩‍👧")
@example("a" * 5000, "ä" * 5000)
def test_texts_arrive_as_they_are(html: str, text: str) -> None:
    """Long lines and every script come through a server that knows 7 bits and 998 characters only."""
    html, text = (f"x{one}" for one in (html, text))
    made = built(html=html, text=text)
    plain, rich = (part.get_content() for part in read(made).iter_parts())

    def lines(value: str) -> list[str]:
        kept = mail._CONTROLS_IN_TEXT.sub("", value).replace("\r\n", "\n").replace("\r", "\n")
        return kept.removesuffix("\n").split("\n")

    assert made.content.isascii()
    assert lines(plain) == lines(text)
    assert lines(rich) == lines(html)


@pytest.mark.parametrize(
    ("filename", "content_type", "expected"),
    [
        ("a.pdf", "", "application/pdf"),
        ("a.csv", "", "text/csv"),
        ("a.tar.gz", "", "application/gzip"),
        ("a.txt.bz2", "", "application/octet-stream"),
        ("a", "", "application/octet-stream"),
        ("a.unheard-of", "", "application/octet-stream"),
        ("data:text/html,x.pdf", "", "application/pdf"),
        ("a.pdf", "image/png", "image/png"),
        ("a.pdf", "nonsense", "application/octet-stream"),
        ("a.pdf", "text/html\r\nBcc: x@example.com", "application/octet-stream"),
        ("a.eml", "", "application/octet-stream"),
        ("a.eml", "Message/rfc822", "application/octet-stream"),
        ("a", "multipart/mixed; boundary=x", "application/octet-stream"),
    ],
)
def test_the_type_of_an_attachment(filename: str, content_type: str, expected: str) -> None:
    """A type that is given and can be one is taken, else it is guessed by the extension, else it is just bytes."""
    [part] = read(built(files=(File(filename, content_type, b"\0\xff"),))).iter_attachments()

    assert part.get_content_type() == expected
    assert part.get_payload(decode=True) == b"\0\xff"
    assert part.get_content_disposition() == "attachment"


def test_the_parameters_of_a_type_are_kept() -> None:
    """What a type needs to be read comes along, and nothing that would change the mail."""
    files = (File("a.ics", 'text/calendar; method=REQUEST; charset="utf-8"; name=b; x="a\r\nb"', b"x"),)
    [part] = read(built(files=files)).iter_attachments()

    assert dict(part["Content-Type"].params) == {"method": "REQUEST", "charset": "utf-8"}


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=200))
@example("Rechnung März.pdf")
@example('a"b\\c.pdf')
@example("日本語" * 40 + ".pdf")
def test_the_name_of_an_attachment(filename: str) -> None:
    """Every name arrives, whatever its script and length."""
    [part] = read(built(files=(File(filename, "", b"x"),))).iter_attachments()

    assert (part.get_filename() or "").strip() == filename.strip()


def test_files_keep_their_order() -> None:
    """Several attachments follow the parts that are read, in the order in which they were given."""
    files = (File("a.txt", "", b"1"), File("b.txt", "", b"2"), File("a.txt", "", b"3"))
    message = read(built(files=files))

    assert message.get_content_type() == "multipart/mixed"
    assert next(part.get_content_type() for part in message.iter_parts()) == "multipart/alternative"
    assert [(one.get_filename(), one.get_payload(decode=True)) for one in message.iter_attachments()] == [
        ("a.txt", b"1"),
        ("b.txt", b"2"),
        ("a.txt", b"3"),
    ]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", (None, None)),
        ("https://bücher.example/u/t", (None, None)),
        ("https://a.example/u/t>\r\nBcc: <b@example.com", (None, None)),
        (f"https://a.example/u/{'t' * 1000}", (None, None)),
        ("http://localhost/u/t", ("<http://localhost/u/t>", None)),
        (f"https://a.example/u/{'t' * 500}", (f"<https://a.example/u/{'t' * 500}>", "List-Unsubscribe=One-Click")),
    ],
)
def test_a_mail_says_how_it_is_ended(url: str, expected: tuple[str | None, str | None]) -> None:
    """Where there is a link, mail programs offer one click (RFC 8058), which needs https; the link is in one piece."""
    made = built(url=url)
    message = read(made)

    assert (message["List-Unsubscribe"], message["List-Unsubscribe-Post"]) == expected
    if expected[0]:
        assert f"List-Unsubscribe: <{url}>\r\n".encode() in made.content


def test_a_mail_has_at_most_13_mb() -> None:
    """Texts and files together are held to what both may have, and the error has both figures."""
    texts = len(TEXTS["html"]) + len("Hello you")

    built(files=(File("a", "", bytes(MAX_MAIL_BYTES - texts)),))
    with pytest.raises(MailError, match="has 13145729 bytes with its attachments; at most 13145728 are sent"):
        built(files=(File("a", "", bytes(MAX_MAIL_BYTES - texts)), File("b", "", b"x")))
