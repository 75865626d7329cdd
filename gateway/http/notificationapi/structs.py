"""Free data between JSON and protobuf: what merge tags are, and what is kept for the log. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import NULL_VALUE, Struct

from services.kernel.errors import FieldViolation, InvalidArgument
from services.kernel.validation import Violations
from services.kernel.wire import MAX_DEPTH, struct_to_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.struct_pb2 import ListValue, Value

MAX_VALUES = 50_000
"""More than fit in what the services take: a value has three bytes at least."""

_KEY_IN_PATH = 64


def to_struct(values: Mapping[str, Any], *, field: str) -> Struct:
    """Gives JSON as free data.

    Args:
        values: What came.
        field: Where it stands in the body.

    Raises:
        InvalidArgument: If it is nested too deep for protobuf, is far too much, or has a number that no double holds.
    """
    struct = Struct()
    _Writer().write_object(struct, values, field, depth=1)
    return struct


def from_struct(struct: Struct) -> dict[str, Any]:
    """Gives free data as JSON; whole numbers are whole again."""
    # What was stored once was right then, so nothing is looked for here.
    return struct_to_dict(struct, Violations(), field="")


class _Writer:
    def __init__(self) -> None:
        self._left = MAX_VALUES

    def write_object(self, struct: Struct, values: Mapping[str, Any], path: str, *, depth: int) -> None:
        self._check_depth(path, depth)
        for key, value in values.items():
            self._write(struct.fields[key], value, f"{path}.{key[:_KEY_IN_PATH]}", depth=depth)

    def _write_list(self, target: ListValue, values: list[Any], path: str, *, depth: int) -> None:
        self._check_depth(path, depth)
        for i, value in enumerate(values):
            self._write(target.values.add(), value, f"{path}[{i}]", depth=depth)

    def _write(self, target: Value, value: Any, path: str, *, depth: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise _refusal(path, f"must be smaller: there are more than {MAX_VALUES} values up to here")
        match value:
            case None:
                target.null_value = NULL_VALUE
            case bool():
                target.bool_value = value
            case int() | float():
                target.number_value = _double(value, path)
            case str():
                target.string_value = value
            case dict():
                # An empty one has no fields that would make it there.
                target.struct_value.SetInParent()
                self.write_object(target.struct_value, value, path, depth=depth + 1)
            case _:
                target.list_value.SetInParent()
                self._write_list(target.list_value, value, path, depth=depth + 1)

    def _check_depth(self, path: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _refusal(path[:256], f"must be nested at most {MAX_DEPTH} levels deep")


def _double(value: float, path: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    # JSON may write 1e999.
    if not math.isfinite(number):
        raise _refusal(path, "must be a number that a double can hold")
    return number


def _refusal(path: str, problem: str) -> InvalidArgument:
    return InvalidArgument([FieldViolation(path, problem)])
