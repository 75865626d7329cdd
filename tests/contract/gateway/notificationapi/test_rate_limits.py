"""An environment over its rate: what its callers are answered, through a gateway of services that have a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.kernel.clock import utc_now
from tests.contract.gateway.notificationapi.backend import SEND, open_backend
from tests.contract.gateway.notificationapi.sockets import run_gateway_of
from tests.contract.gateway.notificationapi.world import ITEMS, UNREAD, USER_ID, user_authorization
from tests.contract.live.world import Live
from tests.contract.services.world import run_world

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

BURST = 3
CHOICES = [{"notificationId": "order_tracking", "channel": "EMAIL", "delivery": "off"}]


async def test_a_call_too_many_is_429_with_the_time_to_wait(live: Live, tenant: Tenant) -> None:
    """Whoever calls whatever is told when to come back, in words that a page may read, and nothing is stored."""
    moment = utc_now()
    async with (
        run_world(live.mongodb_uri, now=lambda: moment, rate_limit_per_s=0.25, rate_limit_burst=BURST) as world,
        run_gateway_of(world, live.mongodb_uri) as gateway,
        open_backend(Live(world, gateway, live.mongodb_uri).url, tenant) as backend,
    ):
        for _ in range(BURST):
            await backend.done("GET", "auth/validateAuthenticate")

        before = await tenant.stored()
        user = user_authorization(tenant, USER_ID)
        for authorization, method, resource, body in (
            (backend.authorization, "POST", "sender", SEND),
            (backend.authorization, "POST", "sender/retract", {"notificationId": "order_tracking", "userId": USER_ID}),
            (backend.authorization, "DELETE", "schedule/x", None),
            (backend.authorization, "POST", "logs/query", {}),
            (backend.authorization, "POST", "user_preferences/a+b", CHOICES),
            (backend.authorization, "PUT", "notifications/order_tracking/subNotifications/eu", {}),
            (user, "POST", f"users/{USER_ID}", {"email": "a@example.com"}),
            (user, "GET", f"users/{USER_ID}", None),
            (user, "GET", f"users/{USER_ID}/{ITEMS}", None),
            (user, "PATCH", f"users/{USER_ID}/{UNREAD}", {}),
            (user, "POST", f"users/{USER_ID}/preferences", CHOICES),
            (user, "GET", f"users/{USER_ID}/account_metadata", None),
        ):
            response = await backend.call(method, resource, json=body, headers={"Authorization": authorization})
            assert response.status_code == 429, (resource, response.text)
            assert response.headers["Retry-After"] == "5"
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["Access-Control-Expose-Headers"] == "Retry-After"
            error = response.json()["error"]
            assert error["code"] == "RATE_LIMITED"
            assert "Retry-After" in error["fix"]
        assert await tenant.stored() == before
