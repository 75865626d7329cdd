from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.fields import FrameError
from gateway.frames import Hello, Ping, encode, parse
from gateway.requests import Filter, ListItems, MarkItems, RenewToken, Until
from services.kernel.tokens import read_token
from tests.tokens import mint

SECRET = "secret" * 8
TOKEN = mint(SECRET, "dev", "u:1")
HELLO = {"type": "hello", "client_id": "dev", "user_id": "u:1", "user_hash": "aGFzaA=="}


def test_hello_is_read_with_its_defaults() -> None:
    """A hello without limit and cursor asks for 50 items and a snapshot; a user id may hold a colon."""
    assert parse(json.dumps(HELLO)) == Hello("dev", "u:1", "aGFzaA==", limit=50, cursor="")


def test_fields_that_are_not_known_are_passed_over() -> None:
    """A newer client can talk to this gateway."""
    assert parse(json.dumps(HELLO | {"limit": 500, "colour": ["red"]})) == Hello("dev", "u:1", "aGFzaA==", limit=500)


def test_ping_is_read() -> None:
    """A ping may carry a ref."""
    assert parse('{"type":"ping"}') == Ping()
    assert parse('{"type":"ping","ref":"1"}') == Ping(ref="1")


@pytest.mark.parametrize(
    ("data", "code", "field"),
    [
        (b"{}", "NOT_TEXT", ""),
        ("", "NOT_JSON", ""),
        ("{", "NOT_JSON", ""),
        ("9" * 5000, "NOT_JSON", ""),
        ("[]", "NOT_AN_OBJECT", ""),
        ("null", "NOT_AN_OBJECT", ""),
        ("[" * 16_000, "TOO_DEEP", ""),
        (json.dumps({"type": "ping", "pad": "x" * 16_384}), "TOO_LARGE", ""),
        ("{}", "UNKNOWN_TYPE", "type"),
        ('{"type":"nope"}', "UNKNOWN_TYPE", "type"),
        ('{"type":{}}', "UNKNOWN_TYPE", "type"),
        ('{"type":"ping","ref":1}', "INVALID_FIELD", "ref"),
        ('{"type":"ping","ref":"\\ud800"}', "INVALID_FIELD", "ref"),
        (json.dumps({"type": "ping", "ref": "x" * 65}), "INVALID_FIELD", "ref"),
    ],
)
def test_what_is_no_frame_is_refused_by_name(data: str | bytes, code: str, field: str) -> None:
    """Each way of being wrong has its code, and its field where there is one."""
    with pytest.raises(FrameError) as caught:
        parse(data)

    assert (caught.value.code, caught.value.field) == (code, field)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"client_id": None}, "client_id"),
        ({"client_id": ""}, "client_id"),
        ({"client_id": 7}, "client_id"),
        ({"client_id": "x" * 129}, "client_id"),
        ({"client_id": "dev:u"}, "client_id"),
        ({"user_id": None}, "user_id"),
        ({"user_id": "a\u0000b"}, "user_id"),
        ({"user_id": "\ud800"}, "user_id"),
        ({"user_id": "ü" * 129}, "user_id"),
        ({"user_hash": 7}, "user_hash"),
        ({"user_hash": "x" * 129}, "user_hash"),
        ({"user_hash": "x:aGFzaA=="}, "user_hash"),
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": 1.0}, "limit"),
        ({"limit": float("nan")}, "limit"),
        ({"limit": None}, "limit"),
        ({"cursor": 5}, "cursor"),
        ({"cursor": "x" * 513}, "cursor"),
    ],
)
def test_a_wrong_field_of_hello_is_named(change: dict[str, Any], field: str) -> None:
    """A colon is refused where it would make the services check somebody else."""
    with pytest.raises(FrameError) as caught:
        parse(json.dumps(HELLO | change))

    assert (caught.value.code, caught.value.field) == ("INVALID_FIELD", field)


