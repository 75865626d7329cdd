"""What every convert.py needs: enums, times and free data between protobuf and the model, and fields not built yet."""

from __future__ import annotations

import enum
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

if TYPE_CHECKING:
    from collections.abc import Collection

    from google.protobuf.message import Message
    from google.protobuf.struct_pb2 import Struct, Value

    from services.kernel.validation import Violations
    from services.kernel.vocabulary import Json

E = TypeVar("E", bound=enum.StrEnum)

MAX_DEPTH = 32
# Whole numbers up to here survive the double that a Struct carries them in.
MAX_EXACT_INTEGER = 2**53
# A key may be as long as the Struct, and every value under it may be wrong.
_KEY_IN_PATH = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _WireEnum(Protocol):
    """What a generated enum offers, each a type of its own."""

    def Value(self, name: str) -> int: ...


class EnumCodec(Generic[E]):
    """Converts between an enum of the proto, whose names have a prefix, and ours, whose values are the short names."""

    def __init__(self, ours: type[E], theirs: _WireEnum, *, prefix: str) -> None:
        self._prefix = prefix
        self._to_wire: dict[E, int] = {member: theirs.Value(prefix + member.value) for member in ours}
        self._from_wire = {number: member for member, number in self._to_wire.items()}
        self._names = ", ".join(prefix + member.value for member in ours)

    def to_wire(self, member: E) -> Any:
        """Gives the proto's number; typed Any since every generated enum is a type of its own."""
        return self._to_wire[member]

    def from_wire(self, number: int, violations: Violations, *, field: str) -> E | None:
        """Gives our member; UNSPECIFIED, and a number that we do not know, are violations."""
        member = self._from_wire.get(number)
        if member is None and number == 0:
            violations.add(field, f"must be one of {self._names}", "REQUIRED")
        elif member is None:
            violations.add(field, f"has the unknown value {number}; must be one of {self._names}", "UNKNOWN_VALUE")
        return member

    def optional(self, number: int, violations: Violations, *, field: str) -> E | None:
        """Gives our member, or None for UNSPECIFIED; a number that we do not know is a violation."""
        return None if number == 0 else self.from_wire(number, violations, field=field)


def to_timestamp(time: datetime | None) -> Timestamp | None:
    """Gives the proto's time; None, which a generated constructor takes as absent, stays None."""
    if time is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def from_timestamp(timestamp: Timestamp, violations: Violations, *, field: str) -> datetime:
    """Gives the time in whole milliseconds; one that is no date is a violation, and the epoch stands in for it."""
    try:
        time = _EPOCH + timedelta(seconds=timestamp.seconds, milliseconds=timestamp.nanos // 1_000_000)
    except OverflowError:
        time = None
    if time is None or not 0 <= timestamp.nanos < 1_000_000_000:
        violations.add(field, "must be a time between the years 1 and 9999", "OUT_OF_RANGE")
        return _EPOCH
    return time


def struct_to_dict(
    struct: Struct, violations: Violations, *, field: str, imprecise: list[str] | None = None
) -> dict[str, Json]:
    """Gives the free data of a Struct: at most 32 levels, finite numbers, no NUL in a key.

    By hand, since json_format takes twice as long and answers whole numbers as floats, which Liquid prints as ``3.0``.

    Args:
        struct: What came.
        violations: Where what is wrong is recorded.
        field: Where it stands in the request.
        imprecise: Where the paths of whole numbers are put that a double may not have carried exactly.
    """
    reader = _StructReader(violations, [] if imprecise is None else imprecise)
    return reader.read_object(struct, field, depth=1)


def refuse_unbuilt(message: Message, names: Collection[str], violations: Violations, *, prefix: str = "") -> None:
    """Records a violation for every set field that is in the contract and not built yet: refused, never ignored."""
    for descriptor, _ in message.ListFields():
        if descriptor.name in names:
            violations.add(prefix + descriptor.name, "is not supported yet; leave it out", "NOT_SUPPORTED_YET")


class _StructReader:
    def __init__(self, violations: Violations, imprecise: list[str]) -> None:
        self._violations = violations
        self._imprecise = imprecise

    def read_object(self, struct: Struct, path: str, *, depth: int) -> dict[str, Json]:
        if depth > MAX_DEPTH:
            self._refuse_depth(path)
            return {}

        result: dict[str, Json] = {}
        for key, value in struct.fields.items():
            if "\0" in key:
                problem = "must not have a key that contains a NUL character"
                self._violations.add(path, problem, "INVALID_CHARACTERS")
            else:
                result[key] = self._read_value(value, f"{path}.{key[:_KEY_IN_PATH]}", depth=depth)
        return result

    def _read_value(self, value: Value, path: str, *, depth: int) -> Json:
        match value.WhichOneof("kind"):
            case "string_value":
                return value.string_value
            case "number_value":
                return self._read_number(value.number_value, path)
            case "bool_value":
                return value.bool_value
            case "struct_value":
                return self.read_object(value.struct_value, path, depth=depth + 1)
            case "list_value" if depth < MAX_DEPTH:
                items = value.list_value.values
                return [self._read_value(item, f"{path}[{i}]", depth=depth + 1) for i, item in enumerate(items)]
            case "list_value":
                self._refuse_depth(path)
                return None
            case _:
                return None

    def _read_number(self, number: float, path: str) -> int | float:
        if not math.isfinite(number):
            self._violations.add(path, "must be a finite number, not NaN or an infinity", "NOT_FINITE")
            return 0
        if number.is_integer() and abs(number) <= MAX_EXACT_INTEGER:
            return int(number)
        if number.is_integer():
            self._imprecise.append(path)
        return number

    def _refuse_depth(self, path: str) -> None:
        self._violations.add(path, f"must not be nested deeper than {MAX_DEPTH} levels", "TOO_DEEP")
