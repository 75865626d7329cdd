"""An environment that pushes to browsers, two push services that it may push to, and a worker in between."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from carillon.v1 import channel_pb2, content_pb2, notifications_pb2, sender_pb2, users_pb2
from services.delivery.channels.web_push import WebPush
from services.delivery.providers import Providers
from services.environments.vapid import new_vapid_keys
from services.kernel.clock import utc_now
from tests.contract.delivery.world import run_workers
from tests.contract.services.requests import INAPP_WEB, definition, inapp, send_request
from tests.providers.web_push import serve_push_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from services.delivery.model import Provider
    from services.environments.model import VapidKeys
    from services.kernel.clock import Clock
    from tests.contract.services.world import Tenant, World
    from tests.providers.authority import Authority
    from tests.providers.web_push import Browser, PushService

WEB_PUSH = channel_pb2.CHANNEL_WEB_PUSH
SUBJECT = "mailto:ops@example.com"
USER_ID = "bob"


@dataclass(frozen=True)
class Pushing:
    """What a test of browser pushes needs."""

    world: World
    tenant: Tenant
    mongodb_uri: str
    service: PushService
    other: PushService
    """Another push service, of another origin."""

    vapid: VapidKeys

    @asynccontextmanager
    async def worker(
        self,
        *,
        email: Provider | None = None,
        now: Clock | None = None,
        private_networks: bool = True,
        **options: Any,
    ) -> AsyncIterator[None]:
        """Runs a worker that pushes, until the block ends."""
        async with WebPush(clock=now or utc_now, private_networks=private_networks) as web_push:
            providers = Providers(web_push=web_push, email=email)
            async with run_workers(self.mongodb_uri, providers, now=now, **options):
                yield

    async def change(self, **settings: Any) -> None:
        """Gives the environment other settings."""
        client_id = self.tenant.client_id
        assert await self.world.stores.environments.change(client_id, lambda stored: replace(stored, **settings))

    async def send(self, *browsers: Browser, name: str = "Bob", **fields: Any) -> sender_pb2.SendResponse:
        """Sends to the inbox and to browsers, which the profile then has."""
        subscriptions = [browser.subscription for browser in browsers]
        user = {"id": USER_ID, "web_push_subscriptions": subscriptions}
        [sent] = await self.tenant.send(send_request("pushed", user=user, merge_tags={"name": name}, **fields))
        return sent

    async def retract(self, **fields: Any) -> sender_pb2.RetractResponse:
        """Takes all of the user's items back."""
        request = sender_pb2.RetractRequest(user_id=USER_ID, notification_id="pushed", **fields)
        answer: sender_pb2.RetractResponse = await self.tenant.backend.sender.Retract(request)
        return answer

    async def endpoints(self) -> list[str]:
        """Gives the endpoints of the user's profile."""
        answer = await self.tenant.backend.users.GetUser(users_pb2.GetUserRequest(user_id=USER_ID))
        return [one.endpoint for one in answer.user.web_push_subscriptions]

    async def document(self, tracking_id: str) -> dict[str, Any]:
        """Gives a message as it is stored."""
        found: dict[str, Any] = await self.world.database.messages.find_one({"_id.m": tracking_id})
        return found


@asynccontextmanager
async def open_pushing(
    world: World, tenant: Tenant, mongodb_uri: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pushing]:
    """Gives a test's own."""
    # As an operator has Python trust an authority.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    context = authority.server_context("localhost", alpn="http/1.1")
    async with serve_push_service(context) as service, serve_push_service(context) as other:
        pushing = Pushing(world, tenant, mongodb_uri, service, other, new_vapid_keys(SUBJECT))
        await pushing.change(vapid=pushing.vapid)
        texts = content_pb2.WebPushContent(title="Hello {{ name }}", body="Böse Überraschung", url="/orders/1")
        web_push = notifications_pb2.Template(content=content_pb2.Content(web_push=texts))
        await tenant.put(definition("pushed", inapp("In the inbox"), web_push, channels=(INAPP_WEB, WEB_PUSH)))
        yield pushing
