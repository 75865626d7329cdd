"""Where the link of a mail leads: a page with one button, and the one click of a mail program (RFC 8058).

Scanners open the links of mails, so to look changes nothing. Every POST unsubscribes, but for that of the page's own
button which undoes it: mail programs send `List-Unsubscribe=One-Click`, in one of two encodings, without cookies, and
follow no redirect.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING

import grpc
from fastapi import APIRouter, Request, Response

from carillon.v1 import channel_pb2, preferences_pb2, preferences_pb2_grpc
from gateway.http import errors
from gateway.http.forms import read_form
from gateway.services_client import DEADLINE_S, TRANSIENT

if TYPE_CHECKING:
    from collections.abc import Mapping


_PATH = "/unsubscribe/{token:path}"
_RETRY_AFTER_S = 5

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0; padding: 1.5rem; }
main { max-width: 32rem; margin: 10vh auto 0; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; }
button { font: inherit; font-weight: 600; min-height: 2.75rem; padding: 0.5rem 1.25rem; border: 0.125rem solid;
  border-radius: 0.5rem; background: none; color: inherit; cursor: pointer; }
button:focus-visible { outline: 0.1875rem solid; outline-offset: 0.1875rem; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}


def create_router(channel: grpc.aio.Channel) -> APIRouter:
    """Makes the routes under /unsubscribe."""
    router = APIRouter(include_in_schema=False)
    preferences: preferences_pb2_grpc.PreferencesAsyncStub = preferences_pb2_grpc.PreferencesStub(channel)

    async def follow(token: str, *, resubscribe: bool = False, validate_only: bool = False) -> Response:
        request = preferences_pb2.UnsubscribeRequest(
            unsubscribe_token=token, resubscribe=resubscribe, validate_only=validate_only
        )
        try:
            answer = await preferences.Unsubscribe(request, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            return _refused(error)
        return _answered(answer, resubscribe=resubscribe, validate_only=validate_only)

    @router.api_route(_PATH, methods=["GET", "HEAD"])
    async def get_unsubscribe(token: str) -> Response:
        """Shows what the button would do."""
        return await follow(token, validate_only=True)

    @router.post(_PATH)
    async def post_unsubscribe(token: str, request: Request) -> Response:
        """Unsubscribes, or undoes it."""
        form = await read_form(request)
        return await follow(token, resubscribe=form.get("resubscribe") == "1")

    @router.options(_PATH)
    async def get_options() -> Response:
        """Says what can be asked here; the pages of others cannot ask anything."""
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Allow": "GET, HEAD, POST, OPTIONS"})

    return router


def _answered(answer: preferences_pb2.UnsubscribeResponse, *, resubscribe: bool, validate_only: bool) -> Response:
    what = f"<strong>{escape(answer.title)}</strong>"
    if answer.sub_notification_title:
        what = f"<strong>{escape(answer.sub_notification_title)}</strong> ({escape(answer.title)})"
    is_off = answer.preference.delivery_option == channel_pb2.DELIVERY_OPTION_OFF

    if is_off and resubscribe and not validate_only:
        text = f"Mails about {what} stay turned off, as your settings say so."
        return _page("Still unsubscribed", text)
    if is_off:
        text = f"You will get no more mails about {what}."
        return _page("You are unsubscribed", text, button="Get these mails again", resubscribe="1")
    if validate_only:
        text = f"Do you want no more mails about {what}?"
        return _page("Unsubscribe?", text, button="Unsubscribe")
    text = f"You get mails about {what} again."
    return _page("You are subscribed again", text, button="Unsubscribe")


def _refused(error: grpc.aio.AioRpcError) -> Response:
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        text = "This link is wrong or not whole. Open it from the mail once more, or copy all of it."
        return _page("This link does not work", text, status=HTTPStatus.NOT_FOUND)
    if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
        text = "Mails of this kind go to everybody whom they concern, and cannot be turned off."
        return _page("These mails cannot be turned off", text, status=errors.ROWS[error.code()].http)
    if error.code() in TRANSIENT:
        text = "Please try again in a moment."
        return _page(
            "This is not possible right now",
            text,
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(_RETRY_AFTER_S)},
        )
    raise error


def _page(
    title: str,
    text: str,
    *,
    button: str = "",
    resubscribe: str = "",
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Makes a page; ``text`` is HTML, the rest is ours. Its form goes to the address that it is at."""
    field = f'<input type="hidden" name="resubscribe" value="{resubscribe}">' if resubscribe else ""
    form = f'<form method="post">{field}<button>{button}</button></form>' if button else ""
    html = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{title}</h1>\n<p>{text}</p>\n{form}\n</main>\n</body>\n</html>\n"
    )
    return Response(html, status, {**_HEADERS, **(headers or {})}, "text/html; charset=utf-8")
