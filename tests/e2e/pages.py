"""Serves the pages that embed the element: with a policy as strict as it may be, and with none."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from gateway.http.app import serve_http
from gateway.http.files import WEB_DIR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from fastapi import Request, Response

_PAGES_DIR = Path(__file__).parent / "web"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; connect-src 'self' ws:; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify carillon-inbox"
)


@asynccontextmanager
async def serve_pages() -> AsyncIterator[str]:
    """Serves tests/e2e/web and, under /web, the product's files until the block ends; gives the address.

    The same pages are under /strict, with the policy, and under /open, where a script that gets in would run.
    """
    app = FastAPI()

    @app.middleware("http")
    async def add_policy(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        if request.url.path.startswith("/strict/"):
            response.headers["Content-Security-Policy"] = _POLICY
        return response

    app.mount("/web", StaticFiles(directory=WEB_DIR))
    for path in ("/strict", "/open"):
        app.mount(path, StaticFiles(directory=_PAGES_DIR))
    async with _serve(app) as address:
        yield address


@asynccontextmanager
async def serve_page(html: str) -> AsyncIterator[str]:
    """Serves one page from an origin of its own, and from this machine: a browser lets no other into it."""
    app = FastAPI()
    app.get("/", response_class=HTMLResponse)(lambda: html)
    async with _serve(app) as address:
        yield f"{address}/"


@asynccontextmanager
async def serve_folders(folders: Mapping[str, Path]) -> AsyncIterator[str]:
    """Serves folders by the paths that they are under, from an origin of its own; gives the address."""
    app = FastAPI()
    for path, folder in folders.items():
        app.mount(path, StaticFiles(directory=folder))
    async with _serve(app) as address:
        yield address


@asynccontextmanager
async def _serve(app: FastAPI) -> AsyncIterator[str]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve_http(app, host="127.0.0.1", port=0, stop=stop, on_ready=port.set_result))
        try:
            yield f"http://127.0.0.1:{await port}"
        finally:
            stop.set()
