from collections.abc import Callable

import pytest

from services.kernel import validation
from services.kernel.errors import InvalidArgument
from services.kernel.validation import Violations


def reason_of(check: Callable[[Violations], object]) -> str:
    """Gives the reason of the first violation that the check records for the field `f`, or an empty text."""
    violations = Violations()
    check(violations)
    if not violations:
        return ""

    with pytest.raises(InvalidArgument) as caught:
        violations.raise_if_any()
    assert caught.value.violations[0].field == "f"
    return caught.value.violations[0].reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("userId_123abc", ""),
        ("a:b c@d/é/用户", ""),
        (" not trimmed ", ""),
        ("u" * 256, ""),
        ("é" * 128, ""),
        ("", "REQUIRED"),
        ("u" * 257, "TOO_LONG"),
        ("é" * 128 + "u", "TOO_LONG"),
        ("a\0", "INVALID_CHARACTERS"),
        ("a\n", "INVALID_CHARACTERS"),
        ("a\x85", "INVALID_CHARACTERS"),
        ("a\u200b", "INVALID_CHARACTERS"),
        ("a\u2028", "INVALID_CHARACTERS"),
        ("a\u2029", "INVALID_CHARACTERS"),
        ("a\ud800", "INVALID_CHARACTERS"),
    ],
)
def test_user_id(value: str, reason: str) -> None:
    """A user id is 1 to 256 bytes of text that a person can see."""
    assert reason_of(lambda violations: validation.user_id(value, violations, field="f")) == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("order_tracking", ""),
        ("A.b_c:d-9", ""),
        ("x" * 128, ""),
        ("", "REQUIRED"),
        ("x" * 129, "TOO_LONG"),
        ("a b", "INVALID_CHARACTERS"),
        ("é", "INVALID_CHARACTERS"),
        ("a\n", "INVALID_CHARACTERS"),
    ],
)
def test_created_id(value: str, reason: str) -> None:
    """An id that a caller makes up is 1 to 128 plain characters."""
    assert reason_of(lambda violations: validation.created_id(value, violations, field="f")) == reason


@pytest.mark.parametrize(
    ("value", "reason"), [("what ever\0", ""), ("x" * 128, ""), ("", "REQUIRED"), ("x" * 129, "TOO_LONG")]
)
def test_lookup_id(value: str, reason: str) -> None:
    """An id that is looked up may be any 1 to 128 bytes: what cannot exist is not found."""
    assert reason_of(lambda violations: validation.lookup_id(value, violations, field="f")) == reason


@pytest.mark.parametrize(("value", "reason"), [("", ""), ("é" * 5, ""), ("é" * 5 + "x", "TOO_LONG")])
def test_text(value: str, reason: str) -> None:
    """A text is limited in bytes, not in characters, and may be empty."""
    assert reason_of(lambda violations: validation.text(value, violations, field="f", max_bytes=10)) == reason


@pytest.mark.parametrize(("value", "size"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_page_size_is_clamped(value: int, size: int) -> None:
    """No page size means 50, one over the maximum means the maximum."""
    violations = Violations()

    assert validation.page_size(value, violations) == size
    assert not violations


def test_a_negative_page_size_is_refused() -> None:
    """A negative page size is a violation."""
    assert reason_of(lambda violations: validation.page_size(-1, violations, field="f")) == "OUT_OF_RANGE"


def test_all_violations_come_at_once() -> None:
    """The error has every violation in its order, and its message reads well."""
    violations = Violations()
    validation.user_id("", violations, field="user.id")
    validation.created_id("a b", violations, field="notification_id")

    with pytest.raises(InvalidArgument) as caught:
        violations.raise_if_any()

    assert caught.value.message == (
        "user.id: must not be empty; give 1 to 256 bytes; notification_id: must consist of A-Z a-z 0-9 . _ : -"
    )
    assert [one.reason for one in caught.value.violations] == ["REQUIRED", "INVALID_CHARACTERS"]


def test_nothing_wrong_raises_nothing() -> None:
    """Without a violation raise_if_any does nothing."""
    Violations().raise_if_any()
