"""Environment and web push subscription of a browser over the socket, through a real gateway and the real services."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import environments_pb2, users_pb2
from tests.contract.live.world import USER_ID

if TYPE_CHECKING:
    from tests.contract.live.world import Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


def subscription(name: str = "1", **change: Any) -> dict[str, Any]:
    """Gives a subscription as PushSubscription.toJSON does."""
    keys = {"p256dh": base64url(b"\4" + b"p" * 64), "auth": base64url(b"a" * 16)}
    return {"endpoint": f"https://push.example.com/{name}", "expirationTime": None, "keys": keys} | change


def base64url(key: bytes) -> str:
    """Writes a key as a browser does."""
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


async def held(tenant: Tenant, user_id: str = USER_ID) -> list[dict[str, Any]]:
    """Gives the subscriptions of a user, as the backend is told."""
    answer = await tenant.backend.users.GetUser(users_pb2.GetUserRequest(user_id=user_id))
    return [
        {"endpoint": one.endpoint, "keys": {"p256dh": one.keys.p256dh, "auth": one.keys.auth}}
        for one in answer.user.web_push_subscriptions
    ]


def stored(given: dict[str, Any]) -> dict[str, Any]:
    """Gives what is stored of a subscription."""
    return {name: given[name] for name in ("endpoint", "keys")}


async def test_a_browser_registers_itself_and_leaves(live: Live, tenant: Tenant) -> None:
    """A subscription is in the profile once it is answered, however often it is given, and not once it is removed."""
    one, other = subscription("1"), subscription("2")
    async with live.browser(tenant) as browser:
        for given in (one, other, one):
            answer = await browser.ask("add_web_push", subscription=given)
            assert answer.keys() == {"type", "ref"}
            assert answer["type"] == "result"
        assert await held(tenant) == [stored(other), stored(one)]

        for _ in range(2):
            answer = await browser.ask("remove_web_push", endpoint=one["endpoint"])
            assert answer.keys() == {"type", "ref"}
        assert await held(tenant) == [stored(other)]


async def test_a_browser_belongs_to_who_registered_it_last(live: Live, tenant: Tenant) -> None:
    """The next person at a browser takes its subscription from the last, and no other; nobody removes another's."""
    async with live.browser(tenant) as first, live.browser(tenant, "next") as following:
        for name in ("shared", "own"):
            await first.ask("add_web_push", subscription=subscription(name))

        await following.ask("remove_web_push", endpoint=subscription("own")["endpoint"])
        await following.ask("add_web_push", subscription=subscription("shared"))

        assert await held(tenant) == [stored(subscription("own"))]
        assert await held(tenant, "next") == [stored(subscription("shared"))]


async def test_keys_that_cannot_encrypt_are_warned_about(live: Live, tenant: Tenant) -> None:
    """A subscription whose keys are none is kept as it came, and the warning names the field of the frame."""
    bad = subscription(keys={"p256dh": "short", "auth": "short"})
    async with live.browser(tenant) as browser:
        answer = await browser.ask("add_web_push", subscription=bad)

        assert answer["type"] == "result"
        ((code, field),) = ((one["code"], one["field"]) for one in answer["warnings"])
        assert (code, field) == ("INVALID_PUSH_KEYS", "subscription.keys")
        assert await held(tenant) == [stored(bad)]


async def test_what_the_services_refuse_is_told_by_field(live: Live, tenant: Tenant) -> None:
    """An endpoint that is none is an error with its field, no strike, and registers nothing."""
    async with live.browser(tenant) as browser:
        for _ in range(4):
            error = await browser.ask("add_web_push", subscription=subscription(endpoint="http://push.example.com/1"))
            assert (error["type"], error["code"]) == ("error", "INVALID_REQUEST")
            assert error["field"] == "subscription.endpoint"
        # As long as the services take one.
        longest = subscription("x" * (2048 - len(subscription("")["endpoint"])))
        assert (await browser.ask("add_web_push", subscription=longest))["type"] == "result"

        assert await held(tenant) == [stored(longest)]


async def test_a_browser_is_told_of_its_environment(live: Live, tenant: Tenant) -> None:
    """Name and picture are told as they are at that moment; where web push is not configured, there is no key."""
    async with live.browser(tenant) as browser:
        before = await browser.ask("get_environment")
        named = environments_pb2.Environment(name="Krusty Krab", logo_url="https://example.com/logo.png")
        await tenant.backend.environments.UpdateEnvironment(
            environments_pb2.UpdateEnvironmentRequest(environment=named)
        )

        after = await browser.ask("get_environment")

        assert before.keys() <= {"type", "ref", "name"}
        expected = {"name": "Krusty Krab", "logo_url": "https://example.com/logo.png"}
        assert after == {"type": "result", "ref": after["ref"], **expected}
