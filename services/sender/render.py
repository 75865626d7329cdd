"""The content of a message: Liquid, then replacements, then what the channel can carry. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from services.kernel import liquid
from services.kernel.vocabulary import Channel
from services.messages.model import SkipReason
from services.notifications.model import TEXTS, Content, map_content, missing_texts
from services.users.model import PROFILE_TEXTS, is_email

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.users.model import User

MAX_URL_BYTES = 2048
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# What a URL parser of a browser passes over before and within a scheme: "java\tscript:" is a script to it.
_INVISIBLE_IN_URL = re.compile(r"[\x00-\x20]+")


class RenderError(Exception):
    """A channel's content cannot be made; the reason and the detail stand in the log."""

    def __init__(self, reason: SkipReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def template_values(merge_tags: Mapping[str, object], user: User) -> dict[str, object]:
    """Gives what templates read: the merge tags at their root, and the user's profile as ``user``.

    A merge tag of the name ``user`` wins.
    """
    profile = {name: getattr(user, name) for name in ("id", *PROFILE_TEXTS)}
    return {"user": profile | {"properties": user.properties or {}}, **merge_tags}


def used_roots(content: Content) -> frozenset[str]:
    """Gives the names that the texts of a template read at the root of its values."""
    buttons = [source for action in content.actions for source in (action.label, action.url)]
    return frozenset().union(*map(liquid.roots, (*content.texts.values(), *buttons)))


def render(content: Content, values: Mapping[str, object], replace: Mapping[str, str]) -> Content:
    """Renders the content of one channel.

    Raises:
        RenderError: If a template fails, or what comes out is more than the channel can carry, or lacks what it needs.
    """
    specs = {text.name: text for text in TEXTS[content.channel]}
    substitute = _replacer(replace)

    def render_text(name: str, source: str) -> str:
        spec = specs.get(name)
        is_html = content.html if content.channel is Channel.INAPP_WEB else bool(spec and spec.is_html)
        is_url = name.endswith("url")
        try:
            text = substitute(name, liquid.render(source, values, autoescape=is_html and not is_url))
        except liquid.OutputTooLarge as error:
            raise RenderError(SkipReason.CONTENT_TOO_LARGE, f"{name}: {error}") from None
        except liquid.TemplateError as error:
            raise RenderError(SkipReason.RENDER_FAILED, f"{name}: {error}") from None
        if is_url:
            text = text.strip()
            _check_url(name, text, any_scheme=content.channel is Channel.PUSH and name == "url")
        if spec and spec.is_line:
            text = " ".join(text.splitlines())
        if spec and spec.max_characters is not None and len(text) > spec.max_characters:
            problem = f"{name}: has {len(text)} characters; the channel carries {spec.max_characters}"
            raise RenderError(SkipReason.CONTENT_TOO_LARGE, problem)
        return text

    rendered = map_content(content, render_text)
    _check_complete(rendered)
    return rendered


def _replacer(replace: Mapping[str, str]) -> Callable[[str, str], str]:
    """Makes the replacement: one pass, so what it inserts is not replaced again; the longest key first."""
    if not replace:
        return lambda _, text: text
    keys = sorted(replace, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, keys)))

    def substitute(name: str, text: str) -> str:
        # Measured first: one letter of a long text could each time become the longest value.
        if sum(len(replace[key]) for key in pattern.findall(text)) > liquid.MAX_OUTPUT_BYTES:
            problem = f"{name}: replace inserts more than {liquid.MAX_OUTPUT_BYTES} characters"
            raise RenderError(SkipReason.CONTENT_TOO_LARGE, problem)
        return pattern.sub(lambda match: replace[match.group()], text)

    return substitute


def _check_url(name: str, url: str, *, any_scheme: bool) -> None:
    if (size := len(url.encode())) > MAX_URL_BYTES:
        problem = f"{name}: has {size} bytes; a URL has at most {MAX_URL_BYTES}"
        raise RenderError(SkipReason.CONTENT_TOO_LARGE, problem)
    scheme = _SCHEME.match(_INVISIBLE_IN_URL.sub("", url))
    if scheme and not any_scheme and scheme.group().lower() not in ("http:", "https:"):
        raise RenderError(SkipReason.RENDER_FAILED, f"{name}: must be an http, https or relative URL")


def _check_complete(content: Content) -> None:
    sender = content.texts.get("from_address") if content.channel is Channel.EMAIL else None
    if sender and not is_email(sender):
        raise RenderError(SkipReason.RENDER_FAILED, "from_address: is no mail address")
    if missing := missing_texts(content):
        raise RenderError(SkipReason.RENDER_FAILED, f"{', '.join(missing)}: came out empty")
