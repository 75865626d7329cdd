from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import inbox_pb2, sender_pb2
from tests.contract.services.requests import USER, definition, inapp, outcomes, send_request

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def retract(tenant: Tenant, **fields: Any) -> tuple[int, int]:
    """Retracts and gives how many items and deliveries that took."""
    answer = await tenant.backend.sender.Retract(sender_pb2.RetractRequest(**({"user_id": USER} | fields)))
    return answer.retracted_count, answer.cancelled_count


async def left(tenant: Tenant, user_id: str = USER) -> set[str]:
    """Gives the ids of the items that the user still sees."""
    return {item.id for item in await tenant.items(user_id)}


async def unread(tenant: Tenant) -> int:
    """Gives the user's badge."""
    answer = await tenant.backend.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=USER))
    return int(answer.unread_count)


async def test_by_notification(tenant: Tenant) -> None:
    """Every item of the notification goes, from list and badge; those of others stay."""
    await tenant.send(send_request(), send_request())
    (other,) = await tenant.send(send_request("hello_world"))

    assert await retract(tenant, notification_id="order_tracking") == (2, 0)
    assert await left(tenant) == {other.item_id}
    assert await unread(tenant) == 1


@pytest.mark.parametrize("narrowing", ["sub_notification_id", "secondary_id"])
async def test_either_id_matches_either_field(tenant: Tenant, narrowing: str) -> None:
    """Both narrowing ids find items by their sub-notification and by their secondary id, as the seeds have it."""
    plain, other, *_ = await tenant.send(
        send_request(),
        send_request(sub_notification_id="p2", secondary_id="s2"),
        send_request(sub_notification_id="p1"),
        send_request(secondary_id="p1"),
    )

    assert await retract(tenant, notification_id="order_tracking", **{narrowing: "p1"}) == (2, 0)
    assert await left(tenant) == {plain.item_id, other.item_id}


async def test_both_ids_narrow_each_other(tenant: Tenant) -> None:
    """An item must match both ids where both are given."""
    both, one = await tenant.send(
        send_request(sub_notification_id="p", secondary_id="s"), send_request(sub_notification_id="p")
    )

    narrowed = {"sub_notification_id": "p", "secondary_id": "s"}
    assert await retract(tenant, notification_id="order_tracking", **narrowed) == (1, 0)
    assert await left(tenant) == {one.item_id}
    assert both.item_id != one.item_id


async def test_by_tracking_ids(tenant: Tenant) -> None:
    """Exactly the named messages of this user go; unknown ids and those of others are passed over."""
    first, second, third = await tenant.send(send_request(), send_request(), send_request(user={"id": "other"}))

    ids = [first.tracking_id, third.tracking_id, "unknown"]
    assert await retract(tenant, tracking_ids=ids) == (1, 0)
    assert await left(tenant) == {second.item_id}
    assert await left(tenant, "other") == {third.item_id}


async def test_by_group(tenant: Tenant) -> None:
    """The items of one group go, whatever their notification."""
    _, _, other = await tenant.send(
        send_request(group_id="g"), send_request("hello_world", group_id="g"), send_request(group_id="h")
    )

    assert await retract(tenant, group_id="g") == (2, 0)
    assert await left(tenant) == {other.item_id}


async def test_several_selectors_narrow_each_other(tenant: Tenant) -> None:
    """Notification, group and tracking ids must all match."""
    first, second = await tenant.send(send_request(group_id="g"), send_request("hello_world", group_id="g"))

    assert await retract(tenant, group_id="g", notification_id="hello_world", tracking_ids=[first.tracking_id]) == (
        0,
        0,
    )
    assert await retract(tenant, group_id="g", notification_id="hello_world") == (1, 0)
    assert await left(tenant) == {first.item_id}
    assert second.item_id


async def test_nothing_there_is_ok(tenant: Tenant) -> None:
    """Retracting what never was, for a user or notification that nobody knows, is OK with a count of 0."""
    assert await retract(tenant, notification_id="order_tracking") == (0, 0)
    assert await retract(tenant, notification_id="nowhere", user_id="nobody") == (0, 0)


async def test_twice_takes_nothing_more(tenant: Tenant) -> None:
    """A retraction can be repeated; an item sent in between is a new one."""
    await tenant.send(send_request())
    assert await retract(tenant, notification_id="order_tracking") == (1, 0)
    assert await retract(tenant, notification_id="order_tracking") == (0, 0)

    (again,) = await tenant.send(send_request())
    assert await left(tenant) == {again.item_id}


async def test_other_users_keep_theirs(tenant: Tenant) -> None:
    """A retraction concerns one user, even where another's id begins the same."""
    await tenant.send(send_request())
    others = await tenant.send(send_request(user={"id": USER + "4"}), send_request(user={"id": USER.lower()}))

    assert await retract(tenant, notification_id="order_tracking", cancel_deliveries=True) == (1, 0)
    assert await left(tenant, USER + "4") == {others[0].item_id}
    assert await left(tenant, USER.lower()) == {others[1].item_id}


async def test_cancel_deliveries_takes_what_waits(tenant: Tenant) -> None:
    """With cancel_deliveries the other channels that wait are cancelled and counted, once; without, they are left."""
    addresses = {"email": "spongebob@squarepants.com", "number": "+15005550006"}
    (sent,) = await tenant.send(send_request(user=addresses))
    await tenant.send(send_request(user=addresses | {"id": "other"}))
    assert [outcomes(sent)[channel] for channel in ("EMAIL", "SMS")] == ["PENDING", "PENDING"]

    assert await retract(tenant, notification_id="order_tracking") == (1, 0)
    assert await retract(tenant, notification_id="hello_world", cancel_deliveries=True) == (0, 0)
    assert await retract(tenant, notification_id="order_tracking", cancel_deliveries=True) == (0, 2)
    assert await retract(tenant, notification_id="order_tracking", cancel_deliveries=True) == (0, 0)
    assert await retract(tenant, notification_id="order_tracking", cancel_deliveries=True, user_id="other") == (1, 2)


async def test_concurrent_retractions_count_each_item_once(tenant: Tenant) -> None:
    """However many retract the same items at once, the counts add up to the items."""
    await tenant.put(definition("plain", inapp()))
    await asyncio.gather(*(tenant.send(send_request("plain")) for _ in range(40)))

    counts = await asyncio.gather(*(retract(tenant, notification_id="plain") for _ in range(8)))

    assert sum(retracted for retracted, _ in counts) == 40
    assert await left(tenant) == set()
    assert await unread(tenant) == 0


async def test_more_than_one_slice_goes(tenant: Tenant) -> None:
    """A retraction of more items than one write takes leaves none."""
    await tenant.put(definition("plain", inapp()))
    for _ in range(6):
        await asyncio.gather(*(tenant.send(send_request("plain")) for _ in range(100)))

    assert await retract(tenant, notification_id="plain") == (600, 0)
    assert await left(tenant) == set()
