"""What OpenAPI is told of the routes' answers: every status that one sends, and the one shape of what goes wrong."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class WrongField(BaseModel):
    """One field that is wrong."""

    field: str
    description: str


class Problem(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    code: str
    """For programs; more may come."""

    message: str
    """What happened."""

    fix: str
    """What to do about it."""

    fields: list[WrongField] | None = None
    """What is wrong with the request, where that can be said by field."""


class ErrorAnswer(BaseModel):
    """The body of every answer that is not a success."""

    error: Problem


_DESCRIPTIONS = {
    HTTPStatus.BAD_REQUEST: "Something in the request is wrong; nothing was stored.",
    HTTPStatus.UNAUTHORIZED: "The credentials are missing, malformed or wrong.",
    HTTPStatus.FORBIDDEN: "These credentials may not do this.",
    HTTPStatus.NOT_FOUND: "It does not exist.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not come in time.",
    HTTPStatus.CONFLICT: "Somebody else was faster, or it exists already.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.MISDIRECTED_REQUEST: "`carillon dev` answers on its own machine only.",
    HTTPStatus.TOO_MANY_REQUESTS: "A limit is reached; come back after Retry-After.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A defect of Carillon.",
    HTTPStatus.NOT_IMPLEMENTED: "Carillon does not have this yet.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The services cannot be reached; try again.",
    HTTPStatus.GATEWAY_TIMEOUT: "The services did not answer in time; try again.",
}

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
    refusals = {*_ANY_CALL, *(_BODY if body else ()), *statuses}
    known: dict[int | str, dict[str, Any]] = {200: {"model": answer}} if answer else {}
    return known | {
        status: {"model": ErrorAnswer, "description": _DESCRIPTIONS[HTTPStatus(status)]} for status in sorted(refusals)
    }
