import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import InvalidArgument
from services.kernel.paging import Filter, decode_page_token, encode_page_token

FILTERS: dict[str, Filter] = {
    "rpc": "ListInbox",
    "client_id": "dev",
    "user_id": "u1",
    "channels": [1, 2],
    "unread": None,
}


def reason_of(token: str, **changes: str) -> str:
    """Tells why a token is refused for the query FILTERS, changed as given."""
    with pytest.raises(InvalidArgument) as caught:
        decode_page_token(token, FILTERS | changes, types=(int, str))
    assert [one.field for one in caught.value.violations] == ["page_token"]
    return caught.value.reason


def forge(payload: bytes) -> str:
    """Makes a token of any payload."""
    return base64.urlsafe_b64encode(payload).decode()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=50) | st.integers(-(2**63), 2**63 - 1)))
def test_tokens_round_trip(position: list[str | int]) -> None:
    """A token gives back the position that it was made from, and is plain in a URL."""
    token = encode_page_token(position, FILTERS)

    assert decode_page_token(token, FILTERS) == tuple(position)
    assert token.replace("-", "").replace("_", "").isalnum()


def test_an_empty_token_is_the_first_page() -> None:
    """No token means that there is no position."""
    assert decode_page_token("", FILTERS) is None


def test_a_token_of_another_query_is_refused() -> None:
    """A token belongs to its filters, its method and its client."""
    token = encode_page_token([1, "a"], FILTERS)

    assert reason_of(token, user_id="u2") == "PAGE_TOKEN_OTHER_QUERY"
    assert reason_of(token, client_id="other") == "PAGE_TOKEN_OTHER_QUERY"
    assert reason_of(token, rpc="ListUsers") == "PAGE_TOKEN_OTHER_QUERY"


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "garbage!",
        "ä",
        "\ud800",
        "A" * 5000,
        forge(b"\xff"),
        forge(b"[]"),
        forge(b"{}"),
        forge(b"1"),
        forge(b'[{"$gt":""},"x"]'),
        forge(b"[1.5,NaN]"),
        forge(b"[99999999999999999999]"),
        forge(b"[" * 3000),
        forge(b'["\\ud800","x"]'),
    ],
)
def test_garbage_is_refused(token: str) -> None:
    """What never was a token is refused, whatever it is."""
    assert reason_of(token) == "PAGE_TOKEN_INVALID"


def test_a_forged_position_is_refused() -> None:
    """A position of other types than the query's does not get through."""
    fingerprint = json.loads(base64.urlsafe_b64decode(encode_page_token([], FILTERS) + "=="))[-1]

    assert reason_of(forge(json.dumps(["a", "b", fingerprint]).encode())) == "PAGE_TOKEN_INVALID"
    assert reason_of(forge(json.dumps([fingerprint]).encode())) == "PAGE_TOKEN_INVALID"
    assert reason_of(forge(json.dumps([True, "b", fingerprint]).encode())) == "PAGE_TOKEN_INVALID"
