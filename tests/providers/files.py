"""A web server on loopback that has files, and everything that can be wrong with one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


@dataclass
class FileHost:
    """What the server has, and what it was asked for."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    """What a path answers first, each once; a file or 404 follows."""

    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    """The path and the headers of each request."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Where it is clear, answers end half-way and wait."""

    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Gives where a path is."""
        return f"http://{host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        """What was asked for."""
        return [path for path, _ in self.asked]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers one request."""
        path = request.path
        self.asked.append((path, request.headers))
        self.arrived.release()
        if path in self.redirects:
            cookie = {"Set-Cookie": "session=secret"}
            return web.Response(status=302, headers={"Location": self.redirects[path], **cookie})
        if statuses := self.statuses.get(path):
            return web.Response(status=statuses.pop(0))
        if path not in self.files:
            return web.Response(status=404)
        content = self.files[path]
        match path.rpartition("/")[2]:
            case "lost":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case "compressed":
                return web.Response(body=content, headers={"Content-Encoding": "gzip"})
            case "long":
                # Without a length, so that nobody can tell before.
                response = web.StreamResponse()
                await response.prepare(request)
                for start in range(0, len(content), 65_536):
                    await response.write(content[start : start + 65_536])
                return response
        if self.gate.is_set():
            return web.Response(body=content)
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        await self.gate.wait()
        await response.write(content[len(content) // 2 :])
        return response


@asynccontextmanager
async def run_files() -> AsyncIterator[FileHost]:
    """Runs the server until the block ends."""
    host = FileHost()
    host.gate.set()
    application = web.Application()
    application.router.add_get("/{path:.*}", host.answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    try:
        # All of 127.0.0.0/8: some of its addresses stand for public ones.
        await web.TCPSite(runner, "0.0.0.0", 0).start()
        host.port = runner.addresses[0][1]
        yield host
    finally:
        await runner.cleanup()
