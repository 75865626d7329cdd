"""The HTML of a mail: its plain text for programs and people that read no HTML, and the preview hidden in it. Pure."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Each way of hiding is for programs that ignore the others; mso-hide is for Outlook.
_HIDDEN = (
    "display:none;visibility:hidden;mso-hide:all;opacity:0;overflow:hidden;"
    "height:0;width:0;max-height:0;max-width:0;font-size:1px;line-height:1px;color:transparent"
)
# Blank to the eye, but not trimmed: it keeps the text of the mail out of the preview that a list shows.
_FILLER = "&#847;&zwnj;&nbsp;" * 60
_BODY = re.compile(r"""<body(?=[\s/>])(?:"[^"]*"|'[^']*'|[^'">])*>""", re.IGNORECASE)
_BEFORE_BODY = re.compile(r"""(?:</head\s*>|<html(?=[\s/>])(?:"[^"]*"|'[^']*'|[^'">])*>|<!doctype[^>]*>)""", re.I)

_PARAGRAPHS = frozenset(
    ["blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p", "pre", "table", "ul"]
)
_SECTIONS = frozenset(["address", "article", "aside", "body", "footer", "form", "header", "main", "nav", "section"])
_LINES = _SECTIONS | {"caption", "center", "dd", "div", "dt", "fieldset", "figcaption", "li", "tr"}
_UNREAD = frozenset(["style", "script", "title", "template"])
_VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"])
_SPACES = re.compile(r"[ \t\n\r\f]+")
_LINKED = ("http:", "https:", "mailto:", "tel:", "sms:")


def with_preview(source: str, preview: str) -> str:
    """Gives the HTML with a text at its beginning that mail programs show in their lists, and nowhere else."""
    if not preview:
        return source
    hidden = f'<div style="{_HIDDEN}" aria-hidden="true">{html.escape(preview)}{_FILLER}</div>'
    # Of the same length, so that a place in it is that place in the source.
    uncommented = _without_comments(source, filled=True)
    found = _BODY.search(uncommented)
    place = found.end() if found else max((one.end() for one in _BEFORE_BODY.finditer(uncommented)), default=0)
    return source[:place] + hidden + source[place:]


def plain_text(source: str) -> str:
    """Gives the text of HTML as a person would write it down: paragraphs, lists, and links with where they go."""
    reader = _Reader()
    reader.feed(_without_comments(source))
    reader.close()
    return reader.text()


def _without_comments(source: str, *, filled: bool = False) -> str:
    # They hold what Outlook alone reads, whole bodies among it; and the parser raises for some that begin with <![.
    pieces, position = [], 0
    for start, end in _comments(source):
        pieces += [source[position:start], " " * (end - start) if filled else ""]
        position = end
    return "".join((*pieces, source[position:]))


def _comments(source: str) -> Iterator[tuple[int, int]]:
    """Finds comments and what else begins like one, but not the doctype."""
    position = 0
    while (start := source.find("<!", position)) >= 0:
        closing = "-->" if source.startswith("<!--", start) else ">"
        end = source.find(closing, start + 2)
        position = len(source) if end < 0 else end + len(closing)
        if source[start + 2 : start + 9].lower() != "doctype":
            yield start, position


class _Reader(HTMLParser):
    """Writes down what is read, line by line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = [""]
        self._lists: list[int] = []
        """For each list that is open the number of its next entry; 0: it has none."""

        self._links: list[tuple[str, int, int]] = []
        """For each link that is open where it goes, and where its text begins: the line, and the place in it."""

        self._unread: list[str] = []
        """The elements that are open inside of one that nobody sees, and that one itself."""

        self._preformatted = 0

    def text(self) -> str:
        """Gives what was read, without blank lines at either end and never two in a row."""
        kept: list[str] = []
        for line in (line.strip("\n").rstrip(" ") for line in self._lines):
            if line or (kept and kept[-1]):
                kept.append(line)
        return "\n".join(kept).strip("\n")

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if self._unread or tag in _UNREAD or _is_hidden(attributes):
            if tag not in _VOID:
                self._unread.append(tag)
            return
        if tag == "br":
            self._lines.append("")
            return
        self._break(tag)
        match tag:
            case "a":
                self._links.append((attributes.get("href", "").strip(), len(self._lines) - 1, len(self._lines[-1])))
            case "img":
                self.handle_data(attributes.get("alt", ""))
            case "hr":
                self._lines += ["-" * 20, "", ""]
            case "ul" | "ol":
                self._lists.append(1 if tag == "ol" else 0)
            case "li":
                self._begin_entry()
            case "td" | "th":
                self.handle_data(" ")
            case "pre":
                self._preformatted += 1

    def handle_endtag(self, tag: str) -> None:
        if self._unread:
            # What is left open inside is closed with what it is in.
            if tag in self._unread:
                while self._unread.pop() != tag:
                    pass
            return
        match tag:
            case "a" if self._links:
                self._end_link(*self._links.pop())
            case "ul" | "ol" if self._lists:
                self._lists.pop()
            case "pre" if self._preformatted:
                self._preformatted -= 1
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if self._unread:
            return
        if self._preformatted:
            first, *others = data.replace("\r\n", "\n").split("\n")
            self._lines[-1] += first
            self._lines += others
            return
        text = _SPACES.sub(" ", data).replace("\xa0", " ")
        line = self._lines[-1]
        self._lines[-1] = line + (text.lstrip(" ") if not line or line.endswith(" ") else text)

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS and not (tag in ("ul", "ol") and self._lists):
            self._end_line()
            self._lines.append("")
        elif tag in _LINES or tag in _PARAGRAPHS:
            self._end_line()

    def _end_line(self) -> None:
        if self._lines[-1].strip(" "):
            self._lines.append("")
        else:
            self._lines[-1] = ""

    def _begin_entry(self) -> None:
        indent = "  " * max(len(self._lists) - 1, 0)
        number = self._lists[-1] if self._lists else 0
        if number:
            self._lists[-1] += 1
        self._lines[-1] = f"{indent}{number}. " if number else f"{indent}- "

    def _end_link(self, target: str, line: int, place: int) -> None:
        if not target.lower().startswith(_LINKED):
            return
        shown = "\n".join((self._lines[line][place:], *self._lines[line + 1 :])).strip()
        if not shown:
            self.handle_data(target)
        elif shown not in (target, target.partition(":")[2], target.rstrip("/")):
            last = max(i for i in range(line, len(self._lines)) if self._lines[i].strip())
            self._lines[last] = f"{self._lines[last].rstrip(' ')} ({target})"


def _is_hidden(attributes: dict[str, str]) -> bool:
    style = _SPACES.sub("", attributes.get("style", "")).lower()
    return "display:none" in style or "hidden" in attributes
