"""What happens around every call, seen through a real channel."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from services.kernel.auth import user_hash
from services.kernel.server import MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    Service = Any
    Call = Callable[[grpc.aio.Channel, bytes], Any]

KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
Request = health_pb2.HealthCheckRequest


def basic(text: str) -> tuple[tuple[str, str], ...]:
    """Makes the metadata of a Basic credential."""
    return (("authorization", "Basic " + base64.b64encode(text.encode()).decode()),)


BACKEND = basic("dev:dev-secret")
USER = basic("dev:u:1:" + user_hash("dev-secret", "u:1"))


def text(service: str) -> bytes:
    """Makes the bytes of a request."""
    return bytes(Request(service=service).SerializeToString())


async def call(
    channel: grpc.aio.Channel,
    kind: str,
    request: bytes,
    *,
    method: str = "",
    metadata: Any = BACKEND,
    timeout: float = 10,  # noqa: ASYNC109 - it is the deadline that goes out with the call
) -> list[bytes]:
    """Calls a method of that kind with raw bytes and gives all answers."""
    name = method or kind.title().replace("_", "")
    argument: Any = iter([request]) if kind.startswith("stream") else request
    running: Any = getattr(channel, kind)(f"/test.v1.Echo/{name}")(argument, metadata=metadata, timeout=timeout)
    if kind.endswith("stream"):
        return [answer async for answer in running]
    return [await running]


async def fails(*arguments: Any, **options: Any) -> tuple[grpc.aio.AioRpcError, error_details_pb2.ErrorInfo]:
    """Calls, and gives the error with its ErrorInfo."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(*arguments, **options)

    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(caught.value)
    if status is not None:
        assert status.details[0].Unpack(info)
    return caught.value, info


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_comes_back(service: Service, kind: str) -> None:
    """A call of each kind is answered, and logged in one line with who made it."""
    async with service.run() as (_, channel):
        answers = await call(channel, kind, text("fine"))

    assert len(answers) == (2 if kind == "unary_stream" else 1)
    (line,) = service.logged("rpc")
    assert line["method"] == "/test.v1.Echo/" + kind.title().replace("_", "")
    assert (line["code"], line["client_id"], line["log_level"]) == ("OK", "dev", "info")
    assert line["duration_ms"] >= 0
    assert line["peer"].startswith("ipv4:127.0.0.1")
    assert line["call_id"]
    assert "user_id" not in line


