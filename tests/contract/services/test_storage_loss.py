"""MongoDB away: at the start, and while calls come in. Each state is awaited on health, never slept for."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import grpc
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from carillon.v1 import inbox_pb2, notifications_pb2, preferences_pb2, sender_pb2
from services.kernel.auth import basic_authorization
from services.kernel.mongod import LocalMongod
from tests.contract.services.refusals import refusal
from tests.contract.services.requests import USER, definition, send_request
from tests.contract.services.world import Caller, World, run_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def free_port() -> int:
    """Gives a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest_asyncio.fixture
async def mongod(tmp_path: Path) -> AsyncIterator[LocalMongod]:
    """Gives a MongoDB that is not started yet."""
    mongod = LocalMongod(tmp_path, port=free_port())
    yield mongod
    await mongod.stop()


async def until_health(world: World, status: int, *, service: str = "carillon.v1.Sender") -> None:
    """Returns once the service's health is as said."""
    watch = health_pb2_grpc.HealthStub(world.channel).Watch(
        health_pb2.HealthCheckRequest(service=service), wait_for_ready=True, timeout=60
    )
    async for answer in watch:
        if answer.status == status:
            watch.cancel()
            return


async def test_services_start_before_mongodb(mongod: LocalMongod) -> None:
    """Without MongoDB services are NOT_SERVING and answer UNAVAILABLE; they serve by themselves once it is there."""
    async with run_world(mongod.uri, port=free_port()) as world:
        await until_health(world, NOT_SERVING, service="")
        stranger = Caller(world.channel, [basic_authorization("dev", "dev-secret")])
        for call in (
            stranger.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=USER)),
            stranger.preferences.Unsubscribe(preferences_pb2.UnsubscribeRequest()),
        ):
            refused = await refusal(call)
            assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STARTING")
        assert refused.retry_delay_s

        await mongod.start()
        await until_health(world, SERVING, service="")
        tenant = await world.tenant()
        await tenant.put_samples()
        await tenant.send(send_request())
        assert len(await tenant.items(USER)) == 1


async def test_services_survive_the_loss_of_mongodb(mongod: LocalMongod) -> None:
    """With MongoDB killed every call is UNAVAILABLE with a time to come back after; all is there when it returns."""
    await mongod.start()
    async with run_world(mongod.uri) as world:
        tenant = await world.tenant()
        await tenant.put_samples()
        (kept,) = await tenant.send(send_request())
        await until_health(world, SERVING)

        await mongod.kill()
        backend = tenant.backend
        refusals = await asyncio.gather(
            refusal(backend.sender.Send(send_request())),
            refusal(backend.sender.Retract(sender_pb2.RetractRequest(user_id=USER, notification_id="n"))),
            refusal(backend.inbox.ListInbox(inbox_pb2.ListInboxRequest(user_id=USER))),
            refusal(backend.inbox.SyncInbox(inbox_pb2.SyncInboxRequest(user_id=USER))),
            refusal(
                backend.notifications.PutNotification(
                    notifications_pb2.PutNotificationRequest(notification=definition("n"))
                )
            ),
            until_health(world, NOT_SERVING),
        )
        for refused in refusals[:-1]:
            assert refused is not None
            assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
            assert refused.retry_delay_s

        await mongod.start()
        await until_health(world, SERVING)
        assert [item.id for item in await tenant.items(USER)] == [kept.item_id]
        await tenant.send(send_request())
        assert len(await tenant.items(USER)) == 2
