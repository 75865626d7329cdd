from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.v1 import channel_pb2, sender_pb2
from services.kernel.errors import FieldViolation, InvalidArgument
from services.kernel.validation import Violations
from services.kernel.vocabulary import Channel, DeliveryOption, Priority
from services.kernel.wire import (
    EnumCodec,
    from_timestamp,
    refuse_unbuilt,
    struct_to_dict,
    to_timestamp,
)

CHANNELS = EnumCodec(Channel, channel_pb2.Channel, prefix="CHANNEL_")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def recorded(violations: Violations) -> tuple[FieldViolation, ...]:
    """Gives everything that is recorded."""
    try:
        violations.raise_if_any()
    except InvalidArgument as error:
        return error.violations
    return ()


def read(struct: Struct) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads a Struct; gives its data, and the reason of each violation by its field."""
    violations = Violations()
    data = struct_to_dict(struct, violations, field="merge_tags")
    return data, {one.field: one.reason for one in recorded(violations)}


def nested(depth: int, kind: str) -> Struct:
    """Makes a Struct of so many levels, itself the first; below it all are structs or all are lists."""
    value = Value(string_value="bottom")
    for _ in range(depth - 1):
        outer = Value()
        if kind == "struct":
            outer.struct_value.fields["a"].CopyFrom(value)
        else:
            outer.list_value.values.append(value)
        value = outer
    return Struct(fields={"a": value})


@pytest.mark.parametrize("channel", Channel)
def test_an_enum_round_trips(channel: Channel) -> None:
    """Our member and the proto's number stand for each other."""
    violations = Violations()

    number = CHANNELS.to_wire(channel)

    assert channel_pb2.Channel.Name(number) == f"CHANNEL_{channel}"
    assert CHANNELS.from_wire(number, violations, field="channel") is channel
    assert CHANNELS.optional(number, violations, field="channel") is channel
    assert not violations


@pytest.mark.parametrize("number", [7, 99, -1, 2**31 - 1, -(2**31)])
def test_an_unknown_number_is_a_violation(number: int) -> None:
    """A number that the enum does not have is named, with the values that there are."""
    for decode in (CHANNELS.from_wire, CHANNELS.optional):
        violations = Violations()

        assert decode(number, violations, field="force_channels[1]") is None
        (violation,) = recorded(violations)
        assert (violation.field, violation.reason) == ("force_channels[1]", "UNKNOWN_VALUE")
        assert f"unknown value {number}; must be one of CHANNEL_EMAIL, CHANNEL_INAPP_WEB" in violation.description


def test_unspecified_is_refused_or_absent() -> None:
    """UNSPECIFIED is a violation where a value is needed, and None where it is not."""
    violations = Violations()

    assert CHANNELS.optional(0, violations, field="channel") is None
    assert not violations
    assert CHANNELS.from_wire(0, violations, field="channel") is None
    (violation,) = recorded(violations)
    assert violation.reason == "REQUIRED"
    assert violation.description.startswith("must be one of CHANNEL_EMAIL, ")


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix", "left_out"),
    [
        (Channel, channel_pb2.Channel, "CHANNEL_", {"UNSPECIFIED"}),
        (DeliveryOption, channel_pb2.DeliveryOption, "DELIVERY_OPTION_", {"UNSPECIFIED", "ON"}),
        (Priority, channel_pb2.Priority, "PRIORITY_", {"UNSPECIFIED"}),
    ],
)
def test_the_vocabulary_is_the_contracts(ours: Any, theirs: Any, prefix: str, left_out: set[str]) -> None:
    """Every word of the contract is in the vocabulary, in its order, but for those that are never stored."""
    names = [name.removeprefix(prefix) for name in theirs.keys()]  # noqa: SIM118 # no dict

    assert [name for name in names if name not in left_out] == list(ours)


@pytest.mark.parametrize(
    "time",
    [
        EPOCH,
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, 0, 1_000, tzinfo=UTC),
    ],
)
def test_a_time_round_trips(time: datetime) -> None:
    """Every time of whole milliseconds from year 1 to 9999 survives the wire."""
    violations = Violations()
    timestamp = to_timestamp(time)

    assert timestamp is not None
    assert from_timestamp(timestamp, violations, field="expire_time") == time
    assert not violations


