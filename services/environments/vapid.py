"""Making the keys that an environment's pushes to browsers are signed with."""

from __future__ import annotations

import base64
import re

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.environments.model import VapidKeys
from services.users.model import is_email

_KEY_BYTES = 32
# Without path or port: the library that signs takes no other.
_SITE = re.compile(r"https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


def is_subject(text: str) -> bool:
    """Tells whether a text can be whom push services ask: ``mailto:`` and an address, or ``https://`` and a host."""
    return is_email(text.removeprefix("mailto:")) if text.startswith("mailto:") else _SITE.fullmatch(text) is not None


def new_vapid_keys(subject: str) -> VapidKeys:
    """Makes a pair of keys on P-256."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    public_key = private_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    number = private_key.private_numbers().private_value.to_bytes(_KEY_BYTES, "big")
    return VapidKeys(public_key=_base64url(public_key), subject=subject, private_key=_base64url(number))


def _base64url(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")
