"""A mail as it goes over the wire, made of what a channel has rendered and what the send asks for. Pure.

The parts are made by Python's ``email``; the headers that hold texts and addresses are written here. Python's own
writer encodes a long List-Unsubscribe as if it were prose and, in 3.11 at least, loses one of several addresses whose
names have a comma. A header that nobody refolds can be reasoned about: no text reaches one but through `_words`, no
address without `is_email`.
"""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass, field
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING

import idna

from services.delivery.markup import plain_text, with_preview
from services.users.model import is_email

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from services.delivery.model import File, Outgoing

MAX_MAIL_BYTES = 10_000_000 + 3 * 1024 * 1024
"""What the texts and files of a mail may come to, before their encoding makes a third more of them.

Files are held to 10 MB before they come here, and texts to the 1 MiB of a stored message, of which a text may be made.
"""

# 7 bits, whatever the server can carry: a relay behind it may not.
_POLICY = SMTP.clone(cte_type="7bit")
# What ends a line somewhere, and what no reader shows. Joiners stay: emoji and scripts are made with them.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_CONTROLS_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_LINE = 76
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*")
_PARAMETER = re.compile(r"[A-Za-z0-9_-]+")
_PARAMETER_VALUE = re.compile(r"[A-Za-z0-9!#$&'*+.^_`{|}~:/=? -]*")
# What a header can carry in one piece.
_LINK = re.compile(r"https?://[!-;=?-~]{1,900}")
_BYTES = "application/octet-stream"
# Without what the machine adds, so that a mail looks the same whichever worker made it.
_TYPES = mimetypes.MimeTypes()


class MailError(Exception):
    """A mail that cannot be made, now or later; the text says why, without addresses."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail with its envelope."""

    sender: str
    recipient: str
    copies: tuple[str, ...]
    """Who else gets it, hidden or not."""

    message_id: str
    """The same at every attempt, so that whoever gets a mail twice can tell."""

    content: bytes = field(repr=False)

    @property
    def needs_utf8(self) -> bool:
        """Whether an address of it can only be said to a server that has SMTPUTF8 (RFC 6531)."""
        return not (self.content.isascii() and "".join((self.sender, self.recipient, *self.copies)).isascii())


def build_mail(outgoing: Outgoing, *, from_address: str, date: datetime, unsubscribe_url: str = "") -> Mail:
    """Makes the mail of a call.

    Args:
        outgoing: What is to be sent, and to whom.
        from_address: Who sends, where neither send nor template says it.
        date: When it is sent.
        unsubscribe_url: Where a click leads that ends such mails; empty: nowhere.

    Raises:
        MailError: If there is no such mail.
    """
    texts, options, environment = outgoing.content.texts, outgoing.options.email, outgoing.environment
    assert isinstance(outgoing.target, str), "a mail goes to an address"
    sender = _address(options.from_address or texts.get("from_address") or from_address)
    name = options.from_name or texts.get("from_name") or environment.name or environment.client_id
    recipient = _address(outgoing.target)
    shown, hidden, answers = (
        tuple(map(_address, some)) for some in (options.cc_addresses, options.bcc_addresses, options.reply_to_addresses)
    )
    message_id = f"<{outgoing.tracking_id}@{sender.rpartition('@')[2]}>"
    body = _body(outgoing)

    headers = {
        "From": _mailbox(name, sender),
        "To": recipient,
        "Cc": ",\r\n ".join(shown),
        "Reply-To": ",\r\n ".join(answers),
        "Subject": _words(texts.get("subject", ""), indent=len("Subject: ")),
        "Date": format_datetime(date),
        "Message-ID": message_id,
        **_unsubscribing(unsubscribe_url),
    }
    head = "".join(f"{key}: {value}\r\n" for key, value in headers.items() if value)
    return Mail(
        sender=sender,
        recipient=recipient,
        copies=tuple(one for one in dict.fromkeys((*shown, *hidden)) if one != recipient),
        message_id=message_id,
        content=head.encode() + body.as_bytes(policy=_POLICY),
    )