def test_no_time_is_no_timestamp() -> None:
    """None stays None, which a generated constructor takes as absent."""
    assert to_timestamp(None) is None


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (-62_135_596_801, 0),
        (253_402_300_800, 0),
        (2**63 - 1, 0),
        (-(2**63), 0),
        (0, -1),
        (0, 1_000_000_000),
        (0, 2**31 - 1),
        (0, -(2**31)),
        (253_402_300_799, 1_000_000_000),
    ],
)
def test_a_timestamp_that_is_no_time_is_a_violation(seconds: int, nanos: int) -> None:
    """Beyond the years 1 to 9999, and with nanoseconds that are none, the epoch stands in."""
    violations = Violations()

    assert from_timestamp(Timestamp(seconds=seconds, nanos=nanos), violations, field="expire_time") == EPOCH
    assert [(one.field, one.reason) for one in recorded(violations)] == [("expire_time", "OUT_OF_RANGE")]


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
def test_any_timestamp_is_a_time_or_a_violation(seconds: int, nanos: int) -> None:
    """Whatever comes, a time in whole milliseconds comes out."""
    time = from_timestamp(Timestamp(seconds=seconds, nanos=nanos), Violations(), field="t")

    assert time.microsecond % 1000 == 0
    assert time.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (3.0, 3),
        (-0.0, 0),
        (2.0**53, 2**53),
        (-(2.0**53), -(2**53)),
        (2.0**53 - 1, 2**53 - 1),
        (2.0**53 + 2, 2.0**53 + 2),
        (1e300, 1e300),
        (0.1, 0.1),
        (5e-324, 5e-324),
    ],
)
def test_a_whole_number_is_an_integer(number: float, expected: float) -> None:
    """Whole numbers that a double holds exactly are integers, others stay what they are; none is refused."""
    struct = Struct()
    struct["n"] = number

    data, violations = read(struct)

    assert repr(data["n"]) == repr(expected)
    assert violations == {}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_is_finite(number: float) -> None:
    """NaN and the infinities are refused, with their path."""
    struct = Struct()
    struct.update({"a": {"b": [1, {"c": 2}]}})
    struct.fields["a"].struct_value.fields["b"].list_value.values[1].struct_value.fields["c"].number_value = number

    assert read(struct)[1] == {"merge_tags.a.b[1].c": "NOT_FINITE"}


def test_a_key_has_no_nul() -> None:
    """A key with a NUL is refused wherever it stands; the field is the object that has it."""
    struct = Struct()
    struct.update({"a\0b": 1, "c": {"\0": 2, "d": [{"e": {"f\0": 3}}]}})

    violations = read(struct)[1]

    assert violations == dict.fromkeys(["merge_tags", "merge_tags.c", "merge_tags.c.d[0].e"], "INVALID_CHARACTERS")


def test_empty_data_stays_what_it_is() -> None:
    """Null, an empty list, an empty object, an empty text and a value of no kind are taken."""
    struct = Struct()
    struct.update({"null": None, "list": [], "object": {}, "text": "", "false": False, "": 0})
    struct.fields["unset"].SetInParent()

    data, violations = read(struct)

    assert data == {"null": None, "list": [], "object": {}, "text": "", "false": False, "": 0, "unset": None}
    assert data["false"] is False
    assert violations == {}


@pytest.mark.parametrize("kind", ["struct", "list"])
def test_32_levels_are_taken(kind: str) -> None:
    """32 levels are taken, 33 refused, whether they are objects or lists."""
    assert read(nested(32, kind))[1] == {}
    step = ".a" if kind == "struct" else "[0]"
    assert read(nested(33, kind))[1] == {"merge_tags.a" + step * 31: "TOO_DEEP"}


def test_a_path_shows_the_start_of_a_long_key() -> None:
    """A key of any length cannot make each violation under it as long."""
    struct = Struct()
    struct.get_or_create_list("k" * 10_000).extend([math.nan, math.nan])

    assert set(read(struct)[1]) == {f"merge_tags.{'k' * 64}[0]", f"merge_tags.{'k' * 64}[1]"}


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
json_values = st.recursive(
    st.none() | st.booleans() | texts | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(keys, json_values, max_size=4))
def test_json_round_trips(data: dict[str, Any]) -> None:
    """Any JSON of numbers that a double holds comes back equal, through the bytes."""
    struct = Struct()
    struct.update(data)

    assert read(Struct.FromString(struct.SerializeToString())) == (data, {})


def test_a_field_that_is_not_built_is_refused() -> None:
    """Set fields that are not built yet are violations, unset ones and others are not."""
    request = sender_pb2.SendRequest(notification_id="n", request_id="r", validate_only=True)
    violations = Violations()

    refuse_unbuilt(request, ("request_id", "wait", "validate_only"), violations, prefix="request.")

    assert {one.field: one.reason for one in recorded(violations)} == {
        "request.request_id": "NOT_SUPPORTED_YET",
        "request.validate_only": "NOT_SUPPORTED_YET",
    }