@pytest.mark.parametrize("request_bytes", [b"\xff\xff\xff", b"\x0a\x01\xff"], ids=["garbage", "no UTF-8"])
@pytest.mark.parametrize("kind", KINDS)
async def test_undecodable_bytes_are_refused(service: Service, kind: str, request_bytes: bytes) -> None:
    """Bytes that are no request are an ordinary INVALID_ARGUMENT in calls of each kind."""
    async with service.run() as (_, channel):
        error, info = await fails(channel, kind, request_bytes)

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info.reason == "UNDECODABLE_REQUEST"
    assert "DecodeError" not in str(error)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_domain_error_is_told(service: Service, kind: str) -> None:
    """A refusal of the domain has its code, reason and call id in calls of each kind, and the log has the reason."""
    async with service.run() as (_, channel):
        error, info = await fails(channel, kind, text("unknown"))

    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert info.reason == "THING_NOT_FOUND"
    (line,) = service.logged("rpc")
    assert (line["code"], line["reason"]) == ("NOT_FOUND", "THING_NOT_FOUND")
    assert line["call_id"] == info.metadata["call_id"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_defect_tells_nothing(service: Service, kind: str) -> None:
    """A defect is INTERNAL with a fixed text and the call id; what happened is in the log alone."""
    async with service.run() as (_, channel):
        error, info = await fails(channel, kind, text("defect"))

    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "internal error"
    assert "secret detail" not in str(error)
    assert "RuntimeError" not in str(error)
    assert info.reason == "INTERNAL"
    (line,) = service.logged("rpc_failed")
    assert line["call_id"] == info.metadata["call_id"] == dict(error.trailing_metadata())["carillon-call-id"]
    assert [one["code"] for one in service.logged("rpc")] == ["INTERNAL"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_deadline_is_logged_as_cancelled(service: Service, kind: str) -> None:
    """A call that its deadline ends is cancelled, neither answered nor a defect."""
    async with service.run() as (_, channel):
        error, _ = await fails(channel, kind, text("hang"), timeout=0.3)
        assert service.echo.arrived.is_set()

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [line["code"] for line in service.logged("rpc")] == ["CANCELLED"]
    assert not service.logged("rpc_failed")


async def test_a_successful_call_tells_its_id(service: Service) -> None:
    """The id of a call is in its trailers when it succeeds, too."""
    async with service.run() as (_, channel):
        running = channel.unary_unary("/test.v1.Echo/UnaryUnary")(text("fine"), metadata=BACKEND)
        await running
        trailers = dict(await running.trailing_metadata())

    assert trailers["carillon-call-id"] == service.logged("rpc")[0]["call_id"]


async def test_what_is_not_built_yet_is_unimplemented(service: Service) -> None:
    """A method of the contract that the servicer leaves out is UNIMPLEMENTED, and so is an unknown one."""
    async with service.run() as (_, channel):
        error, info = await fails(channel, "unary_unary", text("fine"), method="Unimplemented")
        unknown, _ = await fails(channel, "unary_unary", text("fine"), method="Nonsense")

    assert (error.code(), info.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED_YET")
    assert unknown.code() is grpc.StatusCode.UNIMPLEMENTED
    assert not service.logged("rpc_failed")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "CREDENTIALS_MISSING"),
        (basic("nonsense"), "CREDENTIALS_MALFORMED"),
        (basic("dev:wrong"), "CREDENTIALS_INVALID"),
        (basic("other:dev-secret"), "CREDENTIALS_INVALID"),
        (basic("dev:u:1:" + user_hash("dev-secret", "u:2")), "CREDENTIALS_INVALID"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
async def test_credentials_come_first(service: Service, kind: str, metadata: Any, reason: str) -> None:
    """Without good credentials a call is refused before its bytes are looked at."""
    async with service.run() as (_, channel):
        error, info = await fails(channel, kind, b"\xff\xff\xff", metadata=metadata)

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert info.reason == reason


async def test_a_user_reaches_the_methods_of_users(service: Service) -> None:
    """A user may call what is listed for users and nothing else; the log names the user."""
    async with service.run() as (_, channel):
        await call(channel, "unary_unary", text("fine"), method="Whoami", metadata=USER)
        error, info = await fails(channel, "unary_unary", text("fine"), metadata=USER)

    assert (error.code(), info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "BACKEND_ONLY")
    assert [(line["code"], line["user_id"]) for line in service.logged("rpc")] == [
        ("OK", "u:1"),
        ("PERMISSION_DENIED", "u:1"),
    ]


async def test_a_request_over_the_limit_is_refused(service: Service) -> None:
    """A request of 8 MiB is taken, one byte more is RESOURCE_EXHAUSTED."""
    overhead = len(text("x" * MAX_REQUEST_BYTES)) - MAX_REQUEST_BYTES
    async with service.run() as (_, channel):
        await call(channel, "unary_unary", text("x" * (MAX_REQUEST_BYTES - overhead)))
        error, _ = await fails(channel, "unary_unary", text("x" * (MAX_REQUEST_BYTES - overhead + 1)))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_health_is_open_and_tells_what_was_set(service: Service) -> None:
    """Health answers without credentials, for the server and each service, and its line is not at info."""
    statuses = []
    async with service.run() as (server, channel):
        stub = health_pb2_grpc.HealthStub(channel)
        for is_serving in (None, True, False):
            if is_serving is not None:
                await server.set_serving(is_serving)
            answers = [await stub.Check(Request(service=name)) for name in ("", "test.v1.Echo")]
            statuses.append([answer.status for answer in answers])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(Request(service="nonsense"))

    assert statuses == [[2, 2], [1, 1], [2, 2]]
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert {line["log_level"] for line in service.logged("rpc")} == {"debug"}
    assert not service.logged("rpc_failed")


async def test_reflection_is_open_and_can_be_switched_off(service: Service) -> None:
    """Reflection lists the services without credentials, unless it is switched off."""
    ask = reflection_pb2.ServerReflectionRequest(list_services="*")
    async with service.run() as (_, channel):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        (answer,) = [one async for one in stub.ServerReflectionInfo(iter([ask]))]
    async with service.run(use_reflection=False) as (_, channel):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stub.ServerReflectionInfo(iter([ask]))))

    names = {one.name for one in answer.list_services_response.service}
    assert {"test.v1.Echo", "grpc.health.v1.Health"} <= names
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
