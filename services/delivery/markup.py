"""The HTML of a mail: its plain text for programs and people that read no HTML, and the preview hidden in it. Pure.

HTML is read here by one expression for tags, in a time that grows with its length alone. Python's parser took a minute
for 60 KB of ``<a <a <a``, which a template or a replacement may well say.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each way of hiding is for programs that ignore the others; mso-hide is for Outlook.
_HIDDEN = (
    "display:none;visibility:hidden;mso-hide:all;opacity:0;overflow:hidden;"
    "height:0;width:0;max-height:0;max-width:0;font-size:1px;line-height:1px;color:transparent"
)
# Blank to the eye, but not trimmed: it keeps the text of the mail out of the preview that a list shows.
_FILLER = "&#847;&zwnj;&nbsp;" * 60

# The quantifiers give nothing back, and an attribute out of quotes has no <: no place is read for every tag before it.
_TAG = re.compile(r"""<(/?)([a-z][^\s/<>"']*+)((?:"[^"]*+"|'[^']*+'|[^'"<>]++)*+)>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([^\s=/"']++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"']++)))?""")
_COMMENT = re.compile(r"<[!?]")
_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\n\r\f]+")

_PARAGRAPHS = frozenset(
    ["blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p", "pre", "table", "ul"]
)
_SECTIONS = frozenset(["address", "article", "aside", "body", "footer", "form", "header", "main", "nav", "section"])
_LINES = _SECTIONS | _PARAGRAPHS | {"caption", "center", "dd", "div", "dt", "fieldset", "figcaption", "li", "tr"}
# What is in them is no HTML.
_RAW = {name: re.compile(f"</{name}(?=[\\s/>])", re.IGNORECASE) for name in ("script", "style", "title")}
_VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"])
_LINKED = ("http:", "https:", "mailto:", "tel:", "sms:")


def with_preview(source: str, preview: str) -> str:
    """Gives the HTML with a text at its beginning that mail programs show in their lists, and nowhere else."""
    if not preview:
        return source
    hidden = f'<div style="{_HIDDEN}" aria-hidden="true">{html.escape(preview)}{_FILLER}</div>'
    doctype = _DOCTYPE.match(source)
    place = doctype.end() if doctype else 0
    # Of the same length, so that a place in it is that place in the source.
    for tag in _tags(_without_comments(source, filled=True)):
        kind = tag[1] + tag[2].lower()
        if kind in ("html", "/head"):
            place = tag.end()
        elif kind == "body":
            place = tag.end()
            break
    return source[:place] + hidden + source[place:]


def plain_text(source: str) -> str:
    """Gives the text of HTML as a person would write it down: paragraphs, lists, and links with where they go."""
    source = _without_comments(source)
    page, position, hiding = _Page(), 0, ""
    depth = 0
    for tag in _tags(source):
        name = tag[2].lower()
        if hiding:
            # Only its own name ends what is hidden, whatever is left open inside.
            if name == hiding:
                depth += -1 if tag[1] else 1
            hiding = hiding if depth else ""
            position = tag.end()
            continue
        page.write(html.unescape(source[position : tag.start()]))
        position = tag.end()
        if tag[1]:
            page.end(name)
            continue
        attributes = _attributes(tag[3])
        if name in _RAW:
            ended = _RAW[name].search(source, position)
            position = ended.start() if ended else len(source)
        elif _is_hidden(name, attributes):
            hiding, depth = ("", 0) if name in _VOID else (name, 1)
        else:
            page.begin(name, attributes)
    if not hiding:
        page.write(html.unescape(source[position:]))
    return page.text()


def _tags(source: str) -> Iterator[re.Match[str]]:
    """Finds the tags, but for what looks like one in a script or a style."""
    position = 0
    while tag := _TAG.search(source, position):
        yield tag
        position = tag.end()
        raw = _RAW.get(tag[2].lower()) if not tag[1] else None
        if raw:
            ended = raw.search(source, position)
            position = ended.start() if ended else len(source)


def _without_comments(source: str, *, filled: bool = False) -> str:
    # They hold what Outlook alone reads, whole bodies among it.
    pieces, position = [], 0
    while begun := _COMMENT.search(source, position):
        start = begun.start()
        closing = "-->" if source.startswith("<!--", start) else ">"
        end = source.find(closing, start + 2)
        end = len(source) if end < 0 else end + len(closing)
        pieces += [source[position:start], " " * (end - start) if filled else ""]
        position = end
    return "".join((*pieces, source[position:]))


def _attributes(text: str) -> dict[str, str]:
    return {
        found[1].lower(): html.unescape(found[2] or found[3] or found[4] or "") for found in _ATTRIBUTE.finditer(text)
    }


def _is_hidden(name: str, attributes: dict[str, str]) -> bool:
    style = _SPACES.sub("", attributes.get("style", "")).lower()
    return name == "template" or "display:none" in style or "hidden" in attributes


class _Page:
    """The lines that are written, and the one that is being written."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        """Its pieces; none of them is empty."""

        self._lists: list[int] = []
        """For each list that is open the number of its next entry; 0: it has none."""

        self._width = 0
        """How many characters the line has that is being written."""

        self._link: tuple[str, int, int, int] | None = None
        """Where the link that is open goes; and what was there before: lines, then pieces and characters of one."""

        self._preformatted = 0

    def text(self) -> str:
        """Gives what was written, without blank lines at either end and never two in a row."""
        self._end_link()
        self._break()
        kept: list[str] = []
        for line in (line.rstrip(" ") for line in self._lines):
            if line or (kept and kept[-1]):
                kept.append(line)
        return "\n".join(kept).rstrip("\n")

    def write(self, text: str) -> None:
        """Writes text as HTML has it: any white space is one space, but in what is preformatted."""
        if self._preformatted:
            for line in text.splitlines(keepends=True):
                self._add(line.rstrip("\r\n"))
                if line != line.rstrip("\r\n"):
                    self._break()
            return
        text = _SPACES.sub(" ", text).replace("\xa0", " ")
        self._add(text.lstrip(" ") if not self._line or self._line[-1].endswith(" ") else text)

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Begins an element."""
        self._separate(name)
        match name:
            case "a":
                self._end_link()
                self._link = attributes.get("href", "").strip(), len(self._lines), len(self._line), self._width
            case "br":
                self._break()
            case "hr":
                self._lines += ["-" * 20, ""]
            case "img":
                self.write(attributes.get("alt", ""))
            case "li":
                self._begin_entry()
            case "ol" | "ul":
                self._lists.append(1 if name == "ol" else 0)
            case "pre":
                self._preformatted += 1
            case "td" | "th":
                self.write(" ")

    def end(self, name: str) -> None:
        """Ends an element, which may never have begun."""
        match name:
            case "a":
                self._end_link()
            case "ol" | "ul" if self._lists:
                self._lists.pop()
            case "pre" if self._preformatted:
                self._preformatted -= 1
        self._separate(name)

    def _add(self, piece: str) -> None:
        if piece:
            self._line.append(piece)
            self._width += len(piece)

    def _break(self) -> None:
        self._lines.append("".join(self._line))
        self._line = []
        self._width = 0

    def _separate(self, name: str) -> None:
        is_paragraph = name in _PARAGRAPHS and not (name in ("ol", "ul") and self._lists)
        if self._line and name in _LINES:
            self._break()
        if is_paragraph:
            self._lines.append("")

    def _begin_entry(self) -> None:
        self._add("  " * min(max(len(self._lists) - 1, 0), 10))
        number = self._lists[-1] if self._lists else 0
        if number:
            self._lists[-1] += 1
        self._add(f"{number}. " if number else "- ")

    def _end_link(self) -> None:
        if self._link is None:
            return
        (target, lines, pieces, width), self._link = self._link, None
        if not target.lower().startswith(_LINKED):
            return
        if len(self._lines) == lines:
            shown = "".join(self._line[pieces:]).strip()
        else:
            shown = "\n".join((self._lines[lines][width:], *self._lines[lines + 1 :], *self._line)).strip()
        if not shown:
            self.write(target)
        elif shown not in (target, target.partition(":")[2], target.rstrip("/")):
            self._add_behind(f" ({target})")

    def _add_behind(self, text: str) -> None:
        """Adds to the last line that has anything in it."""
        if any(not piece.isspace() for piece in reversed(self._line)):
            spaced = self._line[-1]
            self._line[-1] = spaced.rstrip(" ")
            self._add(f"{text} " if spaced.endswith(" ") else text)
            return
        last = next(i for i in reversed(range(len(self._lines))) if self._lines[i].strip())
        self._lines[last] = self._lines[last].rstrip(" ") + text
