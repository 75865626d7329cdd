from __future__ import annotations

import json
import zlib
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.v1 import channel_pb2, delivery_pb2
from gateway.http.notificationapi.bodies import checked
from gateway.http.notificationapi.log_queries import (
    MAX_QUERY_ID_CHARS,
    QueryBody,
    UnreadableQueryError,
    filter_to_proto,
    query_id_of,
    query_name,
    read_query_id,
)
from services.kernel.errors import InvalidArgument

TEXTS = st.lists(st.text(max_size=10), max_size=3)
# Half a character, which protobuf does not carry.
HALF = b'{"userFilter": ["\\ud800"]}'
TIMES = st.integers(min_value=-(10**14), max_value=10**14)


def query(**fields: Any) -> QueryBody:
    """Gives a query."""
    return checked(QueryBody, fields)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "userFilter": TEXTS,
            "trackingIds": TEXTS,
            "notificationFilter": TEXTS,
            "statusFilter": st.lists(st.sampled_from(["SUCCESS", "failed"])),
            "channelFilter": st.lists(st.sampled_from(["EMAIL", "sms"])),
            "dateRangeFilter": st.fixed_dictionaries({}, optional={"startTime": TIMES, "endTime": TIMES}),
            "unknown": st.text(),
        },
    )
)
def test_the_id_of_a_query_is_the_query(fields: dict[str, Any]) -> None:
    """What is read out of it asks for the same, and has the same id."""
    asked = query(**fields)
    query_id = query_id_of(asked)
    again = read_query_id(query_id)
    assert filter_to_proto(again, "dev") == filter_to_proto(asked, "dev")
    assert query_id_of(again) == query_id


@settings(deadline=None)
@given(st.text() | st.binary().map(lambda raw: urlsafe_b64encode(raw).decode()))
def test_what_is_no_id_is_unreadable(text: str) -> None:
    """Whatever stands there, nothing else is raised."""
    with pytest.raises(UnreadableQueryError):
        read_query_id(text)


@pytest.mark.parametrize(
    "raw",
    [b"[]", b"7", b'{"userFilter": 7}', b"{", b"\xff", b"[" * 100_000, b" " * 300_000 + b"{}", HALF],
    ids=["list", "number", "kind", "cut", "bytes", "deep", "large", "half"],
)
def test_what_is_packed_but_no_query_is_unreadable(raw: bytes) -> None:
    """A forged id is as good as none, and a small one cannot become large."""
    with pytest.raises(UnreadableQueryError):
        read_query_id(urlsafe_b64encode(zlib.compress(raw)).decode())


def test_a_query_that_says_too_much_is_refused() -> None:
    """Its id would fit into no path."""
    fits = query(userFilter=[f"user{i}" for i in range(100)])
    assert len(query_id_of(fits)) <= MAX_QUERY_ID_CHARS
    with pytest.raises(InvalidArgument):
        query_id_of(query(trackingIds=[f"{i * 7919:x}-{i * 104729:x}" for i in range(1000)]))


@pytest.mark.parametrize(
    ("number", "seconds"),
    [(1719600830559, 1719600830.559), (1719600830, 1719600830), ("1719600830", 1719600830), (99999999999, 99999999999)],
    ids=["milliseconds", "seconds", "text", "latest"],
)
def test_a_time_is_in_milliseconds_or_seconds(number: object, seconds: float) -> None:
    """A number below 10^11 is of seconds, as their documentation says and their example does not."""
    start = filter_to_proto(query(dateRangeFilter={"startTime": number}), "dev").start_time
    assert start.seconds + start.nanos / 1e9 == pytest.approx(seconds)


def test_words_are_states_and_channels() -> None:
    """Theirs and ours, in any case, each once."""
    made = filter_to_proto(query(statusFilter=["success", "SENT", "Failure"], channelFilter=["email", "EMAIL"]), "dev")
    assert list(made.states) == [
        delivery_pb2.DELIVERY_STATE_SENT,
        delivery_pb2.DELIVERY_STATE_DELIVERED,
        delivery_pb2.DELIVERY_STATE_FAILED,
    ]
    assert list(made.channels) == [channel_pb2.CHANNEL_EMAIL]


def test_fields_have_their_names() -> None:
    """Those of ListMessages become those of the query."""
    assert query_name("filter.user_ids[3]") == "userFilter[3]"
    assert query_name("filter.user_ids") == "userFilter"
    assert query_name("page_token") == "pageToken"
    assert query_name("filter.start_time") == "dateRangeFilter.startTime"


def test_the_id_is_made_of_what_is_said() -> None:
    """No null and no unknown field is in it."""
    raw = urlsafe_b64encode(zlib.compress(json.dumps({"userFilter": ["a"]}, separators=(",", ":")).encode(), 9))
    assert query_id_of(query(userFilter=["a"], customFilter=None, foo=1)) == raw.decode().rstrip("=")
