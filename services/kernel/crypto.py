"""Secrets: making them, and keeping them encrypted at rest under the master key."""

from __future__ import annotations

import os
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.kernel.encoding import decode_base64

_KEY_BYTES = 32
_NONCE_BYTES = 12


class MasterKeyError(Exception):
    """The master key is no key, or not the one that a secret was sealed with; one line that says what to do."""


class SecretBox:
    """Seals texts so that only a holder of the same master key can open them, and only in the same place.

    The place (client_id and key_id) is authenticated with the text: a sealed secret that is copied into another
    environment's document does not open there.
    """

    def __init__(self, master_key: bytes) -> None:
        self._cipher = AESGCM(master_key)

    def seal(self, text: str, *, client_id: str, key_id: str) -> bytes:
        """Encrypts a text; the same text gives other bytes each time."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), _place(client_id, key_id))

    def open(self, sealed: bytes, *, client_id: str, key_id: str) -> str:
        """Decrypts what ``seal`` made for the same place; raises MasterKeyError for anything else."""
        nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, encrypted, _place(client_id, key_id)).decode()
        except (InvalidTag, ValueError):
            raise MasterKeyError(
                f"secret {key_id} of client {client_id} does not open: it was sealed with another CARILLON_MASTER_KEY; "
                "start with that one"
            ) from None


def parse_master_key(text: str) -> bytes:
    """Reads a master key: base64 or base64url of 32 bytes."""
    try:
        key = decode_base64(text.strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise MasterKeyError("CARILLON_MASTER_KEY must be base64 of 32 bytes; make one with `openssl rand -base64 32`")
    return key


def new_master_key() -> str:
    """Makes a master key, as the text that ``parse_master_key`` reads."""
    return secrets.token_urlsafe(_KEY_BYTES)


def new_secret() -> str:
    """Makes a client secret: 32 random bytes as base64url, so neither a colon nor a dot is in it."""
    return secrets.token_urlsafe(32)


def _place(client_id: str, key_id: str) -> bytes:
    # Neither contains a NUL, so two places never read the same.
    return f"{client_id}\0{key_id}".encode()