@pytest.mark.parametrize("no_hash", [{}, {"user_hash": None}, {"user_hash": ""}])
def test_hello_takes_a_user_without_a_proof(no_hash: dict[str, Any]) -> None:
    """Who gives no hash has an empty one: whether that will do is for the services to say."""
    assert parse(json.dumps({"type": "hello", "client_id": "dev", "user_id": "u:1"} | no_hash)) == Hello("dev", "u:1")


def test_hello_takes_a_token_alone() -> None:
    """A token says who it is for; what stands beside it may say the same."""
    told = Hello("dev", "u:1", limit=7, cursor="c", token=read_token(TOKEN))
    bare = {"type": "hello", "token": TOKEN, "limit": 7, "cursor": "c"}

    assert parse(json.dumps(bare)) == told
    assert parse(json.dumps(bare | {"client_id": "dev", "user_id": "u:1", "user_hash": None})) == told
    assert TOKEN not in repr(told)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"user_hash": "aGFzaA=="}, "token"),
        ({"user_hash": ""}, "token"),
        ({"client_id": "other"}, "client_id"),
        ({"client_id": ""}, "client_id"),
        ({"client_id": ["dev"]}, "client_id"),
        ({"user_id": "u"}, "user_id"),
        ({"user_id": "u:1 "}, "user_id"),
        ({"token": 7}, "token"),
        ({"token": ""}, "token"),
        ({"token": "a.b.c"}, "token"),
        ({"token": TOKEN + "\ud800"}, "token"),
        ({"token": TOKEN + "x" * 4096}, "token"),
        ({"token": mint(SECRET, "dev", "a\0b")}, "token"),
        ({"token": mint(SECRET, "dev", "u:1", exp=None)}, "token"),
        ({"limit": 0}, "limit"),
        ({"cursor": 5}, "cursor"),
    ],
)
def test_a_wrong_field_of_hello_with_a_token_is_named(change: dict[str, Any], field: str) -> None:
    """A hash beside the token, another user than the token's, and what is no token are refused."""
    with pytest.raises(FrameError) as caught:
        parse(json.dumps({"type": "hello", "token": TOKEN} | change))

    assert (caught.value.code, caught.value.field) == ("INVALID_FIELD", field)


def test_a_renewal_is_read() -> None:
    """A renewal has a ref and a token."""
    assert parse(json.dumps({"type": "renew", "ref": "1", "token": TOKEN})) == RenewToken("1", read_token(TOKEN))


def test_an_error_answers_with_the_ref_of_its_frame() -> None:
    """A client can tell which of its frames was wrong."""
    with pytest.raises(FrameError) as caught:
        parse('{"type":"nope","ref":"7"}')

    assert caught.value.body()["ref"] == "7"


def test_frames_are_compact_utf8() -> None:
    """A frame has no spaces, and text as it is."""
    assert encode({"type": "created", "item": {"title": "Ü"}}) == '{"type":"created","item":{"title":"Ü"}}'.encode()


def test_a_list_is_read_with_its_defaults() -> None:
    """A list needs no more than its ref."""
    assert parse('{"type":"list","ref":"1"}') == ListItems("1", limit=50)


def test_a_list_is_read_whole() -> None:
    """All that narrows a list is read, a time in any zone."""
    narrowed = {"unread": False, "notification_ids": ["n"], "categories": ["c"], "sections": ["s"], "tags": ["t"]}
    body = {"type": "list", "ref": "1", "limit": 100, "page_token": "p", "view": "ARCHIVE", "filter": narrowed}

    assert parse(json.dumps(body | {"before_time": "2026-01-02T03:04:05.678+01:00"})) == ListItems(
        "1",
        limit=100,
        page_token="p",
        before_time=datetime(2026, 1, 2, 2, 4, 5, 678_000, tzinfo=UTC),
        view="ARCHIVE",
        narrowed=Filter(False, ("n",), ("c",), ("s",), ("t",)),
    )


