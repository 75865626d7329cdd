"""Which pages may call NotificationAPI's paths, and read what is answered: any, unless a list says which.

A page proves its user with every call, and the browser adds nothing by itself, as it would a cookie: so a foreign page
can do nothing here that it could not do without its visitor. All other paths are for no page but ours.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from gateway.http.notificationapi.slashes import is_theirs
from gateway.origins import ORIGIN, is_allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    # The asterisk, for what libraries add of their own, stands for all but Authorization.
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, *",
    # Two hours is what Chromium takes.
    "Access-Control-Max-Age": "7200",
}


def allow_listed(allowed_origins: Sequence[str]) -> Callable[[str], bool]:
    """Gives what tells whether an origin is in a list."""
    return lambda origin: is_allowed([origin], allowed_origins)


def is_loopback(origin: str) -> bool:
    """Tells whether an origin is on this machine: everybody knows the secret of dev, pages elsewhere too."""
    match = ORIGIN.fullmatch(origin)
    return match is not None and not match["any"] and match["host"] in _LOOPBACK


class Cors:
    """Answers preflights, and tells browsers who may read the other answers: refusals and defects are among them.

    Args:
        app: What answers.
        may_read: Tells whether pages of an origin may; None: all.
    """

    def __init__(self, app: ASGIApp, *, may_read: Callable[[str], bool] | None) -> None:
        self._app = app
        self._may_read = may_read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http" or not is_theirs(scope.get("raw_path") or b""):
            await self._app(scope, receive, send)
            return

        origin = Headers(scope=scope).get("origin", "")

        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), origin)
            await send(message)

        app = self._app
        if scope["method"] == "OPTIONS":
            app = Response(status_code=HTTPStatus.NO_CONTENT, headers=_PREFLIGHT)
        await app(scope, receive, send_readable)

    def _add_headers(self, headers: MutableHeaders, origin: str) -> None:
        if self._may_read is None:
            headers["Access-Control-Allow-Origin"] = "*"
        else:
            headers.add_vary_header("Origin")
            if not self._may_read(origin):
                return
            headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = "Retry-After"
