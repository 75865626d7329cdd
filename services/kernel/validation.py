"""The checks that all services share; what is wrong is collected, so that a caller learns all of it at once.

Each check returns the value (a limit that clamps returns the clamped one) and records what is wrong into the
``Violations`` that it is given; it never raises.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from zoneinfo import available_timezones

from services.kernel.errors import FieldViolation, InvalidArgument

MAX_USER_ID_BYTES = 256
MAX_ID_BYTES = 128
DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
MAX_VIOLATIONS = 100

_WEB_URL = re.compile(r"https?://[^\s]+", re.IGNORECASE)
_CREATED_ID = re.compile(r"[A-Za-z0-9._:-]+")
# Control, format, surrogate, line and paragraph separator: a person does not see them, so two ids could look the same.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Violations:
    """Everything that is wrong with one request."""

    def __init__(self) -> None:
        self._items: list[FieldViolation] = []

    def __bool__(self) -> bool:
        """Whether anything is wrong."""
        return bool(self._items)

    def add(self, field: str, description: str, reason: str = "INVALID") -> None:
        """Records one violation; those beyond the hundredth are not worth what they cost."""
        if len(self._items) < MAX_VIOLATIONS:
            self._items.append(FieldViolation(field, description, reason))

    def include(self, others: Violations, *, prefix: str) -> None:
        """Records those of a part of the request, whose fields are named from there."""
        for one in others._items:
            self.add(prefix + one.field, one.description, one.reason)

    def raise_if_any(self) -> None:
        """Raises InvalidArgument with everything recorded, or does nothing."""
        if self._items:
            raise InvalidArgument(self._items)


def user_id(value: str, violations: Violations, *, field: str = "user_id") -> str:
    """Checks the id of a user: 1 to 256 bytes of UTF-8 that a person can see; compared byte for byte, never trimmed."""
    if not text(value, violations, field=field, max_bytes=MAX_USER_ID_BYTES, required=True):
        return value

    invisible = next((char for char in value if unicodedata.category(char) in _INVISIBLE), None)
    if invisible is not None and not _has_surrogate(value):
        violations.add(
            field,
            f"must not contain control, format or separator characters, but contains U+{ord(invisible):04X}",
            "INVALID_CHARACTERS",
        )
    return value


def created_id(value: str, violations: Violations, *, field: str) -> str:
    """Checks an id that the caller chooses for something new: 1 to 128 of ``[A-Za-z0-9._:-]``."""
    if text(value, violations, field=field, max_bytes=MAX_ID_BYTES, required=True) and not _CREATED_ID.fullmatch(value):
        violations.add(field, "must consist of A-Z a-z 0-9 . _ : -", "INVALID_CHARACTERS")
    return value


def lookup_id(value: str, violations: Violations, *, field: str) -> str:
    """Checks an id that something is looked up by: any 1 to 128 bytes, so that what never could exist is NOT_FOUND."""
    return text(value, violations, field=field, max_bytes=MAX_ID_BYTES, required=True)


def text(value: str, violations: Violations, *, field: str, max_bytes: int, required: bool = False) -> str:
    """Checks the length of a text in bytes of UTF-8."""
    size = len(value.encode("utf-8", "surrogatepass"))
    if required and not value:
        violations.add(field, f"must not be empty; give 1 to {max_bytes} bytes", "REQUIRED")
    elif size > max_bytes:
        violations.add(field, f"must be at most {max_bytes} bytes of UTF-8, but has {size}", "TOO_LONG")
    elif _has_surrogate(value):
        # Protobuf cannot carry one, JSON can ("\ud800"), and nothing behind us can store it.
        violations.add(field, "must be valid Unicode, but contains an unpaired surrogate", "INVALID_CHARACTERS")
    return value


def page_size(value: int, violations: Violations, *, field: str = "page_size") -> int:
    """Checks a page size: 0 means 50, more than 1000 means 1000, below 0 is refused."""
    if value < 0:
        violations.add(field, f"must not be negative, but is {value}; 0 means {DEFAULT_PAGE_SIZE}", "OUT_OF_RANGE")
    return min(value, MAX_PAGE_SIZE) if value > 0 else DEFAULT_PAGE_SIZE


def is_web_url(value: str) -> bool:
    """Tells whether a text is an http or https URL."""
    return _WEB_URL.fullmatch(value) is not None


def is_timezone(value: str) -> bool:
    """Tells whether a text is a name of the tz database."""
    return value in _timezones()


@cache
def _timezones() -> frozenset[str]:
    # Walks the whole tz database, so once is enough.
    return frozenset(available_timezones())


def _has_surrogate(value: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in value)
