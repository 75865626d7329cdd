"""The provider token: the JWT, signed ES256, by which APNs knows whose pushes these are."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from pathlib import Path

    from services.kernel.clock import Clock

# APNs wants another token every 20 to 60 minutes, and counts per address from where they come, not per connection.
TOKEN_SECONDS = 30 * 60
# What the clocks of two machines may differ by: a token from the future is refused.
_SKEW_SECONDS = 60


class ProviderToken:
    """The token of now, the same in every connection and every process that has the key.

    It begins on the half hour and is signed without randomness (RFC 6979), so any number of workers, and one that
    starts again and again, are one provider with one token to APNs, without talking to each other.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, *, key_id: str, team_id: str, clock: Clock) -> None:
        self._key = key
        self._key_id = key_id
        self._team_id = team_id
        self._clock = clock
        self._issue_time = 0
        self._header = ""

    def get_header(self) -> str:
        """Gives the header ``authorization``."""
        issue_time = (int(self._clock().timestamp()) - _SKEW_SECONDS) // TOKEN_SECONDS * TOKEN_SECONDS
        if issue_time != self._issue_time:
            self._header = f"bearer {self._sign(issue_time)}"
            self._issue_time = issue_time
        return self._header

    def _sign(self, issue_time: int) -> str:
        # By hand, because PyJWT's ES256 is random.
        header = {"alg": "ES256", "kid": self._key_id, "typ": "JWT"}
        claims = {"iss": self._team_id, "iat": issue_time}
        signed = b".".join(_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
        return (signed + b"." + _base64url(r.to_bytes(32) + s.to_bytes(32))).decode()


def read_signing_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Reads the key that signs provider tokens.

    Raises:
        ValueError: If there is no such key; what it says is one line.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("is not a key that APNs gives: a PEM file, AuthKey_….p8") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("is not a key that APNs gives: it must be one on the curve P-256")
    return key


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
