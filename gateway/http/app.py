"""The HTTP application: the page with its modules, health, and what a browser is told about safety.

The files are in files.py, what the page calls is in dev.py. The process that serves this, and its signals, belong to
the composition root.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from gateway.http import dev as dev_routes
from gateway.http import errors, twilio, unsubscribe
from gateway.http.documented import DESCRIPTION, add_docs
from gateway.http.files import Files
from gateway.http.notificationapi.cors import Cors, allow_listed, is_loopback
from gateway.http.notificationapi.router import create_router as create_notificationapi_router
from gateway.http.notificationapi.slashes import Slashes
from services.kernel.errors import DomainError
from services.kernel.server import PortTakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fastapi import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
DRAIN_S = 5


def create_app(
    *,
    ws_port: int,
    services: grpc.aio.Channel | None = None,
    signatures: twilio.TwilioSignatures | None = None,
    dev: dev_routes.DevAccess | None = None,
    allowed_origins: Sequence[str] = (),
    is_stopping: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """Makes the application.

    Args:
        ws_port: Where the gateway's sockets are, on whatever host the browser reaches us by.
        services: The way to the services, for links and callbacks. Without it there are no such routes.
        signatures: Checks callbacks of Twilio. Without it the token in their address is all that is asked for.
        dev: Makes the page work, and so gives anyone who can reach it this backend's rights; refuses every host but
            loopback, as another site could have its own name point here. Without it there are no such routes.
        allowed_origins: The pages that may call NotificationAPI's paths. Empty: any; with dev, those of this machine.
        is_stopping: Tells whether this process is on its way out, and wants no more work.
    """
    may_read = allow_listed(allowed_origins) if allowed_origins else is_loopback if dev else None
    # FastAPI's own docs load their scripts from elsewhere.
    app = _App(
        lambda app: Cors(app, may_read=may_read),
        title="Carillon",
        version=version("carillon"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    _add_error_handlers(app)
    app.add_middleware(_Guard, headers=_security_headers(ws_port), hosts=_LOOPBACK if dev else None)

    @app.get("/healthz", tags=["Gateway"], responses={503: {"description": "It stops."}})
    async def get_health() -> Response:
        """Says that this process answers, and goes on to."""
        if is_stopping():
            return JSONResponse({"status": "stopping"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ok"})

    @app.get("/v1/gateway", tags=["Gateway"])
    async def get_gateway() -> dict[str, Any]:
        """Tells a page where the sockets are, and whether the routes of dev are there."""
        return {"ws_port": ws_port, "dev": dev is not None}

    if services:
        app.include_router(unsubscribe.create_router(services))
        app.include_router(twilio.create_router(services, signatures))
    if dev:
        app.include_router(dev_routes.create_router(dev))
    if services:
        # After ours: its paths begin with the id of a client, which may be any word.
        app.include_router(create_notificationapi_router(services))
        app.add_middleware(Slashes)
    add_docs(app)
    # Last, as it takes every path.
    app.mount("/", Files())
    return app


async def serve_http(
    app: FastAPI,
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    reuse_port: bool = False,
    on_ready: Callable[[int], None] | None = None,
) -> None:
    """Serves until ``stop`` is set, then lets running requests end.

    Args:
        app: What to serve.
        host: The address to listen on.
        port: 0 takes a free one.
        stop: Ends it.
        reuse_port: Whether other processes may listen on the port too.
        on_ready: Called once with the port, as soon as connections are taken.

    Raises:
        PortTakenError: If it cannot listen there.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    with _listen(host, port, reuse_port=reuse_port) as listener:
        if on_ready:
            on_ready(listener.getsockname()[1])
        server = _Server(config)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listener]))
            await stop.wait()
            server.should_exit = True


class _App(FastAPI):
    """Has one layer around all others, those that make an answer of a defect included."""

    def __init__(self, wrap: Callable[[ASGIApp], ASGIApp], **options: Any) -> None:
        super().__init__(**options)
        self._wrap = wrap

    def build_middleware_stack(self) -> ASGIApp:
        return self._wrap(super().build_middleware_stack())


class _Server(uvicorn.Server):
    """Leaves the signals to the process, which has more to stop than this server, and may be cancelled."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            # When it is cancelled, uvicorn leaves the loop listening on sockets that others then close.
            for server in getattr(self, "servers", ()):
                server.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, reuse_port=reuse_port)
    except OSError as error:
        raise PortTakenError(host, port, error) from None


def _security_headers(ws_port: int) -> dict[str, str]:
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        # The images of items come from anywhere.
        "img-src": "'self' https: data:",
        # The sockets are on another port, and so another origin.
        "connect-src": f"'self' ws://*:{ws_port} wss://*:{ws_port}",
        "worker-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


class _Guard:
    """Puts the headers on every answer, and answers no host but those named."""

    def __init__(self, app: ASGIApp, *, headers: Mapping[str, str], hosts: frozenset[str] | None) -> None:
        self._app = app
        self._headers = headers
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    # A page may have a policy of its own.
                    headers.setdefault(name, value)
            await send(message)

        app = self._app
        if self._hosts is not None and _hostname(scope) not in self._hosts:
            app = errors.error_response(
                HTTPStatus.MISDIRECTED_REQUEST,
                "UNKNOWN_HOST",
                "this page answers on this machine only",
                fix="Open it as http://localhost, on the same port.",
            )
        await app(scope, receive, send_guarded)


def _hostname(scope: Scope) -> str | None:
    try:
        return urlsplit(f"//{Headers(scope=scope).get('host', '')}").hostname
    except ValueError:
        return None


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        fixes = {
            HTTPStatus.NOT_FOUND: f"Check the address: there is nothing at {request.url.path[:256]}.",
            HTTPStatus.METHOD_NOT_ALLOWED: "Use a method that this address takes; Allow names them.",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Send the header Content-Type: application/json.",
        }
        response = errors.error_response(
            status, status.name, error.detail, fix=fixes.get(status, "Correct the request, then send it again.")
        )
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def on_validation_error(_request: Request, error: RequestValidationError) -> Response:
        fields = [(_path(problem["loc"]), problem["msg"]) for problem in error.errors()]
        return errors.error_response(
            HTTPStatus.BAD_REQUEST,
            "INVALID_REQUEST",
            "; ".join(f"{field}: {description}" for field, description in fields),
            fix="Correct what the message names, then send it again.",
            fields=fields,
        )

    @app.exception_handler(DomainError)
    async def on_domain_error(_request: Request, error: DomainError) -> Response:
        return errors.domain_error(error)

    @app.exception_handler(errors.Refusal)
    async def on_refusal(_request: Request, error: errors.Refusal) -> Response:
        return error.response()

    @app.exception_handler(grpc.aio.AioRpcError)
    async def on_rpc_error(_request: Request, error: grpc.aio.AioRpcError) -> Response:
        return errors.rpc_error(error)

    # Starlette raises it again afterwards, so that the log has it.
    @app.exception_handler(Exception)
    async def on_defect(_request: Request, _error: Exception) -> Response:
        return errors.internal_error()


def _path(location: tuple[str | int, ...]) -> str:
    """Writes a place as the protos do: ``force_channels[1]``; the first part says only whether body or query."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location[1:])
    return "".join(parts).lstrip(".") or str(location[0])
