"""What browsers and apps call: what it does, and how it is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import inbox_pb2, preferences_pb2, user_pb2, users_pb2
from services.kernel.clock import utc_now
from services.kernel.links import LinkTokens, UnsubscribeLink
from services.kernel.vocabulary import Channel
from tests.contract.gateway.notificationapi.world import ITEMS, UNREAD, USER_ID
from tests.contract.live.world import a_send
from tests.contract.services.requests import definition, inapp, send_request
from tests.contract.services.world import MASTER_KEY

if TYPE_CHECKING:
    from tests.contract.gateway.notificationapi.world import Api
    from tests.contract.live.world import Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

WHEN, LATER = "2026-01-02T12:00:00.678Z", "2026-01-02T13:00:00.000Z"
BROWSER = {
    "sub": {
        "endpoint": "https://push.example.com/1",
        "expirationTime": None,
        "keys": {
            "p256dh": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM",
            "auth": "tBHItJI5svbpez7KI4CCXg",
        },
    }
}
PHONE = {
    "type": "fcm",
    "token": "token-1",
    "device": {"app_id": "app", "ad_id": None, "device_id": "d1", "platform": "android", "manufactuer": "Google"},
}


async def item(api: Api) -> dict[str, Any]:
    """Gives the only item."""
    (one,) = (await api.get(ITEMS))["notifications"]
    assert isinstance(one, dict)
    return one


async def test_a_mark_has_the_time_that_it_is_given(api: Api, tenant: Tenant) -> None:
    """Each mark has its own time, and none gives another its own."""
    (sent,) = await tenant.send(send_request())
    marks = {"clicked": WHEN, "opened": LATER, "actioned2": WHEN, "reply": {"date": LATER, "message": "yes"}}

    await api.send("PATCH", ITEMS, {"trackingIds": [sent.tracking_id], **marks})

    assert (await item(api)).items() >= {
        "opened": LATER,
        "clicked": WHEN,
        "actioned2": WHEN,
    }.items()
    assert (await item(api))["replies"] == [{"date": LATER, "message": "yes"}]


async def test_a_mark_may_be_just_set(api: Api, tenant: Tenant) -> None:
    """True sets a mark now and false takes it back; a time in the future is now; a reply without a date is now."""
    (sent,) = await tenant.send(send_request())
    begin = utc_now() - timedelta(seconds=1)
    marks = {"opened": True, "archived": "2099-01-01T00:00:00Z", "reply": {"message": "yes"}}

    await api.send("PATCH", ITEMS, {"trackingIds": [sent.tracking_id], **marks})

    marked = await item(api)
    for time in (marked["opened"], marked["archived"], marked["replies"][0]["date"]):
        assert begin < datetime.fromisoformat(time) <= datetime.now(UTC)
    await api.send("PATCH", ITEMS, {"trackingIds": [sent.tracking_id], "archived": False})
    assert "archived" not in await item(api)


async def test_react_marks_a_thousand_items_at_once(api: Api, tenant: Tenant) -> None:
    """A thousand ids are taken, those that are not there passed over; more are refused; none is nothing to do."""
    (sent,) = await tenant.send(send_request())
    ids = [f"gone-{number}" for number in range(999)]

    await api.refused(400, "PATCH", ITEMS, json={"trackingIds": [*ids, "a", sent.tracking_id], "opened": WHEN})
    assert not (await item(api))["seen"]
    await api.send("PATCH", ITEMS, {"trackingIds": [*ids, sent.tracking_id], "opened": WHEN})
    assert (await item(api))["seen"]
    await api.send("PATCH", ITEMS, {"trackingIds": [], "opened": WHEN})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "opened"),
        ({"opened": "yesterday"}, "opened"),
        ({"opened": {}}, "opened"),
        ({"archived": ""}, "archived"),
        ({"opened": None, "clicked": WHEN}, "opened"),
        ({"opened": False, "reply": {"message": "yes"}}, "opened"),
        ({"reply": {}}, "reply.message"),
        ({"reply": {"message": ""}}, "reply.message"),
        ({"reply": {"message": "é" * 2049}}, "reply.message"),
        ({"reply": {"message": "yes", "date": "never"}}, "reply.date"),
        ({"trackingIds": "a"}, "trackingIds"),
        ({"trackingIds": [1], "opened": WHEN}, "trackingIds[0]"),
        ({"trackingIds": [""], "opened": WHEN}, "trackingIds[0]"),
        ({"trackingIds": None}, "trackingIds"),
    ],
)
async def test_wrong_marks_are_refused(api: Api, tenant: Tenant, change: dict[str, Any], field: str) -> None:
    """What is wrong is named as the caller wrote it, and nothing is marked."""
    (sent,) = await tenant.send(send_request())

    error = await api.refused(400, "PATCH", ITEMS, json={"trackingIds": [sent.tracking_id], **change})

    assert field in [one["field"] for one in error["fields"]]
    assert not (await item(api))["seen"]


async def test_all_or_one_are_read(api: Api, tenant: Tenant) -> None:
    """One is marked by its id, under either name; without an id all are."""
    sent = [one.tracking_id for one in await tenant.send(*[send_request()] * 4)]

    assert await api.send("PATCH", UNREAD, {"notificationId": sent[0]}) == {"success": True}
    assert await api.send("PATCH", UNREAD, {"trackingId": sent[1]}) == {"success": True}
    assert await api.get(UNREAD) == {"count": 2}
    assert {one["id"]: one["seen"] for one in (await api.get(ITEMS))["notifications"]} == dict(
        zip(sent, (True, True, False, False), strict=True)
    )
    assert (await api.call("PATCH", UNREAD)).json() == {"success": True}
    assert await api.get(UNREAD) == {"count": 0}
    assert all("opened" in one for one in (await api.get(ITEMS))["notifications"])


async def test_preferences_are_what_the_user_has_received_or_chosen(api: Api, tenant: Tenant) -> None:
    """Each channel has a record, also by default; the options are what is offered; parts come with theirs."""
    assert await api.get("preferences") == {"preferences": [], "notifications": [], "subNotifications": []}
    await tenant.put(definition("quiet", inapp()))
    await tenant.send(a_send("quiet"))
    await api.send("POST", "preferences", [{"notificationId": "order_tracking", "channel": "SMS", "delivery": "off"}])

    answer = await api.get("preferences")

    titles = {one["notificationId"]: one["title"] for one in answer["notifications"]}
    assert titles.keys() == {"quiet", "order_tracking"}
    assert answer["subNotifications"] == [{"notificationId": "quiet", "subNotificationId": "eu", "title": "eu"}]
    records = {
        (one["notificationId"], one.get("subNotificationId"), one["channel"]): one["delivery"]
        for one in answer["preferences"]
    }
    assert records["quiet", None, "INAPP_WEB"] == records["quiet", "eu", "INAPP_WEB"] == "instant"
    assert records["order_tracking", None, "SMS"] == records["order_tracking", None, "CALL"] == "off"
    assert len(records) == 8
    (quiet,) = [one for one in answer["notifications"] if one["notificationId"] == "quiet"]
    assert quiet["channels"] == ["INAPP_WEB"]
    assert quiet["options"] == {
        "INAPP_WEB": {
            "defaultDeliveryOption": "instant",
            "off": {"enabled": True},
            "instant": {"enabled": True},
        }
    }


async def test_choices_of_a_browser(api: Api, tenant: Tenant) -> None:
    """A list, wrapped or not, with deliveries or states; of one channel, of all, of a part; others stay."""
    await tenant.send(a_send())
    first = [{"notificationId": "order_tracking", "channel": "EMAIL", "delivery": "off"}]
    second = [
        {"notificationId": "order_tracking", "subNotificationId": "eu", "channel": "SMS", "state": False},
        {"notificationId": "new_order", "state": False},
    ]

    assert await api.send("POST", "preferences", first) == {"success": True}
    assert await api.send("POST", "preferences", {"preferences": second}) == {"success": True}

    off = {
        (one["notificationId"], one.get("subNotificationId"), one["channel"])
        for one in (await api.get("preferences"))["preferences"]
        if one["delivery"] == "off"
    }
    assert off >= {
        ("order_tracking", None, "EMAIL"),
        ("order_tracking", "eu", "EMAIL"),
        ("order_tracking", "eu", "SMS"),
        ("new_order", None, "EMAIL"),
        ("new_order", None, "INAPP_WEB"),
    }
    assert ("order_tracking", None, "SMS") not in off
    assert (await api.call("DELETE", "preferences", params={"notificationId": "order_tracking"})).status_code == 200
    assert [one.notification_id for one in await choices(tenant)] == ["new_order"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([{"notificationId": "order_tracking", "channel": "SLACK", "delivery": "off"}], "preferences[0].channel"),
        ([{"notificationId": "order_tracking", "channel": "SMS", "delivery": "never"}], "preferences[0].delivery"),
        ([{"notificationId": "order_tracking", "channel": "SMS", "delivery": "daily"}], "preferences[0].delivery"),
        ([{"notificationId": "order_tracking", "channel": "SMS"}], "preferences[0].delivery"),
        ([{"notificationId": "nothing", "delivery": "off"}], "preferences[0].notificationId"),
        ([{"notificationId": "", "delivery": "off"}], "preferences[0].notificationId"),
        ([{"delivery": "off"}], "preferences[0].notificationId"),
        ([], "preferences"),
        ({}, "preferences"),
        ({"preferences": None}, "preferences"),
    ],
)
async def test_wrong_choices_of_a_browser_are_refused(api: Api, tenant: Tenant, body: Any, field: str) -> None:
    """What is wrong is named, and nothing is stored."""
    before = await tenant.stored()

    error = await api.refused(400, "POST", "preferences", json=body)

    assert field in [one["field"] for one in error["fields"]]
    assert await tenant.stored() == before


async def choices(tenant: Tenant) -> list[preferences_pb2.Preference]:
    """Gives what the user has chosen."""
    asked = preferences_pb2.GetPreferencesRequest(user_id=USER_ID)
    return list((await tenant.backend.preferences.GetPreferences(asked)).preferences)


async def test_a_user_is_stored_and_given_back(api: Api, tenant: Tenant) -> None:
    """Identify stores what is given, merges tokens, leaves the rest, and answers the user as stored."""
    assert await api.get() == {"id": USER_ID}
    first = {"id": USER_ID, "email": "a@example.com", "number": "(415) 555-1212", "pushTokens": [PHONE]}

    stored = await api.send("POST", "", first)

    device = {"app_id": "app", "device_id": "d1", "platform": "android", "manufacturer": "Google"}
    phone = {"type": "FCM", "token": "token-1", "device": device}
    assert stored.pop("createdAt").endswith("Z")
    assert stored.pop("updatedAt").endswith("Z")
    assert stored == {"id": USER_ID, "email": "a@example.com", "number": "+14155551212", "pushTokens": [phone]}
    second = {"email": "", "number": None, "timezone": "Europe/Berlin", "webPushTokens": [BROWSER], "slackToken": None}
    stored = await api.send("POST", "", second | {"lastSeenTime": WHEN, "whatever": [1]})
    assert stored["email"] == "a@example.com"
    assert stored["number"] == "+14155551212"
    assert stored["timezone"] == "Europe/Berlin"
    assert stored["pushTokens"] == [phone]
    keys = BROWSER["sub"]["keys"]
    assert stored["webPushTokens"] == [{"sub": {"endpoint": "https://push.example.com/1", "keys": keys}}]
    assert await api.get() == stored
    asked = users_pb2.GetUserRequest(user_id=USER_ID)
    known = (await tenant.backend.users.GetUser(asked)).user
    assert known.web_push_subscriptions[0].worker == user_pb2.WEB_PUSH_WORKER_NOTIFICATIONAPI
    ios = {"type": "APN", "token": "token-2", "device": None, "environment": "sandbox"}
    tokens = (await api.send("POST", "?hashedUserId=anything", {"pushTokens": [ios]}))["pushTokens"]
    assert [one["token"] for one in tokens] == ["token-1", "token-2"]
    assert tokens[1]["environment"] == "sandbox"


async def test_an_empty_identify_creates_the_user(api: Api, tenant: Tenant) -> None:
    """React identifies with nothing on every mount; a body may be missing."""
    assert (await api.send("POST", "", {}))["id"] == USER_ID
    assert (await api.call("POST", "")).json()["id"] == USER_ID
    assert (await tenant.stored())["users"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"email": 1}, "email"),
        ({"number": "no number"}, "number"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"id": "somebody else"}, "id"),
        ({"pushTokens": {}}, "pushTokens"),
        ({"pushTokens": [{"type": "ADM", "token": "t"}]}, "pushTokens[0].type"),
        ({"pushTokens": [{"type": "FCM", "token": ""}]}, "pushTokens[0].token"),
        ({"pushTokens": [PHONE | {"token": "t" * 4097}]}, "pushTokens[0].token"),
        ({"pushTokens": [PHONE | {"token": str(i)} for i in range(51)]}, "pushTokens"),
        ({"webPushTokens": [{"sub": {"endpoint": "https://a.example"}}]}, "webPushTokens[0].sub.keys"),
        ({"webPushTokens": [{"sub": BROWSER["sub"] | {"endpoint": "http://a"}}]}, "webPushTokens[0].sub.endpoint"),
    ],
)
async def test_a_wrong_user_is_refused(api: Api, tenant: Tenant, body: dict[str, Any], field: str) -> None:
    """What is wrong is named, and nothing of it is stored."""
    error = await api.refused(400, "POST", "", json=body)

    assert field in [one["field"] for one in error["fields"]]
    assert (await tenant.stored())["users"] == 0


async def test_nobody_reaches_for_another(api: Api, tenant: Tenant) -> None:
    """Whatever a user asks of another is a 403 in the one shape, and does nothing; an account may."""
    await tenant.send(send_request(user={"id": "anna"}))
    await tenant.backend.users.IdentifyUser(
        users_pb2.IdentifyUserRequest(user=user_pb2.User(id="anna", email="a@b.de"))
    )
    (item_of_anna,) = await tenant.items("anna")
    choice = {"notificationId": "order_tracking", "delivery": "off"}
    calls: list[tuple[str, str, Any]] = [
        ("GET", ITEMS, None),
        ("PATCH", ITEMS, {"trackingIds": [item_of_anna.id], "opened": WHEN}),
        ("PATCH", ITEMS, {"trackingIds": []}),
        ("GET", UNREAD, None),
        ("PATCH", UNREAD, {}),
        ("GET", "preferences", None),
        ("POST", "preferences", [choice]),
        ("DELETE", "preferences?notificationId=order_tracking", None),
        ("GET", "", None),
        ("POST", "", {"email": "evil@b.de"}),
        ("GET", "account_metadata", None),
        ("GET", "slack/channels", None),
        ("GET", "validateUser", None),
        ("GET", "validateUserWithRequest", None),
        ("POST", "unsubscribe?channel=EMAIL", None),
    ]
    before = await tenant.stored()

    for method, resource, body in calls:
        error = await api.about("anna").refused(403, method, resource, **({} if body is None else {"json": body}))
        assert error["code"] == "OTHER_USER", resource

    assert await tenant.stored() == before
    assert (await tenant.items("anna")) == [item_of_anna]
    anna = await api.as_account().about("anna").get()
    assert anna["email"] == "a@b.de"


async def test_credentials_are_checked(api: Api) -> None:
    """The two routes that only check are 200 by a hash and by the secret, and 401 by a wrong one."""
    for resource in ("validateUser", "validateUserWithRequest"):
        assert await api.get(resource) == {"success": True}
        assert await api.as_account().get(resource) == {"success": True}
        error = await api.by("Basic bm9ib2R5Om5vYm9keTpub2JvZHk=").refused(403, "GET", resource)
        assert error["code"] == "OTHER_CLIENT"


async def test_there_is_no_slack(api: Api) -> None:
    """Core gets JSON that says what to do."""
    assert (await api.refused(404, "GET", "slack/channels"))["code"] == "NOT_SUPPORTED"


async def test_a_channel_is_turned_off(api: Api, tenant: Tenant) -> None:
    """One notification where it is named, else all that the user has had or chosen, and may turn off."""
    await tenant.send(send_request(), send_request("new_order"))

    assert (await api.call("POST", "unsubscribe?channel=EMAIL&notificationId=hello_world")).json() == {"success": True}
    assert [one.notification_id for one in await choices(tenant)] == ["hello_world"]
    assert (await api.call("POST", "unsubscribe?channel=EMAIL")).json() == {"success": True}
    assert [(one.notification_id, one.channel, one.delivery_option) for one in await choices(tenant)] == [
        (name, 1, 1) for name in ("hello_world", "new_order", "order_tracking")
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "channel"),
        ("channel=", "channel"),
        ("channel=SLACK", "channel"),
        ("channel=EMAIL&notificationId=nothing", "notificationId"),
    ],
)
async def test_a_channel_that_is_none_is_refused(api: Api, query: str, field: str) -> None:
    """Without a token the channel must be named, and what is named must be there."""
    error = await api.refused(400, "POST", f"unsubscribe?{query}")

    assert field in [one["field"] for one in error["fields"]]


async def test_the_token_of_a_mail_needs_nothing_else(api: Api, tenant: Tenant) -> None:
    """By it the one channel of the one notification is off; a wrong one is 401."""
    link = UnsubscribeLink(tenant.client_id, USER_ID, "order_tracking", "", Channel.EMAIL)
    token = LinkTokens(MASTER_KEY).write(link)
    await tenant.send(send_request())
    stranger = api.by("")

    assert (await stranger.call("POST", "unsubscribe", params={"token": token})).json() == {"success": True}

    assert [(one.notification_id, one.channel, one.delivery_option) for one in await choices(tenant)] == [
        ("order_tracking", 1, 1)
    ]
    await stranger.refused(401, "POST", "unsubscribe", params={"token": "wrong"})


async def test_a_page_of_large_items(api: Api, live: Live, tenant: Tenant) -> None:
    """Items that are more together than an answer of the services may have come all the same."""
    await tenant.put(
        definition("large", inapp(title="{{ text }}", body="{{ text }}", url="/{{ text | slice: 0, 2000 }}"))
    )
    (sent,) = await tenant.send(send_request("large", merge_tags={"text": "x" * 8100}))
    messages = live.world.database.messages
    one = await messages.find_one({"_id.e": tenant.client_id, "_id.m": sent.tracking_id})
    await messages.insert_many([one | {"_id": one["_id"] | {"m": f"copy-{i:04d}"}} for i in range(999)])

    answer = await api.get(ITEMS, count=1000)

    assert len(answer["notifications"]) == 1000
    asked = inbox_pb2.CountUnreadRequest(user_id=USER_ID)
    assert (await tenant.backend.inbox.CountUnread(asked)).unread_count == 1000
