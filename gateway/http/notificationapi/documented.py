"""What OpenAPI is told of the routes: who may call, and every status that one sends."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import Security
from pydantic import BaseModel

from gateway.http.documented import BasicCredentials, refusals

CREDENTIALS = Security(
    BasicCredentials(
        "Of an account, base64 of `clientId:clientSecret`. Of a user, base64 of `clientId:userId:hash`: the user of "
        "the path, and base64 of HMAC-SHA256 of their id under the client secret. The hash is left out where the "
        "environment does without."
    )
)
"""What every route has among its dependencies."""

_ANY_CALL = (400, 401, 403, 421, 429, 500, 503, 504)
_BODY = (408, 413)


class Success(BaseModel):
    """The answer where there is nothing to tell."""

    success: Literal[True]


SUCCESS = {"success": True}


def responses(
    *statuses: int, body: bool = False, answer: type[BaseModel] | None = None
) -> dict[int | str, dict[str, Any]]:
    """Gives the answers of a route, as its ``responses``: with what every call to the services may be refused with.

    Args:
        statuses: What only this route refuses with, 404 say.
        body: Whether it reads a body, which may be too large or not come.
        answer: What it answers with 200.
    """
    known: dict[int | str, dict[str, Any]] = {200: {"model": answer}} if answer else {}
    return known | refusals(*{*_ANY_CALL, *(_BODY if body else ()), *statuses})
