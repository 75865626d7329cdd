"""The tokens of links: what lets who follows a link do one thing, without any other credential.

A token names what it opens, sealed under a key that is derived from the master key: nobody can make, change or read one
without it. URLs end up with scanners of mail, proxies and providers, so the ids of users are not to be read in them.
What kind of link it is is authenticated too, so none is ever taken for another kind; and the key is for these alone, so
none is ever a cursor.

A token has no end of its own. A mail may be opened years later, and who wants no more of them must not be told that
their link is too old. Once what it names is gone it opens nothing.
"""

from __future__ import annotations

import base64
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.kernel.encoding import decode_base64
from services.kernel.vocabulary import Channel

PUBLIC_URL = r"^(https?://[^/?#]+(/[^?#]*)?)?$"
"""What links begin with: where the gateway's HTTP side is for the world. Empty: nobody has said it."""

MAX_TOKEN_LENGTH = 1024
"""More than the longest ids make: no longer text is looked into."""


@dataclass(frozen=True, slots=True)
class UnsubscribeLink:
    """Turns one channel of one notification off for one user."""

    client_id: str
    user_id: str
    notification_id: str
    sub_notification_id: str
    """Empty: the whole notification."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class ReportLink:
    """Says what became of one message on one channel."""

    client_id: str
    user_id: str
    tracking_id: str
    channel: Channel


Link = UnsubscribeLink | ReportLink
L = TypeVar("L", bound=Link)

_SCOPES: dict[type, bytes] = {UnsubscribeLink: b"unsubscribe", ReportLink: b"report"}


class LinkTokens:
    """Makes and reads tokens; those of another master key are none."""

    def __init__(self, master_key: bytes) -> None:
        # SIV: the same link is the same token, and its tag of 128 bits is compared in constant time.
        self._cipher = AESSIV(HKDF(SHA256(), 64, salt=None, info=b"carillon link 1").derive(master_key))

    def write(self, link: Link) -> str:
        """Writes a token: base64url, at most 1,024 characters."""
        # No id has a NUL, so no two links read the same.
        sealed = self._cipher.encrypt("\0".join(astuple(link)).encode(), [_SCOPES[type(link)]])
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def read(self, token: str, kind: type[L]) -> L | None:
        """Reads a token of a link of this kind, or gives None."""
        if len(token) > MAX_TOKEN_LENGTH:
            return None
        try:
            opened = self._cipher.decrypt(decode_base64(token), [_SCOPES[kind]])
        except (InvalidTag, ValueError):
            return None
        *ids, channel = opened.decode().split("\0")
        values: list[Any] = [*ids, Channel(channel)]
        link = kind(*values)
        # As text: base64 has more than one way to write the same bytes, and a token only one.
        return link if token == self.write(link) else None
