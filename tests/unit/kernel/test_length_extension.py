"""Why the bare hash of NotificationAPI's Python SDK is no worse than an HMAC here: nobody can hand an extension in."""

from __future__ import annotations

import base64
import hashlib
import json

import jwt
import pytest

from gateway.fields import FrameError
from gateway.frames import parse
from services.kernel.auth import parse_credentials, sha256_hash
from services.kernel.errors import Unauthenticated
from services.kernel.tokens import TokenMalformedError, read_token
from tests.length_extension import extended
from tests.tokens import key_of, mint

SECRET = "secret" * 8
GLUE, DIGEST = extended(base64.b64decode(sha256_hash(SECRET, "bob")), len(SECRET) + 3, b"x")
HASH = base64.b64encode(DIGEST).decode()
BYTES = b"bob" + GLUE + b"x"
# What is made of bytes that are no UTF-8 by who is lenient, and by who is very lenient.
TEXTS = [BYTES.decode("latin-1"), BYTES.decode("utf-8", "surrogateescape"), BYTES.decode("utf-8", "ignore")]


def test_the_hash_of_one_user_can_be_extended() -> None:
    """Who has bob's hash and guesses how long the secret is makes the right one of a longer id, of these bytes."""
    assert hashlib.sha256(SECRET.encode() + BYTES).digest() == DIGEST


@pytest.mark.parametrize("known_bytes", range(1, 400))
def test_an_extension_is_no_text(known_bytes: int) -> None:
    """However long secret and id are, between the id and what is added stand a byte that is no UTF-8, and NULs."""
    glue, _ = extended(bytes(32), known_bytes, b"")

    assert (glue[0], 0 in glue) == (0x80, True)
    with pytest.raises(UnicodeDecodeError):
        ("ü".encode() + glue).decode()


@pytest.mark.parametrize("user_id", [BYTES, *(text.encode("utf-8", "surrogatepass") for text in TEXTS)], ids=ascii)
def test_credentials_have_no_such_user(user_id: bytes) -> None:
    """As Basic it is refused as it is read, with the right hash of these very bytes."""
    basic = base64.b64encode(b"dev:" + user_id + b":" + HASH.encode()).decode()

    with pytest.raises(Unauthenticated) as caught:
        parse_credentials([("carillon-protocol", "notificationapi"), ("authorization", f"Basic {basic}")])
    assert caught.value.reason == "CREDENTIALS_MALFORMED"


@pytest.mark.parametrize("user_id", TEXTS, ids=ascii)
def test_a_token_has_no_such_user(user_id: str) -> None:
    """A token of such a user is none, even under the right key."""
    with pytest.raises(TokenMalformedError):
        read_token(mint(SECRET, "dev", user_id))


def test_a_token_is_utf_8() -> None:
    """The bytes themselves, in place of JSON's escapes, are no JSON."""
    claims = b'{"sub":"' + BYTES + b'","aud":"dev","iat":1,"exp":2}'
    token = jwt.PyJWS().encode(claims, key_of(SECRET), "HS256")

    with pytest.raises(TokenMalformedError):
        read_token(token)


@pytest.mark.parametrize("user_id", TEXTS, ids=ascii)
def test_a_hello_has_no_such_user(user_id: str) -> None:
    """A hello of such a user is a bad frame; bytes that are no UTF-8 the socket itself refuses."""
    with pytest.raises(FrameError) as caught:
        parse(json.dumps({"type": "hello", "client_id": "dev", "user_id": user_id, "user_hash": HASH}))
    assert (caught.value.code, caught.value.field) == ("INVALID_FIELD", "user_id")
