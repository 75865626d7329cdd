"""Our fields in their names, as the caller wrote them: what is wrong is named so that they find it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_USER_NAMES = {
    "push_tokens": "pushTokens",
    "web_push_subscriptions": "webPushTokens",
}
_CONTENT_NAMES = {
    "email": {"from_name": "senderName", "from_address": "senderEmail"},
    "inapp": {"image_url": "image"},
    "sms": {"text": "message"},
    "call": {"text": "message"},
    "push": {"body": "message"},
    "web_push": {"body": "message", "icon_url": "icon"},
}
_CHANNEL_NAMES = {"push": "mobile_push"}
_FIRST = re.compile(r"([a-z_]+)(.*)", re.DOTALL)
_SUBSCRIPTION = re.compile(r"(\[\d+\])\.?")
_ATTACHMENT_NAME = re.compile(r"email\.attachments\[(\d+)\]\.filename")
_UNDERSCORE = re.compile(r"_([a-z0-9])")


def camel(path: str) -> str:
    """Gives a path with their way of writing its words."""
    return _UNDERSCORE.sub(lambda match: match[1].upper(), path)


@dataclass(frozen=True, slots=True)
class Spelling:
    """How one send writes what may be written in several ways."""

    type: str = "type"
    to: str = "to"
    parameters: str = "parameters"
    user_fields: Mapping[str, str] = field(default_factory=dict)
    """Where a field of the user stands, if it is not where the others are."""

    filenames: Sequence[str] = ()
    """What each attachment calls its name."""

    def name(self, path: str) -> str:
        """Gives the caller's name for a field of a SendRequest."""
        first = _FIRST.fullmatch(path.removeprefix("request."))
        if first is None:
            return path
        head, rest = first.groups()
        match head:
            case "notification_id" | "notification":
                return self.type
            case "user":
                return self._user(rest.removeprefix("."))
            case "merge_tags":
                # What follows is theirs already.
                return self.parameters + rest
            case "replace":
                return head + rest
            case "schedule_time":
                return "schedule"
            case "request_id":
                return "Idempotency-Key"
            case "content":
                return _content(rest.removeprefix("."))
            case "options":
                return f"options.{self._option(rest.removeprefix('.'))}"
            case _:
                return camel(path)

    def _user(self, path: str) -> str:
        first = _FIRST.fullmatch(path)
        if first is None:
            return self.to
        head, rest = first.groups()
        where = self.user_fields.get(head, self.to)
        if head == "web_push_subscriptions":
            rest = _SUBSCRIPTION.sub(r"\1.sub.", rest, count=1).rstrip(".")
        return f"{where}.{_USER_NAMES.get(head, camel(head))}{rest.replace('.provider', '.type')}"

    def _option(self, path: str) -> str:
        if (match := _ATTACHMENT_NAME.fullmatch(path)) and int(match[1]) < len(self.filenames):
            return f"{path.removesuffix('filename')}{self.filenames[int(match[1])]}"
        return camel(path.replace("apn.expire_time", "apn.expiry"))


def _content(path: str) -> str:
    channel, _, field_name = path.partition(".")
    named = _CHANNEL_NAMES.get(channel, channel)
    return f"{named}.{_CONTENT_NAMES.get(channel, {}).get(field_name, camel(field_name))}" if field_name else named