def _body(outgoing: Outgoing) -> EmailMessage:
    texts, files = outgoing.content.texts, outgoing.files
    source, preview = (_CONTROLS_IN_TEXT.sub("", texts.get(name, "")) for name in ("html", "preview_text"))
    text = _CONTROLS_IN_TEXT.sub("", texts.get("text", "")) or plain_text(source)
    size = len(source.encode()) + len(text.encode()) + sum(len(one.content) for one in files)
    if size > MAX_MAIL_BYTES:
        problem = f"the mail has {size} bytes with its attachments; at most {MAX_MAIL_BYTES} are sent"
        raise MailError(problem)

    message = EmailMessage(policy=_POLICY)
    message.set_content(text)
    if source:
        message.add_alternative(with_preview(source, preview), subtype="html")
    for file in files:
        _attach(message, file)
    return message


def _attach(message: EmailMessage, file: File) -> None:
    filename = _CONTROLS.sub(" ", file.filename).strip()
    kind, parameters = _content_type(file.content_type or _guessed(filename))
    maintype, _, subtype = kind.partition("/")
    message.add_attachment(file.content, maintype=maintype, subtype=subtype, filename=filename, params=parameters)


def _guessed(filename: str) -> str:
    # As a path: a name with a colon is no URL.
    kind, encoding = _TYPES.guess_type(f"./{filename}")
    if encoding:
        return "application/gzip" if encoding == "gzip" else _BYTES
    return kind or _BYTES


def _content_type(text: str) -> tuple[str, dict[str, str]]:
    """Gives a media type and its parameters; bytes where it is none, or one whose bytes may not be encoded."""
    kind, *rest = (part.strip() for part in text.split(";"))
    if not _TYPE.fullmatch(kind) or kind.lower().startswith(("multipart/", "message/")):
        return _BYTES, {}
    parameters = {name.lower(): value.strip('"') for name, _, value in (part.partition("=") for part in rest)}
    return kind, {
        name: value
        for name, value in parameters.items()
        if name not in ("name", "boundary") and _PARAMETER.fullmatch(name) and _PARAMETER_VALUE.fullmatch(value)
    }


def _unsubscribing(url: str) -> dict[str, str]:
    if not _LINK.fullmatch(url):
        return {}
    # One click is for https alone (RFC 8058).
    one_click = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"} if url.startswith("https:") else {}
    return {"List-Unsubscribe": f"<{url}>", **one_click}


def _address(text: str) -> str:
    """Gives an address with its domain as DNS has it: only what stands before the @ can need more than ASCII then."""
    if not is_email(text):
        raise MailError("an address of the mail cannot be one")
    local, _, domain = text.rpartition("@")
    if domain.isascii():
        return text
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        raise MailError("an address of the mail has a domain that cannot be one") from None


def _mailbox(name: str, address: str) -> str:
    name = _one_line(name)
    if not name:
        return address
    # Some programs decode what looks like an encoded word between quotes too.
    if _PLAIN_NAME.fullmatch(name) or not name.isascii() or "=?" in name or len(name) > _LINE // 2:
        phrase = _words(name, indent=len("From: "), is_phrase=True)
    else:
        phrase = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return f"{phrase}\r\n <{address}>" if len(phrase) + len(address) > _LINE // 2 else f"{phrase} <{address}>"


def _words(text: str, *, indent: int, is_phrase: bool = False) -> str:
    """Gives a text as a header holds it: as it is where it is short and plain, else in encoded words (RFC 2047)."""
    text = _one_line(text)
    is_plain = text.isascii() and "=?" not in text and "  " not in text
    if is_plain and len(text) <= _LINE - indent and not (is_phrase and not _PLAIN_NAME.fullmatch(text)):
        return text
    if is_plain and not is_phrase and (lines := _folded(text.split(" "), indent)):
        return lines
    return Header(text, "utf-8", maxlinelen=_LINE, header_name=" " * (indent - 2)).encode(linesep="\r\n")


def _folded(words: Iterable[str], indent: int) -> str:
    """Gives words on lines that are short enough; empty where one of them is not."""
    lines, room = [[""]], _LINE - indent
    for word in words:
        if len(word) >= _LINE - 1:
            return ""
        if len(word) + 1 > room:
            lines.append([])
            room = _LINE - 1
        lines[-1].append(word)
        room -= len(word) + 1
    return "\r\n ".join(" ".join(line).strip(" ") for line in lines)


def _one_line(text: str) -> str:
    return _CONTROLS.sub(" ", text).strip(" ")
