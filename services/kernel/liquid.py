"""Liquid: parsing and rendering of one text, within limits, with errors that name line and column.

Templates come from customers, so neither may run away (loops, output and variables are bounded) nor reach anything
but the values that they are given (``include`` and ``render``, which load other templates, do not exist here).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import cached_property, wraps
from threading import Lock
from typing import TYPE_CHECKING, Any

from liquid import BoundTemplate, Environment, Mode
from liquid.exceptions import FilterArgumentError, LiquidError, ResourceLimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_OUTPUT_BYTES = 256 * 1024
MAX_HELD_BYTES = 64 * 1024 * 1024
"""What the texts may take together that are held parsed."""

# Measured: what one character within a tag becomes at most.
_BYTES_PER_TAG_CHARACTER = 100
_MAX_ITERATIONS = 10_000
# Beyond this many tags an error that Liquid does not locate is reported at the end of the template.
_MAX_TAGS_TO_SEARCH = 200
_TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
# What takes Liquid's lexer a time that grows with the square of its length: 16 KB of it are 20 seconds.
_MAX_UNCLOSED = 100
_UNCLOSED = (
    (re.compile(r"\{\{"), "}}"),
    (re.compile(r"\{%"), "%}"),
    (re.compile(r"\{%-?\s{0,99}raw\b"), "endraw"),
    (re.compile(r"\{%-?\s{0,99}doc\b"), "enddoc"),
)
_REFUSED_INPUT = "a filter refused its input"
_MANY_SPACES = re.compile(r"\s{100}")


class TemplateError(Exception):
    """A template does not parse or render; the text says where and why, for the person who wrote it."""

    def __init__(self, message: str, *, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column


class OutputTooLarge(TemplateError):
    """A template renders to more than a message can carry."""


class _Environment(Environment):
    # Liquid's own bounds; that of loops is each instance's own.
    local_namespace_limit = MAX_OUTPUT_BYTES
    output_stream_limit = MAX_OUTPUT_BYTES
    context_depth_limit = 30

    def __init__(self, *, autoescape: bool, max_iterations: int) -> None:
        super().__init__(autoescape=autoescape, tolerance=Mode.STRICT, strict_filters=True)
        self.__dict__["loop_iteration_limit"] = max_iterations
        for loading_tag in ("include", "render"):
            del self.tags[loading_tag]
        self.filters = {name: _bounded(name, apply) for name, apply in self.filters.items()}


def _bounded(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps a filter from multiplying its input: Liquid's own limits see only what is printed or assigned."""

    @wraps(apply)
    def bounded(value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, range) and len(value) > _MAX_ITERATIONS:
            raise FilterArgumentError(f"{name}: a range has at most {_MAX_ITERATIONS} items here", token=None)
        if _inserted(name, value, *args) > MAX_OUTPUT_BYTES:
            raise FilterArgumentError(f"{name}: makes more than {MAX_OUTPUT_BYTES} characters", token=None)
        return apply(value, *args, **kwargs)

    return bounded


def _inserted(name: str, value: Any, *args: Any) -> int:
    # The two filters that insert one text as often as another has room for it.
    if name == "join" and isinstance(value, list | tuple):
        separator = str(args[0]) if args else " "
        return len(separator) * len(value) + sum(len(item) for item in value if isinstance(item, str))
    if name == "replace" and len(args) == 2:
        return str(value).count(str(args[0])) * len(str(args[1]))
    return 0


# By how often loops may go round, all together: a body of many tags may less often, for it is what costs.
_TIERS = (_MAX_ITERATIONS, 1000, 100)
_MAX_TAGS_RENDERED = 1_000_000
_ENVIRONMENTS = {
    (autoescape, tier): _Environment(autoescape=autoescape, max_iterations=tier)
    for autoescape in (False, True)
    for tier in _TIERS
}
_PLAIN = _ENVIRONMENTS[False, _MAX_ITERATIONS]


class _Parsed:
    """One text that parses; what it reads is found out when somebody asks."""

    def __init__(self, source: str) -> None:
        _refuse_slow(source)
        tags = source.count("{%") + source.count("{{")
        tier = next((tier for tier in _TIERS if tier * tags <= _MAX_TAGS_RENDERED), _TIERS[-1])
        try:
            plain = _ENVIRONMENTS[False, tier].from_string(source)
        except LiquidError as error:
            # Liquid takes everything that is no error of its own for one of the parser.
            if isinstance(error.__cause__, RecursionError):
                raise TemplateError("is nested too deeply", line=1, column=1) from None
            raise _located(error, source) from None
        # Escaping is a matter of rendering, so one parse serves both.
        self.templates = {False: plain, True: BoundTemplate(_ENVIRONMENTS[True, tier], plain.nodes)}
        within_tags = sum(len(tag.group()) for tag in _TAG.finditer(source))
        self.size = len(source) + _BYTES_PER_TAG_CHARACTER * within_tags

    @cached_property
    def reads(self) -> tuple[frozenset[str], dict[str, int]]:
        """The names read at the root of the values, and the filters used, each with its first place."""
        analysis = self.templates[False].analyze()
        return frozenset(analysis.globals), {name: spans[0].index for name, spans in analysis.filters.items()}


