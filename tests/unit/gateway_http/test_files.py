from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest

from gateway.http import files
from gateway.http.app import create_app
from gateway.http.dev import DevAccess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PATHS = sorted(path.relative_to(files.WEB_DIR).as_posix() for path in files.WEB_DIR.rglob("*") if path.suffix in TYPES)
MODULES = [path for path in PATHS if path.endswith(("js", "mjs"))]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application as `carillon dev` runs it, asking as a page of another origin does."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        app = create_app(ws_port=8081, dev=DevAccess("dev", "dev-secret", channel))
        transport = httpx.ASGITransport(app)
        headers = {"Origin": "https://shop.example.com"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080", headers=headers) as client:
            yield client


@pytest.mark.parametrize("path", ["", *PATHS])
async def test_files(client: httpx.AsyncClient, path: str) -> None:
    """Each file has its type, whatever the system's table says, and a browser asks before it uses an old one."""
    response = await client.get(f"/{path}")
    again = await client.get(f"/{path}", headers={"If-None-Match": response.headers["etag"]})
    other = await client.get(f"/{path}", headers={"If-None-Match": '"another"'})

    assert [response.status_code, again.status_code, other.status_code] == [200, 304, 200]
    assert response.headers["content-type"] == TYPES[os.path.splitext(path or ".html")[1] or ".html"]
    for answer in (response, again):
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "last-modified" not in answer.headers
    assert again.content == b""


@pytest.mark.parametrize("path", MODULES)
async def test_modules_are_for_every_origin(client: httpx.AsyncClient, path: str) -> None:
    """A page of another origin may import every module, also where it asks whether its own is still the same."""
    response = await client.get(f"/{path}")
    again = await client.get(f"/{path}", headers={"If-None-Match": response.headers["etag"]})

    assert response.headers["access-control-allow-origin"] == "*"
    assert again.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("path", ["/", "/v1/gateway", "/healthz", "/nothing.js", "/dev/session?user_id=u"])
async def test_nothing_else_is(client: httpx.AsyncClient, path: str) -> None:
    """What is no module, the routes of dev above all, is read by pages of our own origin alone."""
    asked = await client.get(path)
    preflight = await client.options(path, headers={"Access-Control-Request-Method": "POST"})

    for response in (asked, preflight):
        assert not any(name.startswith("access-control-") for name in response.headers)


async def test_the_etag_is_of_the_content(tmp_path: Path) -> None:
    """Two releases whose file has one size and one time have two ETags; the same content has one, whatever its time."""
    transport = httpx.ASGITransport(files.Files(tmp_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

        async def etag(name: str, text: str, time_s: int) -> str:
            (tmp_path / name).write_text(text)
            os.utime(tmp_path / name, (time_s, time_s))
            return str((await client.get(f"/{name}")).headers["etag"])

        first = await etag("a.js", "one", 1)
        shutil.copy2(tmp_path / "a.js", tmp_path / "b.js")

        assert await etag("b.js", "two", 1) != first
        assert await etag("a.js", "one", 2) == first
        assert await etag("a.js", "two", 3) != first
