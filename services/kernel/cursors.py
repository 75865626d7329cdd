"""Cursors: how far a client has come, signed, so that nobody is told to have everything without proof.

A cursor holds a position on the cluster's clock and the incarnation of the user's document (when it was created, so
that whoever is deleted and comes back is somebody else), and is bound to environment and user. Services and gateways
sign with the same key, which is derived from the master key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.kernel.encoding import decode_base64

_NUMBERS = struct.Struct(">QQ")
_SIGNATURE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a cursor says, once it was verified."""

    position: int
    """Every change up to here is known to its holder."""

    incarnation: int
    """When the user's document was created: milliseconds since 1970."""


class CursorSigner:
    """Makes and reads cursors; those of another master key are none."""

    def __init__(self, master_key: bytes) -> None:
        self._key = HKDF(SHA256(), 32, salt=None, info=b"carillon cursor 1").derive(master_key)

    def sign(self, cursor: Cursor, *, client_id: str, user_id: str) -> str:
        """Writes a cursor: 43 characters of base64url."""
        numbers = _NUMBERS.pack(cursor.position, cursor.incarnation)
        signed = numbers + self._signature(numbers, client_id, user_id)
        return base64.urlsafe_b64encode(signed).decode().rstrip("=")

    def verify(self, text: str, *, client_id: str, user_id: str) -> Cursor | None:
        """Reads a cursor of this user, or gives None."""
        try:
            cursor = Cursor(*_NUMBERS.unpack_from(decode_base64(text)))
        except (ValueError, struct.error):
            return None
        # As text: base64 has more than one way to write the same bytes, and a cursor only one.
        expected = self.sign(cursor, client_id=client_id, user_id=user_id)
        return cursor if hmac.compare_digest(text, expected) else None

    def _signature(self, numbers: bytes, client_id: str, user_id: str) -> bytes:
        # Numbers have one length and a client_id no NUL, so no two places read the same.
        place = f"{client_id}\0{user_id}".encode()
        return hmac.digest(self._key, numbers + place, hashlib.sha256)[:_SIGNATURE_BYTES]
