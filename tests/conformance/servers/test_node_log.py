"""What the Node SDK asks of the account: the log, sub-notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from services.kernel.clock import utc_now
from tests.conformance.servers import effects
from tests.conformance.servers.node_calls import check_refusal, send

if TYPE_CHECKING:
    from tests.conformance.servers.sdk import Sdk
    from tests.contract.services.world import Caller

# The first time, packages are downloaded.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

Json = dict[str, Any]


# --- The log ---


async def test_query_logs(node: Sdk, user_id: str) -> None:
    """Each filter finds the send that it is about, and not the other one."""
    one, other = [(await send(node, name)).data["trackingId"] for name in (user_id, f"{user_id} other")]
    now_ms = round(utc_now().timestamp() * 1000)
    mine: Json = {"userFilter": [user_id]}

    for query, ids in (
        (mine, [one]),
        ({"trackingIds": [other]}, [other]),
        ({**mine, "trackingIds": [other]}, []),
        ({**mine, "notificationFilter": ["inapp_only"]}, [one]),
        ({**mine, "notificationFilter": ["hello_world"]}, []),
        ({**mine, "channelFilter": ["INAPP_WEB"]}, [one]),
        ({**mine, "channelFilter": ["EMAIL"]}, []),
        ({**mine, "dateRangeFilter": {"startTime": now_ms - 600_000, "endTime": now_ms + 600_000}}, [one]),
        ({**mine, "dateRangeFilter": {"startTime": now_ms + 600_000}}, []),
        ({**mine, "dateRangeFilter": {"endTime": now_ms - 600_000}}, []),
        ({**mine, "statusFilter": ["SUCCESS"]}, [one]),
        ({**mine, "statusFilter": ["FAILURE"]}, []),
    ):
        answer = await node.call("queryLogs", query)
        assert answer.status == 200, answer
        assert [entry["trackingId"] for entry in answer.data["logs"]] == ids, query


@pytest.mark.parametrize(
    "query",
    [
        {"customFilter": "fields @message | filter request.user.email like /com/ | sort @timestamp desc"},
        {"requestFilter": ['request.mergeTags.item="Krabby Patty Burger"']},
        {"channelFilter": ["PIGEON"]},
        {"userFilter": "one"},
        {"dateRangeFilter": {"startTime": "yesterday"}},
    ],
    ids=str,
)
async def test_query_logs_for_what_it_cannot_tell(node: Sdk, query: Json) -> None:
    """A filter that is not applied is refused, never left out."""
    check_refusal(await node.call("queryLogs", query), 400)


# --- Sub-notifications ---


async def test_sub_notifications(node: Sdk, backend: Caller) -> None:
    """One is made, renamed and deleted; to delete it again is a 404."""
    names = {"notificationId": "inapp_only", "subNotificationId": "node_part"}

    made = await node.call("createSubNotification", {**names, "title": "Part"})
    assert (made.status, made.data["subNotificationId"], made.data["title"]) == (200, "node_part", "Part")
    assert (await node.call("createSubNotification", {**names, "title": "Renamed"})).status == 200
    assert (await effects.parts(backend, "inapp_only"))["node_part"] == "Renamed"

    assert (await node.call("deleteSubNotification", names)).status == 204
    assert "node_part" not in await effects.parts(backend, "inapp_only")
    check_refusal(await node.call("deleteSubNotification", names), 404)


async def test_sub_notification_of_nothing(node: Sdk) -> None:
    """A sub-notification needs a notification, and a title."""
    names = {"notificationId": "no_such_thing", "subNotificationId": "part"}
    check_refusal(await node.call("createSubNotification", {**names, "title": "Part"}), 404)
    check_refusal(await node.call("createSubNotification", {**names, "notificationId": "inapp_only", "title": 7}), 400)
