"""The OpenAPI document, and a page that shows it without loading anything from elsewhere."""

from __future__ import annotations

from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.openapi.models import HTTPBase
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, ConfigDict

from gateway.http.files import Files

if TYPE_CHECKING:
    from fastapi import FastAPI

DESCRIPTION = """
What a gateway of Carillon answers over HTTP: NotificationAPI's paths, for their SDKs as they are, and its own few.
The inbox that is live in a browser is a WebSocket: `gateway/README.md` has its protocol.

A refusal has one shape everywhere: `{"error": {"code", "message", "fix", "fields"?}}`, with a code for programs, what
happened, what to do about it, and what is wrong by field.
"""

# Its widgets set styles; scripts are those of the page alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Carillon: HTTP</title>
<link rel="icon" href="bell.svg">
<link rel="stylesheet" href="docs/files/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/files/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({ url: "openapi.json", dom_id: "#page", deepLinking: true });
"""


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


class BasicCredentials(SecurityBase):
    """Says in the document that a call has credentials; who reads them is the route."""

    def __init__(self, description: str) -> None:
        self.model = HTTPBase(scheme="basic", description=description)
        self.scheme_name = "basic"

    def __call__(self) -> None:
        """Does nothing."""


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


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Gives what a route refuses with, as its ``responses``."""
    return {
        status: {"model": ErrorAnswer, "description": _DESCRIPTIONS[HTTPStatus(status)]} for status in sorted(statuses)
    }


def add_docs(app: FastAPI) -> None:
    """Adds the document and its page; its routes are all that the application has once it is asked for."""

    @app.get("/openapi.json", include_in_schema=False)
    async def get_document() -> Response:
        """Gives the document."""
        return JSONResponse(document(app))

    @app.get("/docs", include_in_schema=False)
    async def get_page() -> Response:
        """Shows the document."""
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})

    @app.get("/docs/start.js", include_in_schema=False)
    async def get_script() -> Response:
        """Gives the page's own script."""
        return Response(_START, media_type="text/javascript")

    app.mount("/docs/files", Files(Path(str(files("fastapi_offline"))) / "static"))


def document(app: FastAPI) -> dict[str, Any]:
    """Gives the document of all routes."""
    made = app.openapi()
    for path, operations in made["paths"].items():
        for operation in operations.values():
            # FastAPI's own answer to bad parameters; ours is 400.
            operation["responses"].pop("422", None)
            # NotificationAPI's /health, beside routes that all need credentials, is about nobody's things.
            if "{client_id}" not in path:
                operation.pop("security", None)
    for name in ("HTTPValidationError", "ValidationError"):
        made.get("components", {}).get("schemas", {}).pop(name, None)
    return made
