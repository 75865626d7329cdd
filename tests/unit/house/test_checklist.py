"""The tolerances that NotificationAPI's clients need are a numbered checklist, and each of its lines has a test."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[3]

LINES = {
    1: "JSON whatever the Content-Type says; a body on DELETE",
    2: "every form of the credentials",
    3: "the path's client and user are those of the credentials",
    4: "a trailing slash, percent-encoding, a plus for a space",
    5: "PATCH and PUT of a schedule, and its wrapped body",
    6: "DELETE of preferences, by query or body, as account or user",
    7: "preferences as an array or wrapped, by delivery or state, of all channels",
    8: "old and new names in any mix",
    9: "200 or 202, with a tracking id and messages",
    10: "dates, oldestReceived, couldLoadMore, before, count",
    11: "seen whenever opened",
    12: "the socket",
    13: "CORS",
    14: "no bound, and how many at most",
    15: "a base URL with a trailing slash",
    16: "fields that nobody knows",
    17: "account metadata",
}
_NAME = re.compile(r"test_line_(\d\d)_\w+")


def test_every_line_of_the_checklist_has_a_test() -> None:
    """A test's id begins with the number of its line."""
    folder = ROOT / "tests" / "contract" / "gateway" / "notificationapi"
    functions = [
        node.name
        for path in folder.glob("test_checklist_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    tests = Counter(int(match[1]) for name in functions if (match := _NAME.fullmatch(name)))

    assert sorted(tests) == sorted(LINES)