class ParsedTexts:
    """The texts that were used last, as many as fit; any thread may ask."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, _Parsed] = OrderedDict()
        self._lock = Lock()
        self.size = 0

    def __len__(self) -> int:
        """How many are held."""
        return len(self._held)

    def get(self, source: str) -> _Parsed:
        """Gives a text parsed.

        Raises:
            TemplateError: If it does not parse.
        """
        try:
            # Not locked, as this is what nearly every call does: another thread may push it out in between.
            self._held.move_to_end(source)
            return self._held[source]
        except KeyError:
            pass

        parsed = _Parsed(source)
        with self._lock:
            # Somebody else may have parsed it meanwhile.
            if self._held.setdefault(source, parsed) is parsed:
                self.size += parsed.size
            while self.size > self._max_bytes:
                self.size -= self._held.popitem(last=False)[1].size
        return parsed


# Sends bring texts of their own: by number of texts alone this would have no bound.
_texts = ParsedTexts(MAX_HELD_BYTES)


def check(source: str) -> None:
    """Checks that a template parses and uses only filters that exist.

    Raises:
        TemplateError: If it does not.
    """
    if not _has_tags(source):
        return
    # Filters are looked up when a template renders, so the parser alone would let a misspelt one through.
    for filter_name, index in _texts.get(source).reads[1].items():
        if filter_name not in _PLAIN.filters:
            line, column = _position(source, index)
            raise TemplateError(f"unknown filter '{filter_name}'", line=line, column=column)


def roots(source: str) -> frozenset[str]:
    """Gives the names that a template reads at the root of its values; none for one that does not parse."""
    if not _has_tags(source):
        return frozenset()
    try:
        return _texts.get(source).reads[0]
    except TemplateError:
        return frozenset()


def render(source: str, values: Mapping[str, object], *, autoescape: bool) -> str:
    """Renders a template; a variable that is not in ``values`` renders as nothing.

    Raises:
        OutputTooLarge: If it renders to more than 256 KiB.
        TemplateError: If it does not parse or render, or runs into another of its limits.
    """
    if not _has_tags(source):
        return source

    template = _texts.get(source).templates[autoescape]
    try:
        return template.render(values)
    except LiquidError as error:
        raise _located(error, source) from None
    except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError):
        # A filter met a value that its author did not think of, such as an integer of 5,000 digits.
        raise TemplateError(_REFUSED_INPUT, line=1, column=1) from None


def _has_tags(source: str) -> bool:
    # Most short texts (a number, a plain URL) have no Liquid in them.
    return "{{" in source or "{%" in source


def _refuse_slow(source: str) -> None:
    for opener, closer in _UNCLOSED:
        unclosed = list(opener.finditer(source, source.rfind(closer) + 1))
        if len(unclosed) > _MAX_UNCLOSED:
            line, column = _position(source, unclosed[0].start())
            raise TemplateError(f"expected '{closer}', found end of file", line=line, column=column)
    for tag in _TAG.finditer(source):
        text = tag.group()
        # Every bracket may begin a range, which has two dots.
        if _MANY_SPACES.search(text) or text.count("(", text.rfind("..") + 1) > _MAX_UNCLOSED:
            line, column = _position(source, tag.start())
            raise TemplateError("has too many spaces or brackets", line=line, column=column)


def _located(error: LiquidError, source: str) -> TemplateError:
    context = error.context() if error.token is not None else None
    line, column = (context[0], context[1] + 1) if context else _position(source, _search(error, source))
    message = str(error.message or "is not valid Liquid")
    if isinstance(error.__cause__, TypeError | AttributeError | ValueError | OverflowError):
        # Liquid hands on what Python said, which means nothing to who writes templates.
        message = _REFUSED_INPUT
    kind = OutputTooLarge if isinstance(error, ResourceLimitError) and "output" in message else TemplateError
    return kind(message, line=line, column=column)


def _search(error: LiquidError, source: str) -> int:
    """Finds the tag behind an error that Liquid does not locate: the first one that brings the error about."""
    tags = list(_TAG.finditer(source))
    for tag in tags[:_MAX_TAGS_TO_SEARCH]:
        try:
            _PLAIN.from_string(source[: tag.end()])
        except LiquidError as other:
            if other.message == error.message:
                return tag.start()
    return len(source)


def _position(source: str, index: int) -> tuple[int, int]:
    before = source[:index]
    return before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1
