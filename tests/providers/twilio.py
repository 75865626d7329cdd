"""Twilio's REST API as far as texts and calls use it, on loopback; errors are a test's to say."""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from services.delivery.settings import TwilioSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

ACCOUNT_SID = "AC" + "0" * 31 + "1"
AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
FROM_NUMBER = "+15005550006"


@dataclass(frozen=True)
class Scripted:
    """An answer that a test wants to the next request, in place of the right one."""

    status: int = 201
    body: Any = None
    """JSON, or text as it is."""

    headers: Mapping[str, str] = field(default_factory=dict)
    is_lost: bool = False
    """The request is taken, and the connection ends without an answer."""


def error(status: int, code: int, message: str, **headers: str) -> Scripted:
    """Makes an error as Twilio words it."""
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    body = {"code": code, "message": message, "more_info": more_info, "status": status}
    return Scripted(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class TwilioServer:
    """What was asked of the server, and what it answers next."""

    url: str = ""
    taken: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    """The resource, as ``Messages``, and the form of each request that was made with the right credentials."""

    script: deque[Scripted] = field(default_factory=deque)
    account_status: str = "active"
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Requests wait here for their answer."""

    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released by each request as it begins to wait, and the next one as it ends, however it does."""

    left: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    connections: set[object] = field(default_factory=set)
    """Every connection that a request came over."""

    def settings(self, **changed: Any) -> TwilioSettings:
        """Gives the settings of who uses this server."""
        given = {"account_sid": ACCOUNT_SID, "auth_token": SecretStr(AUTH_TOKEN), "from_number": FROM_NUMBER}
        return TwilioSettings(**(given | {"api_url": self.url} | changed))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers one request, as Twilio does or as the script says."""
        self.connections.add(request.transport)
        if not _is_authorised(request):
            return _problem(401, 20003, "Authenticate")
        if request.match_info["sid"] != ACCOUNT_SID:
            return _problem(404, 20404, f"The requested resource {request.path} was not found")
        if request.method == "GET":
            account = {"sid": ACCOUNT_SID, "friendly_name": "Carillon", "status": self.account_status}
            return web.json_response(account)
        if request.content_type != "application/x-www-form-urlencoded":
            return _problem(415, 20415, "Unsupported Media Type")

        form = await request.post()
        resource = request.match_info["resource"]
        self.taken.append((resource, {name: [str(one) for one in form.getall(name)] for name in form}))
        self.arrived.release()
        try:
            await self.gate.wait()
        finally:
            self.left.release()
        scripted = self.script.popleft() if self.script else Scripted()
        if scripted.is_lost:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(scripted.body, str):
            return web.Response(status=scripted.status, text=scripted.body, headers=scripted.headers)
        body = scripted.body if scripted.status >= 300 else self._made(resource, form) | (scripted.body or {})
        return web.json_response(body, status=scripted.status, headers=scripted.headers)

    def _made(self, resource: str, form: Mapping[str, Any]) -> dict[str, Any]:
        kind = {"Messages": "SM", "Calls": "CA"}[resource]
        return {
            "sid": f"{kind}{len(self.taken):032x}",
            "account_sid": ACCOUNT_SID,
            "to": form["To"],
            "from": form["From"],
            "status": "queued",
            "date_created": "Tue, 18 Aug 2026 20:01:40 +0000",
            **({"body": form["Body"], "error_code": None, "error_message": None} if resource == "Messages" else {}),
        }


@asynccontextmanager
async def run_twilio() -> AsyncIterator[TwilioServer]:
    """Runs the server until the block ends."""
    server = TwilioServer()
    server.gate.set()
    application = web.Application()
    application.router.add_get("/2010-04-01/Accounts/{sid}.json", server.answer)
    application.router.add_post("/2010-04-01/Accounts/{sid}/{resource:Messages|Calls}.json", server.answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


def _is_authorised(request: web.Request) -> bool:
    expected = aiohttp.encode_basic_auth(ACCOUNT_SID, AUTH_TOKEN)
    return hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected.encode())


def _problem(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message, "status": status}, status=status)
