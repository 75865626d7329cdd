"""The devices of a profile, all three push services at once: each is reached over its own, as it was registered."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format

from carillon.v1 import content_pb2, notifications_pb2, users_pb2
from services.delivery.app import open_providers
from services.delivery.settings import FcmSettings
from services.settings import WorkerSettings
from tests.contract.delivery.pushing import WEB_PUSH, open_pushing
from tests.contract.delivery.world import run_workers, state_of, until_final
from tests.contract.services.requests import PUSH, definition, send_request
from tests.contract.services.test_seeds import DEVICE, IDENTITY, profile
from tests.contract.services.world import MASTER_KEY
from tests.providers.apns import Apns
from tests.providers.authority import Authority
from tests.providers.fcm import FcmServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_each_device_of_a_profile_is_reached(
    world: World, tenant: Tenant, mongodb_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the seeds' identifyUser a send that names only the id is at Apple, at FCM and at the browser's service."""
    authority = Authority(tmp_path)
    (tmp_path / "apple").mkdir()
    async with AsyncExitStack() as entered:
        pushing = await entered.enter_async_context(open_pushing(world, tenant, mongodb_uri, authority, monkeypatch))
        google = await entered.enter_async_context(FcmServer().serve(authority))
        apple = await entered.enter_async_context(Apns(tmp_path / "apple").serve())
        fcm = FcmSettings(credentials_file=google.write_key(tmp_path), connect_to=google.address)
        settings = WorkerSettings(apns=apple.settings(), fcm=fcm, private_networks=True)
        providers = await entered.enter_async_context(open_providers(settings, master_key=MASTER_KEY))
        await entered.enter_async_context(run_workers(mongodb_uri, providers))

        browser = pushing.service.browser()
        tokens = [
            {"type": "APN", "token": "a1b2c3", "device": DEVICE | {"app_id": "com.example.ios"}},
            {"type": "FCM", "token": "samplePushToken", "device": DEVICE},
        ]
        subscription = {"sub": {"endpoint": browser.endpoint, "keys": browser.keys}}
        seed: Any = {"user": profile(IDENTITY | {"pushTokens": tokens, "webPushTokens": [subscription]})}
        await tenant.backend.users.IdentifyUser(json_format.ParseDict(seed, users_pb2.IdentifyUserRequest()))
        await tenant.put(definition("n", *templates(), channels=[PUSH, WEB_PUSH]))
        [sent] = await tenant.send(send_request("n", user={"id": IDENTITY["id"]}))
        deliveries = [await until_final(tenant, sent.tracking_id, channel) for channel in (PUSH, WEB_PUSH)]

    assert [state_of(delivery) for delivery in deliveries] == ["SENT", "SENT"]
    assert [(push.device, push.headers["apns-topic"]) for push in apple.pushes] == [("a1b2c3", "com.example.ios")]
    assert [push.token for push in google.pushed] == ["samplePushToken"]
    assert [(push.browser, push.payload["title"]) for push in pushing.service.pushes] == [(browser, "Hello")]
    assert {one.target: state_of(one) for one in deliveries[0].targets} == {"a1b2c3": "SENT", "ushToken": "SENT"}


def templates() -> list[notifications_pb2.Template]:
    """Makes the templates of both channels."""
    contents = (
        content_pb2.Content(push=content_pb2.PushContent(title="Hello")),
        content_pb2.Content(web_push=content_pb2.WebPushContent(title="Hello")),
    )
    return [notifications_pb2.Template(content=content) for content in contents]
