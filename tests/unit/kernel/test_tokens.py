from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.auth import parse_credentials, user_hash
from services.kernel.errors import Unauthenticated
from services.kernel.tokens import (
    MAX_LIFETIME,
    MAX_SKEW,
    MAX_TOKEN_BYTES,
    TokenCredentials,
    TokenMalformedError,
    check_times,
    make_token,
    read_token,
    signature_matches,
)
from tests.tokens import key_of, mint
from tests.unit.services.builders import NOW

SECRET, OTHER = "first-secret-of-the-environment-0", "second-secret-of-the-environment"
MS = timedelta(milliseconds=1)
HEADER = {"alg": "HS256", "typ": "JWT"}

user_ids = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), min_size=1, max_size=64)
times = st.integers(0, 4_000_000_000_000).map(lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + ms * MS)


def segment(value: Any) -> str:
    """Makes a part of a token: JSON, or bytes as they are, in base64url."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unsigned(claims: Any, header: Any = HEADER, signature: str = "") -> str:
    """Makes a token whose signature, if there is one, is wrong."""
    return f"{segment(header)}.{segment(claims)}.{signature}"


CLAIMS: dict[str, Any] = {"sub": "u", "aud": "dev", "iat": 1_767_225_600, "exp": 1_767_229_200}
IMPOSSIBLE: list[dict[str, Any]] = [
    {"sub": ""},
    {"sub": 1},
    {"sub": ["u"]},
    {"sub": "a\0b"},
    {"sub": "a\u200bb"},
    {"sub": "\ud800"},
    {"sub": "x" * 257},
    {"aud": ""},
    {"aud": 1},
    {"aud": []},
    {"aud": ["dev", "other"]},
    {"aud": "x" * 129},
    {"iat": True},
    {"iat": "1767225600"},
    {"iat": float("nan")},
    {"iat": float("-inf")},
    {"iat": -1},
    {"exp": None},
    {"exp": float("inf")},
    {"exp": 1e300},
    {"exp": 253_402_300_800},
    {"nbf": "now"},
]


@given(user_ids, times, times)
def test_a_token_of_ours_is_read_back(user_id: str, token_time: datetime, expire_time: datetime) -> None:
    """What a token is made of comes out again, to the millisecond, and any library for JWTs reads it."""
    token = make_token(
        SECRET, key_id="k1", client_id="dev", user_id=user_id, token_time=token_time, expire_time=expire_time
    )

    assert read_token(token) == TokenCredentials(
        "dev", user_id, token, token_time, expire_time, start_time=token_time, key_id="k1"
    )
    assert signature_matches(token, [OTHER, SECRET])
    options: Any = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(token, key_of(SECRET), ["HS256"], audience="dev", options=options)["sub"] == user_id
    assert jwt.get_unverified_header(token) == {**HEADER, "kid": "k1"}


def test_the_largest_token_of_ours_is_read_back() -> None:
    """Whatever the ids are made of, a token fits into what is read."""
    for user_id in ("🦀" * 64, "ü" * 128, '"' * 256):
        token = make_token(
            SECRET, key_id="k" * 36, client_id="c" * 64, user_id=user_id, token_time=NOW, expire_time=NOW
        )
        assert read_token(token).user_id == user_id


def test_a_backends_own_token_is_read() -> None:
    """Without a kid, with whole seconds, with other claims, and with a list of one as its audience it is read too."""
    token = mint(SECRET, "dev", "u", now=NOW, aud=["dev"], iss="us", jti="1")

    expected = TokenCredentials("dev", "u", token, NOW, NOW + timedelta(hours=1), start_time=NOW)
    assert read_token(token) == expected
    assert parse_credentials([("authorization", f"Bearer {token}")]) == expected
    assert "start_time" in repr(expected)
    assert token not in repr(expected)


def test_a_time_is_rounded_down() -> None:
    """A token that was made within a millisecond does not seem to be made after it."""
    assert read_token(unsigned(CLAIMS | {"iat": 1_767_225_600.1239})).token_time.microsecond == 123_000


@pytest.mark.parametrize(
    "token",
    [
        "..",
        "a.b.c",
        "a.b",
        "a.b.c.d",
        "é.b.c",
        "\ud800.b.c",
        unsigned(CLAIMS, signature="x" * MAX_TOKEN_BYTES),
        unsigned(CLAIMS) + "%",
        unsigned([]),
        unsigned(b"\xff"),
        unsigned(b"[" * 2900),
        unsigned(b"9" * 2900),
        unsigned(CLAIMS, header=[]),
        unsigned(CLAIMS, header=HEADER | {"kid": 1}),
        unsigned(CLAIMS, header=HEADER | {"crit": ["x"]}),
        unsigned(CLAIMS, header=HEADER | {"b64": False}),
        *(unsigned({name: value for name, value in CLAIMS.items() if name != missing}) for missing in CLAIMS),
        *(unsigned(CLAIMS | change) for change in IMPOSSIBLE),
    ],
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    """A text that is no JWT, or lacks what a user token must say, is refused, and nothing of it is repeated."""
    with pytest.raises(TokenMalformedError) as caught:
        read_token(token)

    assert "x" * 20 not in str(caught.value)


@given(st.text() | st.builds(lambda *parts: ".".join(map(segment, parts)), st.binary(), st.binary(), st.binary()))
def test_no_text_makes_it_raise_anything_else(token: str) -> None:
    """Whatever a Bearer header holds, it is read or refused."""
    with suppress(TokenMalformedError):
        read_token(token)


@pytest.mark.parametrize(
    "token",
    [
        unsigned(CLAIMS),
        unsigned(CLAIMS, header={"alg": "none"}),
        unsigned(CLAIMS, header={"typ": "JWT"}),
        unsigned(CLAIMS, header={"alg": ["HS256"]}),
        unsigned(CLAIMS, header={"alg": "RS256"}, signature="AAAA"),
        jwt.encode(CLAIMS, "", algorithm="none"),
        jwt.encode(CLAIMS, SECRET * 2, algorithm="HS256"),
        ".".join([*mint(SECRET, "dev", "u", now=NOW).split(".")[:2], "AAAA"]),
        ".".join([segment(HEADER), segment(CLAIMS | {"sub": "v"}), mint(SECRET, "dev", "u").split(".")[2]]),
    ],
)
def test_a_wrong_signature_matches_nothing(token: str) -> None:
    """No signature, that of another secret, claims or algorithm, and no algorithm at all match no secret."""
    read_token(token)

    assert not signature_matches(token, [SECRET, OTHER])


def test_no_other_algorithm_is_known() -> None:
    """A right HS384 or HS512 under the very secret opens nothing, since a token does not choose how it is checked."""
    for algorithm in ("HS384", "HS512"):
        assert not signature_matches(jwt.encode(CLAIMS, key_of(SECRET) * 2, algorithm=algorithm), [SECRET])
    assert not signature_matches(jwt.encode(CLAIMS, SECRET, algorithm="HS256"), [SECRET])
    assert signature_matches(jwt.encode(CLAIMS, key_of(SECRET), algorithm="HS256"), [SECRET])


def test_no_hash_of_a_user_is_a_signature() -> None:
    """Who may choose their own id, and gets its hash, cannot choose one that signs a token of somebody else."""
    header_and_claims = unsigned(CLAIMS).rpartition(".")[0]
    signature = user_hash(SECRET, header_and_claims).rstrip("=").translate(str.maketrans("+/", "-_"))

    forged = f"{header_and_claims}.{signature}"

    assert read_token(forged).user_id == CLAIMS["sub"]
    assert not signature_matches(forged, [SECRET])


def test_a_short_secret_signs_without_a_warning() -> None:
    """The secret of `carillon dev` makes tokens and checks them as any other."""
    token = make_token("dev-secret", key_id="k", client_id="dev", user_id="u", token_time=NOW, expire_time=NOW)

    assert signature_matches(token, ["dev-secret"])
    assert not signature_matches(token, [])


@pytest.mark.parametrize(
    ("token_time", "expire_time", "start_time", "reason"),
    [
        (NOW, NOW + MAX_LIFETIME, NOW, ""),
        (NOW, NOW + MS, NOW, ""),
        (NOW + MAX_SKEW, NOW + MAX_LIFETIME, NOW + MAX_SKEW, ""),
        (NOW, NOW, NOW, "TOKEN_EXPIRED"),
        (NOW - MAX_LIFETIME, NOW - MS, NOW - MAX_LIFETIME, "TOKEN_EXPIRED"),
        (NOW, NOW + MAX_LIFETIME + MS, NOW, "CREDENTIALS_INVALID"),
        (NOW - 9 * MAX_LIFETIME, NOW - MS, NOW, "CREDENTIALS_INVALID"),
        (NOW + MAX_SKEW + MS, NOW + MAX_LIFETIME, NOW + MAX_SKEW + MS, "CREDENTIALS_INVALID"),
        (NOW, NOW + MAX_LIFETIME, NOW + MAX_SKEW + MS, "CREDENTIALS_INVALID"),
    ],
)
def test_times_are_checked(token_time: datetime, expire_time: datetime, start_time: datetime, reason: str) -> None:
    """A token holds from its start, given a minute for clocks, until its end and not at it, and at most for a day."""
    token = TokenCredentials("dev", "u", "", token_time, expire_time, start_time)
    try:
        check_times(token, NOW)
    except Unauthenticated as error:
        found = error.reason
    else:
        found = ""

    assert found == reason


def test_a_token_that_starts_later_says_so() -> None:
    """`nbf` is kept where it is after `iat`."""
    later = mint(SECRET, "dev", "u", now=NOW, nbf=NOW.timestamp() + 5)
    earlier = mint(SECRET, "dev", "u", now=NOW, nbf=NOW.timestamp() - 5)

    assert read_token(later).start_time == NOW + timedelta(seconds=5)
    assert read_token(earlier).start_time == NOW
