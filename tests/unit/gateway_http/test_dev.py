from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from grpc_status import rpc_status

from carillon.v1 import channel_pb2, delivery_pb2, sender_pb2, sender_pb2_grpc
from gateway.http.app import create_app
from gateway.http.dev import DevAccess
from services.kernel import auth, status
from services.kernel.errors import (
    AlreadyExists,
    Conflict,
    DomainError,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SEND = {"notification_id": "order_tracking", "user_id": "userId_123abc"}

Context = grpc.aio.ServicerContext[Any, Any]


class Sender(sender_pb2_grpc.SenderServicer):
    """Keeps the last request, and answers as the test wants."""

    request: sender_pb2.SendRequest | sender_pb2.RetractRequest
    authorization: str | bytes = ""
    answer = sender_pb2.SendResponse()
    refusal: DomainError | grpc.StatusCode | None = None

    async def Send(self, request: sender_pb2.SendRequest, context: Context) -> sender_pb2.SendResponse:
        """Answers what the test has set."""
        await self._take(request, context)
        return self.answer

    async def Retract(self, request: sender_pb2.RetractRequest, context: Context) -> sender_pb2.RetractResponse:
        """Takes three items back."""
        await self._take(request, context)
        return sender_pb2.RetractResponse(retracted_count=3)

    async def _take(self, request: sender_pb2.SendRequest | sender_pb2.RetractRequest, context: Context) -> None:
        self.request = request
        self.authorization = dict(context.invocation_metadata() or ())["authorization"]
        match self.refusal:
            case DomainError():
                rich = status.to_status(self.refusal, call_id="call-1")
                await context.abort_with_status(rpc_status.to_status(rich))
            case grpc.StatusCode():
                await context.abort(self.refusal, "words for developers")


@pytest.fixture
def sender() -> Sender:
    """The services, as far as the page needs them."""
    return Sender()  # type: ignore[abstract]  # the page calls no others


@pytest.fixture
async def client(sender: Sender) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application as `carillon dev` runs it, on a real channel."""
    async with contextlib.AsyncExitStack() as stack:
        server = grpc.aio.server()
        sender_pb2_grpc.add_SenderServicer_to_server(sender, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        app = create_app(ws_port=8081, dev=DevAccess("dev", "dev-secret", channel))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        yield await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://localhost:8080"))


async def test_session(client: httpx.AsyncClient) -> None:
    """A session is what a hello needs, without the secret, and is kept nowhere."""
    response = await client.get("/dev/session", params={"user_id": "userId_123abc"})

    assert response.json() == {
        "client_id": "dev",
        "user_id": "userId_123abc",
        "user_hash": auth.user_hash("dev-secret", "userId_123abc"),
    }
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "Field required"),
        ({"user_id": ""}, "must not be empty"),
        ({"user_id": "x" * 257}, "must be at most 256 bytes"),
        ({"user_id": "a\nb"}, "U\\+000A"),
    ],
)
async def test_session_of_nobody(client: httpx.AsyncClient, params: dict[str, str], problem: str) -> None:
    """An id that no user can have is refused, and the field named."""
    response = await client.get("/dev/session", params=params)

    assert response.status_code == 400
    [field] = response.json()["error"]["fields"]
    assert field["field"] == "user_id"
    assert problem.replace("\\", "") in field["description"]


async def test_send(client: httpx.AsyncClient, sender: Sender) -> None:
    """A send reaches the services as the form has it, with the credentials of dev."""
    response = await client.post(
        "/dev/send",
        json=SEND
        | {
            "merge_tags": {"item": "Krabby Patty Burger", "orderId": "1234567890"},
            "force_channels": ["INAPP_WEB", "WEB_PUSH"],
            "email": "spongebob@squarepants.com",
            "number": "+15005550006",
        },
    )

    assert response.status_code == 200
    assert json_format.MessageToDict(sender.request, preserving_proto_field_name=True) == {
        "notification_id": "order_tracking",
        "user": {"id": "userId_123abc", "email": "spongebob@squarepants.com", "number": "+15005550006"},
        "merge_tags": {"item": "Krabby Patty Burger", "orderId": "1234567890"},
        "force_channels": ["CHANNEL_INAPP_WEB", "CHANNEL_WEB_PUSH"],
    }
    assert sender.authorization == "Basic ZGV2OmRldi1zZWNyZXQ="


async def test_send_answers_each_channel(client: httpx.AsyncClient, sender: Sender) -> None:
    """The answer has the words of the contract, and numbers for words that are newer than the gateway."""
    sender.answer = sender_pb2.SendResponse(
        tracking_id="m1",
        deliveries=[
            delivery_pb2.Delivery(channel=channel_pb2.CHANNEL_INAPP_WEB, state=delivery_pb2.DELIVERY_STATE_DELIVERED),
            delivery_pb2.Delivery(
                channel=channel_pb2.CHANNEL_SMS,
                state=delivery_pb2.DELIVERY_STATE_SKIPPED,
                reason=delivery_pb2.SKIP_REASON_RENDER_FAILED,
                detail="line 1",
            ),
            delivery_pb2.Delivery(channel=99, state=delivery_pb2.DELIVERY_STATE_PENDING),  # type: ignore[arg-type]  # not known yet
        ],
        warnings=[
            delivery_pb2.SendWarning(
                code=delivery_pb2.SEND_WARNING_CODE_INVALID_ADDRESS, field="user.email", text="no address"
            )
        ],
    )

    response = await client.post("/dev/send", json=SEND)

    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {
        "tracking_id": "m1",
        "deliveries": [
            {"channel": "INAPP_WEB", "state": "DELIVERED"},
            {"channel": "SMS", "state": "SKIPPED", "reason": "RENDER_FAILED", "detail": "line 1"},
            {"channel": "99", "state": "PENDING"},
        ],
        "warnings": [{"code": "INVALID_ADDRESS", "field": "user.email", "text": "no address"}],
    }


async def test_retract(client: httpx.AsyncClient, sender: Sender) -> None:
    """A retraction names notification and user, and is answered with a count."""
    response = await client.post("/dev/retract", json=SEND)

    assert response.json() == {"retracted_count": 3}
    assert sender.request == sender_pb2.RetractRequest(notification_id="order_tracking", user_id="userId_123abc")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
@pytest.mark.parametrize("path", ["/dev/send", "/dev/retract"])
async def test_forms_of_other_sites(client: httpx.AsyncClient, path: str, content_type: str) -> None:
    """What another site could post without asking is refused."""
    body = b'{"notification_id": "order_tracking", "user_id": "u"}'

    response = await client.post(path, content=body, headers={"Content-Type": content_type})

    assert response.status_code == 415
    assert response.json()["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert "application/json" in response.json()["error"]["fix"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{}", ["notification_id", "user_id"]),
        (b'{"notification_id": 1, "user_id": "u"}', ["notification_id"]),
        (b'{"notification_id": "n", "user_id": "\\ud800"}', ["user_id"]),
        (b'{"notification_id": "n", "user_id": "u", "email": "\\ud800", "number": "\\udfff"}', ["email", "number"]),
        (b'{"notification_id": "n", "user_id": "u", "extra": 1}', ["extra"]),
        (b'{"notification_id": "n", "user_id": "u", "force_channels": ["SMS", "PIGEON"]}', ["force_channels[1]"]),
        (b'{"notification_id": "n", "user_id": "u", "force_channels": [[]]}', ["force_channels[0]"]),
        (b'{"notification_id": "n", "user_id": "u", "merge_tags": {"a": {"b": 1}}}', ["merge_tags.a"]),
        (b'{"notification_id": "n", "user_id": "u", "merge_tags": {"a": "\\udfff"}}', ["merge_tags.a"]),
        (
            b'{"notification_id": "n", "user_id": "u", "merge_tags": {"\\ud800": "x"}}',
            ["merge_tags.\ufffd\ufffd\ufffd.[key]"],
        ),
        (b'{"notification_id": "n", "user_id": "u", "\\ud800": 1}', ["body"]),
        (b"[]", ["body"]),
    ],
)
async def test_wrong_bodies(client: httpx.AsyncClient, body: bytes, fields: list[str]) -> None:
    """A body that is no send names every field that is wrong."""
    response = await client.post("/dev/send", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "INVALID_REQUEST"
    assert [violation["field"] for violation in response.json()["error"]["fields"]] == fields


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[" * 100_000],
)
async def test_broken_bodies(client: httpx.AsyncClient, body: bytes) -> None:
    """A body that is no JSON, or no text, is a 400 without a trace of what failed."""
    response = await client.post("/dev/send", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 400
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    ("refusal", "http", "code"),
    [
        (InvalidArgument([FieldViolation("user.id", "must not be empty")]), 400, "INVALID_REQUEST"),
        (FailedPrecondition("fired", reason="ALREADY_FIRED"), 400, "ALREADY_FIRED"),
        (Unauthenticated("who?", reason="CREDENTIALS_INVALID"), 401, "CREDENTIALS_INVALID"),
        (PermissionDenied("no", reason="OTHER_USER"), 403, "OTHER_USER"),
        (NotFound("notification", "x", reason="NOTIFICATION_NOT_FOUND"), 404, "NOTIFICATION_NOT_FOUND"),
        (AlreadyExists("there", reason="EXISTS"), 409, "EXISTS"),
        (Conflict("changed", reason="ETAG_MISMATCH"), 409, "ETAG_MISMATCH"),
        (Unavailable(), 503, "STORAGE_UNAVAILABLE"),
    ],
)
async def test_refusals(client: httpx.AsyncClient, sender: Sender, refusal: DomainError, http: int, code: str) -> None:
    """What the services refuse keeps their reason and message, under the status that fits."""
    sender.refusal = refusal

    response = await client.post("/dev/send", json=SEND)

    assert response.status_code == http
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["message"] == refusal.message
    assert response.json()["error"]["fix"]


async def test_violations_are_named(client: httpx.AsyncClient, sender: Sender) -> None:
    """All the fields that the services refuse are in the answer."""
    sender.refusal = InvalidArgument([FieldViolation("user.id", "is empty"), FieldViolation("merge_tags.a", "is NaN")])

    response = await client.post("/dev/send", json=SEND)

    assert response.json()["error"]["fields"] == [
        {"field": "user.id", "description": "is empty"},
        {"field": "merge_tags.a", "description": "is NaN"},
    ]


async def test_limits_say_when(client: httpx.AsyncClient, sender: Sender) -> None:
    """A limit says in whole seconds when to come back."""
    sender.refusal = LimitExceeded("too many", reason="RATE_LIMITED", retry_after=timedelta(milliseconds=2500))

    response = await client.post("/dev/send", json=SEND)

    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("code", "http", "reason"),
    [
        (grpc.StatusCode.UNKNOWN, 500, "INTERNAL"),
        (grpc.StatusCode.INTERNAL, 500, "INTERNAL"),
        (grpc.StatusCode.DATA_LOSS, 500, "INTERNAL"),
        (grpc.StatusCode.UNIMPLEMENTED, 501, "UNIMPLEMENTED"),
        (grpc.StatusCode.UNAVAILABLE, 503, "UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "DEADLINE_EXCEEDED"),
    ],
)
async def test_failures_without_details(
    client: httpx.AsyncClient, sender: Sender, code: grpc.StatusCode, http: int, reason: str
) -> None:
    """A failure that the services did not explain is explained by us, never in grpc's words."""
    sender.refusal = code

    response = await client.post("/dev/send", json=SEND)

    assert response.status_code == http
    assert response.json()["error"]["code"] == reason
    assert "developers" not in response.text


async def test_services_that_do_not_run() -> None:
    """Without the services a send says that they cannot be reached."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        app = create_app(ws_port=8081, dev=DevAccess("dev", "dev-secret", channel))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:8080") as client:
            response = await client.post("/dev/send", json=SEND)

    assert response.status_code == 503
    assert response.json()["error"]["message"] == "the services cannot be reached"
