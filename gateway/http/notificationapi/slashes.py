"""Paths as their SDKs write them: a base URL that ends in a slash makes two, and core ends some paths with one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_THEIRS = re.compile(rb"/+[^/]+/+(?:sender|users|user_preferences|notifications|schedule|logs|auth)(?:/|$)")
_ENCODED_SLASH = re.compile(rb"%(2f)", re.IGNORECASE)
_SLASHES = re.compile(rb"/{2,}")


def is_theirs(raw_path: bytes) -> bool:
    """Tells whether a path, as it came, is one of NotificationAPI's."""
    return _THEIRS.match(raw_path) is not None


class Slashes:
    """Makes one slash of several, and none of the last; only in paths that are theirs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] == "http" and is_theirs(raw := scope.get("raw_path") or b""):
            # In the path as it came: an encoded slash belongs to a user's id.
            raw = _SLASHES.sub(b"/", raw).removesuffix(b"/")
            # Nor may it be taken for one where the route is found: of a user "a/preferences" say.
            routed = _ENCODED_SLASH.sub(rb"%25\1", raw)
            scope = {**scope, "raw_path": raw, "path": unquote(routed.decode("ascii", "replace"))}
        await self._app(scope, receive, send)
