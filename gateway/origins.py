"""Which pages may open a session: the origins that a browser names, against those that are allowed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<any>\*\.)?(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?P<port>:\d+)?"
)


def origin_error(text: str) -> str | None:
    """Says what is wrong with an allowed origin, or nothing."""
    if ORIGIN.fullmatch(text):
        return None
    return f"{text!r} is no origin; write it as https://app.example.com or https://*.example.com, without a path"


def is_allowed(origins: Iterable[str], allowed: Iterable[str]) -> bool:
    """Tells whether all origins of a request are allowed; one that names none, as no browser does, is.

    ``*.`` stands for one label or more, as it does in a Content-Security-Policy.
    """
    patterns = tuple(allowed)
    return all(any(_matches(origin, pattern) for pattern in patterns) for origin in origins)


def _matches(origin: str, pattern: str) -> bool:
    if origin == pattern:
        return True

    given, wanted = ORIGIN.fullmatch(origin), ORIGIN.fullmatch(pattern)
    if not given or not wanted or given["any"] or not wanted["any"]:
        return False
    return given["host"].endswith(f".{wanted['host']}") and (given["scheme"], given["port"]) == (
        wanted["scheme"],
        wanted["port"],
    )
