"""A real server of the kernel around an echo service, whose messages are those of the health protocol."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2

from services.kernel.auth import (
    BackendCredentials,
    Credentials,
    Principal,
    Realm,
    UserCredentials,
    credentials_invalid,
    current_principal,
    find_secret,
    hash_matches,
)
from services.kernel.errors import NotFound
from services.kernel.interceptors import AuthInterceptor, ErrorInterceptor, LogInterceptor
from services.kernel.server import GrpcServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Request = health_pb2.HealthCheckRequest
Response = health_pb2.HealthCheckResponse

SECRET = "dev-secret"
USER_METHODS = frozenset({"/test.v1.Echo/Whoami"})


class Echo:
    """Does what the text of the request says: an id that is unknown, a defect, or never answering."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()

    async def unary_unary(self, request: Any, context: Any) -> Any:
        """Answers one request."""
        return await self._answer(request)

    async def unary_stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Answers one request twice."""
        yield await self._answer(request)
        yield await self._answer(request)

    async def stream_unary(self, requests: AsyncIterator[Any], context: Any) -> Any:
        """Answers the last request."""
        answer = Response()
        async for request in requests:
            answer = await self._answer(request)
        return answer

    async def stream_stream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Answers each request."""
        async for request in requests:
            yield await self._answer(request)

    def unimplemented(self, request: Any, context: Any) -> Any:
        """Behaves as a method that the generated base class has and its subclass has not."""
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        context.set_details("Method not implemented!")
        raise NotImplementedError("Method not implemented!")

    async def _answer(self, request: Any) -> Any:
        match request.service:
            case "unknown":
                raise NotFound("thing", "unknown", reason="THING_NOT_FOUND")
            case "defect":
                raise RuntimeError("secret detail")
            case "hang":
                self.arrived.set()
                await asyncio.Event().wait()
        assert current_principal().client_id == "dev"
        return Response(status=Response.SERVING)

    def register(self, server: grpc.aio.Server) -> None:
        """Adds a method of each kind, named as its kind."""
        both = {"request_deserializer": Request.FromString, "response_serializer": Response.SerializeToString}
        handlers: dict[str, Any] = {
            "UnaryUnary": grpc.unary_unary_rpc_method_handler(self.unary_unary, **both),
            "UnaryStream": grpc.unary_stream_rpc_method_handler(self.unary_stream, **both),
            "StreamUnary": grpc.stream_unary_rpc_method_handler(self.stream_unary, **both),
            "StreamStream": grpc.stream_stream_rpc_method_handler(self.stream_stream, **both),
            "Whoami": grpc.unary_unary_rpc_method_handler(self.unary_unary, **both),
            "Unimplemented": grpc.unary_unary_rpc_method_handler(self.unimplemented, **both),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.v1.Echo", handlers),))


async def authenticate(credentials: Credentials) -> Principal:
    """Knows one client."""
    if credentials.client_id != "dev":
        raise credentials_invalid()
    if isinstance(credentials, BackendCredentials):
        if find_secret(credentials.secret, {"k": SECRET}):
            return Principal(Realm.BACKEND, "dev")
    elif isinstance(credentials, UserCredentials) and hash_matches(
        credentials.user_hash, credentials.user_id, [SECRET]
    ):
        return Principal(Realm.USER, "dev", credentials.user_id)
    raise credentials_invalid()


class Service:
    """Starts servers and calls them; what they logged is complete once they have stopped."""

    def __init__(self, lines: list[Any]) -> None:
        self.echo = Echo()
        self._lines = lines

    @asynccontextmanager
    async def run(self, **options: Any) -> AsyncIterator[tuple[GrpcServer, grpc.aio.Channel]]:
        """Serves with all interceptors, and gives a channel to it."""
        interceptors = (LogInterceptor(), ErrorInterceptor(), AuthInterceptor(authenticate, USER_METHODS))
        server = GrpcServer(
            self.echo.register, service_names=["test.v1.Echo"], interceptors=interceptors, **({"drain_s": 1} | options)
        )
        async with server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield server, channel

    def logged(self, event: str) -> list[Any]:
        """Gives the lines of one event."""
        return [line for line in self._lines if line["event"] == event]


@pytest.fixture
def service() -> Iterator[Service]:
    """Gives an echo service whose log is captured."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield Service(lines)
