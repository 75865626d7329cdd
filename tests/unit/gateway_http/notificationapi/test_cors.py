from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest

from gateway.http.app import create_app
from gateway.http.dev import DevAccess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

THEIRS = "/dev/users/u1/unread/INAPP_WEB"
OURS = ("/", "/carillon.js", "/healthz", "/v1/gateway", "/dev/session?user_id=u1", "/unsubscribe/x", "/openapi.json")
ALLOWED = ("https://app.example.com", "https://*.deep.io")
PREFLIGHT = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}


@asynccontextmanager
async def open_client(
    *, is_dev: bool = False, host: str = "localhost", **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Gives a client of the application; its services do not answer."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        dev = DevAccess("dev", "dev-secret", channel) if is_dev else None
        app = create_app(ws_port=8081, services=channel, dev=dev, **options)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}:8080") as client:
            yield client


async def ask(
    method: str, path: str, origin: str, *, headers: Mapping[str, str] | None = None, **options: Any
) -> httpx.Headers:
    """Gives the headers of what a page of an origin is answered."""
    async with open_client(**options) as client:
        given = {"Origin": origin} if origin else {}
        return (await client.request(method, path, headers=given | dict(headers or {}))).headers


def readers(headers: httpx.Headers) -> str:
    """Gives who may read the answer."""
    return str(headers.get("access-control-allow-origin", ""))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_every_page_may_read(origin: str) -> None:
    """Without a list the answer says so to everybody, those who name no origin too, as it may be kept by a cache."""
    assert readers(await ask("GET", THEIRS, origin)) == "*"
    assert readers(await ask("OPTIONS", THEIRS, origin, headers=PREFLIGHT)) == "*"


@pytest.mark.parametrize("origin", ["https://app.example.com", "https://very.deep.io"])
async def test_a_page_of_the_list_may_read(origin: str) -> None:
    """It is named, and what keeps answers is told that others are answered otherwise."""
    for method, headers in (("GET", {}), ("OPTIONS", PREFLIGHT)):
        answer = await ask(method, THEIRS, origin, headers=headers, allowed_origins=ALLOWED)
        assert (readers(answer), answer["vary"]) == (origin, "Origin")


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example.com", "null", ""])
async def test_a_page_that_is_not_in_the_list_may_not_read(origin: str) -> None:
    """Its browser is told nothing, and so asks nothing."""
    for method, headers in (("GET", {}), ("OPTIONS", PREFLIGHT)):
        answer = await ask(method, THEIRS, origin, headers=headers, allowed_origins=ALLOWED)
        assert (readers(answer), answer["vary"]) == ("", "Origin")


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:80", "https://localhost"]
)
async def test_with_dev_pages_of_this_machine_may_read(origin: str) -> None:
    """Whatever port a developer's page is on."""
    assert readers(await ask("GET", THEIRS, origin, is_dev=True)) == origin


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost.evil.example", "http://*.localhost", "null", ""]
)
async def test_with_dev_no_other_page_may_read(origin: str) -> None:
    """Everybody knows the secret of dev: a page elsewhere could be its backend."""
    assert readers(await ask("GET", THEIRS, origin, is_dev=True)) == ""
    assert readers(await ask("OPTIONS", "/dev/sender", origin, is_dev=True, headers=PREFLIGHT)) == ""


async def test_with_dev_a_list_goes_first() -> None:
    """Who names pages means these."""
    options: dict[str, Any] = {"is_dev": True, "allowed_origins": ALLOWED}
    assert readers(await ask("GET", THEIRS, ALLOWED[0], **options)) == ALLOWED[0]
    assert readers(await ask("GET", THEIRS, "http://localhost:3000", **options)) == ""


@pytest.mark.parametrize("is_dev", [True, False])
async def test_no_other_path_may_be_called(is_dev: bool) -> None:
    """The routes of dev least of all; only modules may be loaded by pages of others, as they always could."""
    async with open_client(is_dev=is_dev) as client:
        for path in OURS:
            for origin in ("https://evil.example", "http://localhost:3000"):
                answer = await client.get(path, headers={"Origin": origin})
                assert readers(answer.headers) == ("*" if path.endswith(".js") else ""), path
                preflight = await client.options(path, headers={"Origin": origin} | PREFLIGHT)
                assert not [name for name in preflight.headers if name.startswith("access-control-")], path


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/dev/users/u1", "evil.example", 421), ("/dev/users", "localhost", 404), ("/dev/sender", "localhost", 404)],
)
async def test_what_comes_from_around_the_routes_is_readable(path: str, host: str, status: int) -> None:
    """A wrong host, and a path where nothing is, are answered in the open as well."""
    async with open_client(is_dev=True, host=host) as client:
        answer = await client.get(path, headers={"Origin": "http://localhost:3000"})

    assert (answer.status_code, readers(answer.headers)) == (status, "http://localhost:3000")
