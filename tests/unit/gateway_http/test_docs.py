from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest

from gateway.http.app import create_app
from gateway.http.dev import DevAccess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application as `carillon dev` runs it; its services do not answer."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        app = create_app(ws_port=8081, services=channel, dev=DevAccess("dev", "dev-secret", channel))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8080") as client:
            yield client


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    """The document."""
    made: dict[str, Any] = (await client.get("/openapi.json")).json()
    return made


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Gives all operations, each under its method and path."""
    return {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


async def test_the_page_of_the_docs_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    """All that the page names is here, of the right type, and its policy lets nothing else in."""
    page = await client.get("/docs")

    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "connect-src 'self';" in policy
    assert "http" not in policy
    assert "*" not in policy
    names = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(names) == 4
    types = {}
    for name in names:
        answer = await client.get(f"/{name}")
        assert answer.status_code == 200, name
        types[name.rpartition(".")[2]] = answer.headers["content-type"].partition(";")[0]
    assert types == {"svg": "image/svg+xml", "css": "text/css", "js": "text/javascript"}


async def test_other_pages_keep_their_policy(client: httpx.AsyncClient) -> None:
    """What the docs may, styles of their own, no other page may."""
    for path in ("/", "/healthz", "/openapi.json", "/docs/start.js"):
        assert "unsafe-inline" not in (await client.get(path)).headers["content-security-policy"]


async def test_the_document_has_every_route_but_pages(document: dict[str, Any]) -> None:
    """NotificationAPI's routes and ours are there; those of dev, pages and the docs themselves are not."""
    paths = document["paths"]

    assert {"/healthz", "/v1/gateway", "/callbacks/twilio/{token}"} <= paths.keys()
    assert {"get", "patch"} == paths["/{client_id}/users/{user_id}/notifications/INAPP_WEB"].keys()
    assert {"get", "post", "delete"} == paths["/{client_id}/users/{user_id}/preferences"].keys()
    assert not [path for path in paths if path.startswith(("/dev", "/unsubscribe", "/docs", "/openapi"))]


async def test_every_route_of_theirs_says_what_it_refuses(document: dict[str, Any]) -> None:
    """Each has the credentials, the refusals of every call in the one shape, and never FastAPI's own 422."""
    theirs = {name: one for name, one in operations(document).items() if "{client_id}" in name}
    assert len(theirs) > 20
    for name, operation in theirs.items():
        assert operation["security"] == [{"basic": []}], name
        assert {"client_id"} <= {one["name"] for one in operation["parameters"]}, name
        assert ("{user_id}" in name) == ("user_id" in {one["name"] for one in operation["parameters"]}), name
        for status in ("400", "401", "403", "429", "500", "503", "504"):
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}, name
        assert "422" not in operation["responses"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_what_is_open_says_so(document: dict[str, Any]) -> None:
    """Where no client is named, no credentials are asked for."""
    for name, operation in operations(document).items():
        assert ("security" in operation) == ("{client_id}" in name), name


async def test_a_body_is_described(document: dict[str, Any]) -> None:
    """Who reads a body says which, and that it may be too large; preferences have both of their forms."""
    for name, operation in operations(document).items():
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["schema"], name
            assert {"408", "413"} <= operation["responses"].keys(), name
    choices = document["paths"]["/{client_id}/users/{user_id}/preferences"]["post"]["requestBody"]
    assert [one["type"] for one in choices["content"]["application/json"]["schema"]["anyOf"]] == ["array", "object"]
