"""Texts of others, made harmless for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Gives a text on one line without what a terminal would obey: a title may come from anybody."""
    return "".join(char if char.isprintable() else " " for char in text)


def printable_lines(text: str) -> str:
    """Gives a text likewise, with its lines."""
    return "\n".join(map(printable, text.splitlines()))
