from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.notificationapi.structs import MAX_VALUES, from_struct, to_struct
from services.kernel.errors import InvalidArgument
from services.kernel.wire import MAX_DEPTH, MAX_EXACT_INTEGER

EXACT = st.integers(min_value=-MAX_EXACT_INTEGER, max_value=MAX_EXACT_INTEGER)
JSON = st.recursive(
    st.none() | st.booleans() | EXACT | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
KEYS = st.text(max_size=5).filter(lambda key: "\0" not in key)


@settings(deadline=None)
@given(st.dictionaries(KEYS, JSON.filter(lambda value: "\\u0000" not in json.dumps(value)), max_size=5))
def test_what_goes_in_comes_out(values: dict[str, Any]) -> None:
    """JSON survives the way to protobuf, over the wire, and back; empty objects and lists too."""
    struct = Struct.FromString(to_struct(values, field="x").SerializeToString())
    assert from_struct(struct) == values


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_has_a_bound(opening: str) -> None:
    """32 levels go, one more is refused by its place: protobuf would fail on far more."""
    closing = {"[": "]", '{"a":': "}"}[opening]
    inner = "1" if closing == "}" else ""

    def nested(levels: int) -> dict[str, Any]:
        return {"a": json.loads(opening * levels + inner + closing * levels)}

    assert from_struct(to_struct(nested(MAX_DEPTH - 1), field="x")) == nested(MAX_DEPTH - 1)
    with pytest.raises(InvalidArgument) as refused:
        to_struct(nested(MAX_DEPTH), field="x")
    assert refused.value.violations[0].field.startswith("x.a")


@pytest.mark.parametrize("number", [10**400, -(10**400), 1e999])
def test_a_number_that_no_double_holds_is_refused(number: float) -> None:
    """It is named by its place."""
    with pytest.raises(InvalidArgument) as refused:
        to_struct({"a": [0, {"b": number}]}, field="x")
    assert refused.value.violations[0].field == "x.a[1].b"


def test_the_number_of_values_has_a_bound() -> None:
    """A body of millions of small values is not worth reading on."""
    to_struct({"a": [0] * (MAX_VALUES - 1)}, field="x")
    with pytest.raises(InvalidArgument):
        to_struct({"a": [0] * MAX_VALUES}, field="x")
