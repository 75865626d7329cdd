from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frames import Hello
from gateway.notificationapi.handshake import NEWEST, HandshakeRefusedError, read_hello

HASH = "ksLymII6VH7porjqVgq3CSAvpa/g+Llw1XjudVpKI3k="


@pytest.mark.parametrize(
    "target",
    [
        f"/?envId=dev&userId=a%20b&userIdHash={quote(HASH, safe='')}",
        f"/?userId=a%20b&envId=dev&userIdHash={quote(HASH, safe='')}",
        f"/any/path?userIdHash={HASH}&x=1&userId=a%20b&envId=dev#f",
        f"/?envId=dev&userId=a%20b&userIdHash=%20{HASH}%0A",
        f"/?envId=dev&userId=a%20b&userIdHash={quote(quote(HASH, safe=''), safe='')}",
    ],
)
def test_whom_a_socket_is_for_is_read_in_any_order_at_any_path(target: str) -> None:
    """What the address says is decoded, and the hash trimmed; a "+" that was not encoded is one."""
    assert read_hello(target) == Hello("dev", "a b", HASH, limit=NEWEST)


@pytest.mark.parametrize("word", ["", "undefined", "null", "%20"])
def test_a_hash_that_is_none_is_none(word: str) -> None:
    """What JavaScript writes for nothing counts as nothing; so does a hash that is left out."""
    nobody = Hello("dev", "anna", limit=NEWEST)

    assert read_hello(f"/?envId=dev&userId=anna&userIdHash={word}") == nobody
    assert read_hello("/?envId=dev&userId=anna") == nobody


def test_a_user_id_keeps_what_it_is() -> None:
    """Colons, plus signs, letters of any script and a second "=" belong to it."""
    hello = read_hello(f"/?envId=dev&userId={quote('a:b+é=')}")

    assert hello
    assert hello.user_id == "a:b+é="
    assert read_hello("/?envId=dev&userId=+1=2") == Hello("dev", "+1=2", limit=NEWEST)


@pytest.mark.parametrize("target", ["/", "/?envId=dev", "/?userId=anna", "/?envid=dev&userid=anna", "//[?x"])
def test_an_address_that_names_nobody_is_none_of_theirs(target: str) -> None:
    """Both names must be there, as their clients write them."""
    assert read_hello(target) is None


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("envId=dev&userId=", "userId"),
        ("envId=&userId=anna", "envId"),
        ("envId=a:b&userId=anna", "envId"),
        ("envId=dev&userId=a%00b", "userId"),
        ("envId=dev&userId=" + "a" * 257, "userId"),
        ("envId=dev&userId=%E9", "userId"),
        ("envId=%FF&userId=anna", "envId"),
    ],
)
def test_who_cannot_be_anybody_is_told_why(query: str, named: str) -> None:
    """The answer names the field, and says what to do."""
    with pytest.raises(HandshakeRefusedError) as caught:
        read_hello(f"/?{query}")

    error = caught.value.body["error"]
    assert (caught.value.status, error["code"]) == (400, "INVALID_REQUEST")
    assert named in error["message"]
    assert error["fix"]


@pytest.mark.parametrize("user_hash", ["a:b", "a%3Ab", "é", "a" * 129])
def test_a_hash_that_no_hash_can_be_is_a_wrong_one(user_hash: str) -> None:
    """Above all one with a colon, which would have the services check somebody else."""
    with pytest.raises(HandshakeRefusedError) as caught:
        read_hello(f"/?envId=dev&userId=anna&userIdHash={quote(user_hash)}")

    assert (caught.value.status, caught.value.body["error"]["code"]) == (401, "CREDENTIALS_INVALID")


@given(st.one_of(st.text(), st.builds("/?envId={}&userId={}&userIdHash={}".format, st.text(), st.text(), st.text())))
def test_no_address_raises_anything_else(target: str) -> None:
    """Whatever a request asks for, it names somebody, nobody, or is refused."""
    try:
        hello = read_hello(target)
    except HandshakeRefusedError:
        return
    assert hello is None or (":" not in hello.client_id + hello.user_hash and hello.user_id)
