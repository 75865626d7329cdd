"""What the other requests may not say: each refusal names everything that is wrong, and nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from carillon.v1 import inbox_pb2, preferences_pb2, sender_pb2, sub_notifications_pb2, users_pb2
from services.kernel.auth import basic_authorization
from tests.contract.services.bad_users import BAD_USERS, user
from tests.contract.services.methods import BUILT, METHODS, NEED_NOTHING, OPEN, Method
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import USER, send_request

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG_ID = "x" * 129
BAD_RETRACTIONS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({}, [("user_id", "REQUIRED"), ("notification_id", "REQUIRED")]),
    "no-narrowing": ({"user_id": USER, "secondary_id": "s"}, [("notification_id", "REQUIRED")]),
    "long-ids": (
        {
            "user_id": "x" * 257,
            "notification_id": LONG_ID,
            "sub_notification_id": LONG_ID,
            "secondary_id": LONG_ID,
            "group_id": LONG_ID,
            "tracking_ids": ["a", "", LONG_ID],
        },
        [
            ("user_id", "TOO_LONG"),
            ("sub_notification_id", "TOO_LONG"),
            ("secondary_id", "TOO_LONG"),
            ("notification_id", "TOO_LONG"),
            ("tracking_ids[1]", "REQUIRED"),
            ("tracking_ids[2]", "TOO_LONG"),
            ("group_id", "TOO_LONG"),
        ],
    ),
    "1001-tracking-ids": ({"user_id": USER, "tracking_ids": ["t"] * 1001}, [("tracking_ids", "TOO_MANY")]),
}

BAD_LISTS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "no-user": ({"user_id": ""}, [("user_id", "REQUIRED")]),
    "an-unknown-view": ({"view": 9}, [("view", "UNKNOWN_VALUE")]),
    "a-negative-size": ({"page_size": -1}, [("page_size", "OUT_OF_RANGE")]),
    "a-negative-skip": ({"skip": -1}, [("skip", "OUT_OF_RANGE")]),
    "a-large-skip": ({"skip": 10_001}, [("skip", "OUT_OF_RANGE")]),
    "skip-with-a-token": ({"skip": 1, "page_token": "x"}, [("skip", "CONFLICT")]),
    "a-time-beyond-the-calendar": ({"before_time": Timestamp(seconds=10**15)}, [("before_time", "OUT_OF_RANGE")]),
    "a-time-with-odd-nanos": ({"before_time": Timestamp(nanos=-1)}, [("before_time", "OUT_OF_RANGE")]),
    "long-filters": (
        {"filter": {"notification_ids": ["n"] * 101, "tags": ["t"] * 101}},
        [("filter.notification_ids", "TOO_MANY"), ("filter.tags", "TOO_MANY")],
    ),
    "garbage-as-a-token": ({"page_token": "garbage!"}, [("page_token", "PAGE_TOKEN_INVALID")]),
    "text-as-a-token": ({"page_token": "Z2FyYmFnZQ"}, [("page_token", "PAGE_TOKEN_INVALID")]),
}


@pytest.mark.parametrize("name", BAD_USERS)
async def test_a_bad_identification_stores_nothing(tenant: Tenant, name: str) -> None:
    """IdentifyUser refuses what Send refuses of a user."""
    bad, expected = BAD_USERS[name]
    before = await tenant.stored()

    refused = await refusal(tenant.backend.users.IdentifyUser(users_pb2.IdentifyUserRequest(user=bad)))

    assert_violates(refused, expected)
    assert await tenant.stored() == before


async def test_an_identification_with_everything_wrong(tenant: Tenant) -> None:
    """IdentifyUser names addresses that cannot be, unknown mask paths and empty removals at once."""
    request = users_pb2.IdentifyUserRequest(
        user=user(email="spongebob", number="911!", timezone="Mars/Olympus"),
        update_mask=FieldMask(paths=["email", "id", "push_tokens"]),
        remove_push_tokens=["t", ""],
        remove_web_push_endpoints=[""],
    )
    before = await tenant.stored()

    assert_violates(
        await refusal(tenant.backend.users.IdentifyUser(request)),
        [
            ("remove_push_tokens[1]", "REQUIRED"),
            ("remove_web_push_endpoints[0]", "REQUIRED"),
            ("user.email", "INVALID_ADDRESS"),
            ("user.number", "INVALID_ADDRESS"),
            ("user.timezone", "INVALID"),
            ("update_mask.paths[1]", "UNKNOWN_PATH"),
            ("update_mask.paths[2]", "UNKNOWN_PATH"),
        ],
    )
    assert await tenant.stored() == before


@pytest.mark.parametrize("name", BAD_RETRACTIONS)
async def test_a_bad_retraction_retracts_nothing(tenant: Tenant, name: str) -> None:
    """A retraction that does not say what it means is refused."""
    fields, expected = BAD_RETRACTIONS[name]
    await tenant.send(send_request())

    assert_violates(await refusal(tenant.backend.sender.Retract(sender_pb2.RetractRequest(**fields))), expected)
    assert len(await tenant.items(USER)) == 1


@pytest.mark.parametrize("name", BAD_LISTS)
async def test_a_bad_list_request_is_refused(tenant: Tenant, name: str) -> None:
    """ListInbox refuses what it does not know rather than answer something else."""
    fields, expected = BAD_LISTS[name]
    request = inbox_pb2.ListInboxRequest(**({"user_id": USER} | fields))

    assert_violates(await refusal(tenant.backend.inbox.ListInbox(request)), expected)


async def test_a_page_token_belongs_to_its_query(tenant: Tenant) -> None:
    """A token of another user, filter or method is refused."""
    await tenant.send(send_request(), send_request())
    first = inbox_pb2.ListInboxRequest(user_id=USER, page_size=1)
    token = (await tenant.backend.inbox.ListInbox(first)).next_page_token

    other_query = [("page_token", "PAGE_TOKEN_OTHER_QUERY")]
    for request in (
        inbox_pb2.ListInboxRequest(user_id="other"),
        inbox_pb2.ListInboxRequest(user_id=USER, filter=inbox_pb2.InboxFilter(unread=True)),
        inbox_pb2.ListInboxRequest(user_id=USER, view=inbox_pb2.INBOX_VIEW_ALL),
    ):
        request.page_token = token
        assert_violates(await refusal(tenant.backend.inbox.ListInbox(request)), other_query)
    of_another_method = preferences_pb2.GetPreferencesRequest(user_id=USER, page_token=token)
    assert_violates(await refusal(tenant.backend.preferences.GetPreferences(of_another_method)), other_query)


async def test_bad_preference_requests_are_refused(tenant: Tenant) -> None:
    """GetPreferences refuses an unknown scope, a bad size and a missing user at once."""
    get = tenant.backend.preferences.GetPreferences
    unknown: Any = 9
    request = preferences_pb2.GetPreferencesRequest

    assert_violates(
        await refusal(get(request(scope=unknown, page_size=-1))),
        [("user_id", "REQUIRED"), ("page_size", "OUT_OF_RANGE"), ("scope", "UNKNOWN_VALUE")],
    )


async def test_bad_parts_are_refused(tenant: Tenant) -> None:
    """A sub-notification needs a definition, an id that can be created and a title that fits."""
    parts = tenant.backend.sub_notifications
    put, delete = sub_notifications_pb2.PutSubNotificationRequest, sub_notifications_pb2.DeleteSubNotificationRequest
    before = await tenant.stored()

    assert_violates(
        await refusal(parts.PutSubNotification(put(sub_notification_id="a/b", title="x" * 257))),
        [("notification_id", "REQUIRED"), ("sub_notification_id", "INVALID_CHARACTERS"), ("title", "TOO_LONG")],
    )
    missing = await refusal(parts.PutSubNotification(put(notification_id="nowhere", sub_notification_id="p")))
    assert (missing.reason, missing.resource) == ("NOTIFICATION_NOT_FOUND", ("notification", "nowhere"))
    unknown = await refusal(
        parts.DeleteSubNotification(delete(notification_id="order_tracking", sub_notification_id="p"))
    )
    assert unknown.code is grpc.StatusCode.NOT_FOUND
    assert (unknown.reason, unknown.resource) == (
        "SUB_NOTIFICATION_NOT_FOUND",
        ("sub-notification", "order_tracking/p"),
    )
    assert await tenant.stored() == before


@pytest.mark.parametrize("method", [one for one in METHODS if one.name in BUILT], ids=lambda method: method.name)
async def test_every_built_method_refuses_garbage(tenant: Tenant, method: Method) -> None:
    """Every method refuses bytes that are no request of it, and an empty request, if it needs anything, with paths."""
    credentials = [basic_authorization(tenant.client_id, tenant.secret)]

    garbage = await refusal(method.call(tenant.channel, b"\xff\xff\xff\xff", credentials))
    assert garbage.reason == "UNDECODABLE_REQUEST"
    if method.name in NEED_NOTHING:
        await method.call(tenant.channel, b"", credentials)
        return

    empty = await refusal(method.call(tenant.channel, b"", credentials))
    if method.name in OPEN:
        # A token is who calls them, so that without one it is nobody.
        assert empty.reason == OPEN[method.name]
        return

    assert empty.reason == "INVALID_REQUEST"
    assert {reason for _, reason in empty.violations} == {"REQUIRED"}