def test_a_mark_is_read() -> None:
    """A mark names ids, or all up to a time."""
    by_id = {"type": "mark", "ref": "1", "ids": ["a"], "set": ["SEEN"], "clear": ["CLICKED"], "reply": "r"}
    until = {"type": "mark", "ref": "1", "until": {"time": "2026-01-02T00:00:00Z", "view": "ALL"}}

    assert parse(json.dumps(by_id)) == MarkItems("1", ("a",), sets=("SEEN",), clears=("CLICKED",), reply="r")
    assert parse(json.dumps(until)) == MarkItems("1", until=Until(datetime(2026, 1, 2, tzinfo=UTC), "ALL"))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "list"}, "ref"),
        ({"type": "list", "ref": ""}, "ref"),
        ({"type": "list", "ref": "1", "limit": 101}, "limit"),
        ({"type": "list", "ref": "1", "view": "LATER"}, "view"),
        ({"type": "list", "ref": "1", "before_time": "yesterday"}, "before_time"),
        ({"type": "list", "ref": "1", "before_time": "2026-01-02T00:00:00"}, "before_time"),
        ({"type": "list", "ref": "1", "before_time": "0001-01-01T00:00:00+14:00"}, "before_time"),
        ({"type": "list", "ref": "1", "filter": []}, "filter"),
        ({"type": "list", "ref": "1", "filter": {"unread": 1}}, "filter.unread"),
        ({"type": "list", "ref": "1", "filter": {"tags": "t"}}, "filter.tags"),
        ({"type": "list", "ref": "1", "filter": {"tags": ["t"] * 101}}, "filter.tags"),
        ({"type": "list", "ref": "1", "filter": {"tags": ["t", 1]}}, "filter.tags[1]"),
        ({"type": "renew", "token": TOKEN}, "ref"),
        ({"type": "renew", "ref": "1"}, "token"),
        ({"type": "renew", "ref": "1", "token": "a.b.c"}, "token"),
        ({"type": "mark", "ids": ["a"]}, "ref"),
        ({"type": "mark", "ref": "1"}, "ids"),
        ({"type": "mark", "ref": "1", "ids": ["a"], "until": {}}, "ids"),
        ({"type": "mark", "ref": "1", "ids": "a"}, "ids"),
        ({"type": "mark", "ref": "1", "ids": ["a", "x" * 129]}, "ids[1]"),
        ({"type": "mark", "ref": "1", "ids": ["a", ""]}, "ids[1]"),
        ({"type": "mark", "ref": "1", "ids": ["a"] * 1001}, "ids"),
        ({"type": "mark", "ref": "1", "ids": ["a"], "set": ["SEEN", "seen"]}, "set[1]"),
        ({"type": "mark", "ref": "1", "ids": ["a"], "clear": ["UNSPECIFIED"]}, "clear[0]"),
        ({"type": "mark", "ref": "1", "ids": ["a"], "reply": "x" * 4097}, "reply"),
        ({"type": "mark", "ref": "1", "ids": ["a"], "reply": "\ud800"}, "reply"),
        ({"type": "mark", "ref": "1", "until": "2026-01-02T00:00:00Z"}, "until"),
        ({"type": "mark", "ref": "1", "until": {"view": "ALL"}}, "until.time"),
        ({"type": "mark", "ref": "1", "until": {"time": 1}}, "until.time"),
        ({"type": "mark", "ref": "1", "until": {"time": "2026-01-02T00:00:00Z", "filter": 1}}, "until.filter"),
    ],
)
def test_a_wrong_field_of_a_request_is_named(body: dict[str, Any], field: str) -> None:
    """Each wrong field of a list or mark is refused by its path."""
    with pytest.raises(FrameError) as caught:
        parse(json.dumps(body))

    assert (caught.value.code, caught.value.field) == ("INVALID_FIELD", field)
