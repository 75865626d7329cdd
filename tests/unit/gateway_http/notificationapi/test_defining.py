"""A notification that is defined by its first send, against services that answer as the test wants it."""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from grpc_status import rpc_status

from carillon.v1 import notifications_pb2, notifications_pb2_grpc, sender_pb2, sender_pb2_grpc
from gateway.http.app import create_app
from services.kernel import status
from services.kernel.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.kernel.errors import DomainError

Context = grpc.aio.ServicerContext[Any, Any]
SEND = {"type": "new", "to": {"id": "anna"}, "sms": {"message": "Hi"}}
UNKNOWN = NotFound("notification", "new", reason="NOTIFICATION_NOT_FOUND")


class Sender(sender_pb2_grpc.SenderServicer):
    """Does not know the notification at first."""

    unknown_for = 1
    calls = 0

    async def Send(self, request: sender_pb2.SendRequest, context: Context) -> sender_pb2.SendResponse:
        """Answers once the notification is there."""
        self.calls += 1
        if self.calls <= self.unknown_for:
            await refuse(context, UNKNOWN)
        return sender_pb2.SendResponse(tracking_id="01a2")


class Notifications(notifications_pb2_grpc.NotificationsServicer):
    """Keeps what is put."""

    refusal: DomainError | None = None

    def __init__(self) -> None:
        self.put: list[notifications_pb2.PutNotificationRequest] = []

    async def PutNotification(
        self, request: notifications_pb2.PutNotificationRequest, context: Context
    ) -> notifications_pb2.PutNotificationResponse:
        """Takes a definition, or says that somebody else was first."""
        self.put.append(request)
        if self.refusal:
            await refuse(context, self.refusal)
        return notifications_pb2.PutNotificationResponse(notification=request.notification)


async def refuse(context: Context, error: DomainError) -> None:
    """Refuses as the services do."""
    await context.abort_with_status(rpc_status.to_status(status.to_status(error, call_id="c")))


@pytest.fixture
def sender() -> Sender:
    """Gives the sender."""
    return Sender()  # type: ignore[abstract] # the others are not called


@pytest.fixture
def notifications() -> Notifications:
    """Gives the definitions."""
    return Notifications()  # type: ignore[abstract] # the others are not called


@pytest.fixture
async def client(sender: Sender, notifications: Notifications) -> AsyncIterator[httpx.AsyncClient]:
    """Gives a client of the application, on a real channel."""
    async with contextlib.AsyncExitStack() as stack:
        server = grpc.aio.server()
        sender_pb2_grpc.add_SenderServicer_to_server(sender, server)
        notifications_pb2_grpc.add_NotificationsServicer_to_server(notifications, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        transport = httpx.ASGITransport(create_app(ws_port=8081, services=channel), raise_app_exceptions=False)
        authorization = f"Basic {base64.b64encode(b'dev:secret').decode()}"
        yield await stack.enter_async_context(
            httpx.AsyncClient(
                transport=transport, base_url="http://localhost:8080", headers={"Authorization": authorization}
            )
        )


async def test_it_is_only_created_never_replaced(
    client: httpx.AsyncClient, sender: Sender, notifications: Notifications
) -> None:
    """The etag says that there must be none, so that one that was defined in between stays as it is."""
    response = await client.post("/dev/sender", json=SEND)
    assert response.json()["trackingId"] == "01a2"
    assert [put.etag for put in notifications.put] == ["none"]
    assert sender.calls == 2


async def test_whoever_was_first_the_send_goes_out(
    client: httpx.AsyncClient, sender: Sender, notifications: Notifications
) -> None:
    """That it is there already is what was wanted."""
    notifications.refusal = Conflict("somebody else has put it", reason="ETAG_MISMATCH")
    response = await client.post("/dev/sender", json=SEND)
    assert response.json()["trackingId"] == "01a2"
    assert sender.calls == 2


async def test_it_is_tried_once(client: httpx.AsyncClient, sender: Sender, notifications: Notifications) -> None:
    """One that is gone again is a 404, and not tried for ever."""
    sender.unknown_for = 99
    response = await client.post("/dev/sender", json=SEND)
    assert response.status_code == 404
    assert (sender.calls, len(notifications.put)) == (2, 1)


async def test_other_refusals_of_the_definition_are_told(
    client: httpx.AsyncClient, notifications: Notifications
) -> None:
    """They are the caller's answer."""
    notifications.refusal = Conflict("another conflict", reason="OTHER")
    response = await client.post("/dev/sender", json=SEND)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "OTHER")
