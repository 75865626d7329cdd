"""Older Node SDKs, which know only the old names, and the states of preferences in place of deliveries."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from services.kernel.clock import utc_now
from tests.conformance.servers import effects
from tests.conformance.servers.node_calls import check_refusal
from tests.conformance.servers.sdk import init_node
from tests.conformance.servers.times import iso

if TYPE_CHECKING:
    from tests.conformance.servers.sdk import Answer, Sdk
    from tests.contract.services.world import Caller
    from tests.e2e.stack import Stack

# The first time, packages are downloaded.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


async def test_send_and_retract(older_node: Sdk, backend: Caller, user_id: str) -> None:
    """A send shows an item, the retraction takes it back."""
    answer = await send(older_node, user_id)

    assert (answer.status, answer.data["messages"]) == (200, [])
    (item,) = await effects.items(backend, user_id)
    assert (item.id, item.content.title) == (answer.data["trackingId"], "Hi")
    retraction = {"notificationId": "inapp_only", "userId": user_id}
    assert (await older_node.call("retract", retraction)).status == 200
    assert await effects.items(backend, user_id) == []


async def test_states(older_node: Sdk, backend: Caller, user_id: str) -> None:
    """A state switches a channel off and on, and a send that reaches nobody is not thrown."""
    for state, status, option in ((False, 202, "OFF"), (True, 200, "INSTANT")):
        choice = {"notificationId": "inapp_only", "channel": "INAPP_WEB", "state": state}
        assert (await older_node.call("setUserPreferences", user_id, [choice])).status == 200
        assert await effects.choices(backend, user_id) == [("inapp_only", "", "INAPP_WEB", option)]
        sent = await send(older_node, user_id)
        assert (sent.status, sent.thrown) == (status, None)


async def test_identify_user(older_node: Sdk, backend: Caller, user_id: str) -> None:
    """A user is stored."""
    profile = {"id": f"{user_id} ü/1", "email": "spongebob@squarepants.com", "number": "+15005550006"}
    assert (await older_node.call("identifyUser", profile)).status == 200

    stored = await effects.profile(backend, profile["id"])
    assert stored
    assert (stored.email, stored.number) == (profile["email"], profile["number"])


async def test_schedules(older_node: Sdk, backend: Caller, user_id: str) -> None:
    """A send for later is changed, then cancelled."""
    later = utc_now().replace(microsecond=0) + timedelta(days=1)
    tracking_id = (await send(older_node, user_id, schedule=iso(later))).data["trackingId"]

    changes = {"schedule": iso(later + timedelta(days=1)), "mergeTags": {"text": "Later"}}
    assert (await older_node.call("updateSchedule", tracking_id, changes)).status == 200
    assert (await effects.message(backend, tracking_id)).request.merge_tags["text"] == "Later"
    assert (await older_node.call("deleteSchedule", tracking_id)).status == 200
    assert await effects.deliveries(backend, tracking_id) == {"INAPP_WEB": "CANCELLED"}


async def test_a_wrong_secret(older_node: Sdk, stack: Stack, backend: Caller, user_id: str) -> None:
    """A wrong secret rejects the promise, with a response that says 401."""
    await init_node(older_node, stack, secret="wrong")
    try:
        check_refusal(await send(older_node, user_id), 401)
    finally:
        await init_node(older_node, stack)
    assert await effects.profile(backend, user_id) is None


async def send(node: Sdk, user_id: str, **fields: object) -> Answer:
    """Sends an item."""
    body = {"notificationId": "inapp_only", "user": {"id": user_id}, "mergeTags": {"text": "Hi"}} | fields
    return await node.call("send", body)
