from __future__ import annotations

import re
from pathlib import Path

from gateway.closes import CloseCode

README = Path(__file__).parents[3] / "gateway" / "README.md"


def test_every_code_is_in_a_range_that_tells_whether_to_come_back() -> None:
    """A meaning begins with what the range of its code says, 1001 being the protocol's own."""
    for close in CloseCode:
        assert close.meaning.startswith("Come back:" if close.comes_back else "Stay away:")
        assert close is CloseCode.GOING_AWAY or 4000 <= close.code <= 4999


def test_codes_and_reasons_are_unique_and_fit_a_close_frame() -> None:
    """No two codes or reasons are the same, and a reason has at most 123 bytes."""
    assert len({close.code for close in CloseCode}) == len(CloseCode)
    assert len({close.reason for close in CloseCode}) == len(CloseCode)
    assert max(len(close.reason.encode()) for close in CloseCode) <= 123


def test_readme_has_the_same_table() -> None:
    """The README lists every close code with its reason and meaning, in the order of the table."""
    rows = re.findall(r"^\| (\d{4}) \| (.+?) \| (.+?) \|$", README.read_text(), re.MULTILINE)

    assert rows == [(str(close.code), close.reason, close.meaning) for close in CloseCode]
