"""The seeds' own examples, value by value, as gRPC calls: proto JSON takes their objects almost as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format

from carillon.v1 import notifications_pb2, preferences_pb2, sender_pb2, sub_notifications_pb2, users_pb2
from tests.contract.services.requests import EMAIL, INAPP_WEB, INSTANT, OFF, ON, SMS, definition, outcomes, warnings

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

Json = dict[str, Any]

ORDER = {"item": "Krabby Patty Burger", "address": "124 Conch Street", "orderId": "1234567890"}
SPONGEBOB = {"id": "userId_123abc", "email": "spongebob@squarepants.com", "number": "+15005550006"}
TESTER = {"id": "123", "email": "test@test.com", "number": "+15005550006"}
SENDS = {
    "node": {"notificationId": "order_tracking", "user": SPONGEBOB, "mergeTags": ORDER},
    "python": {"notificationId": "order_tracking", "user": SPONGEBOB, "mergeTags": ORDER},
    "go": {
        "notificationId": "order_tracking",
        "user": {"id": "test_user_id", "email": "spongebob@squarepants.com"},
        "mergeTags": ORDER,
    },
    "node-hello": {"notificationId": "hello_world", "user": TESTER, "mergeTags": {"firstName": "test"}},
    "python-hello": {"notificationId": "hello_world", "user": TESTER, "mergeTags": {"firstName": "test"}},
    "go-hello": {"notificationId": "hello_world", "user": TESTER, "mergeTags": {"firstName": "Stranger"}},
}
TITLES = {
    "node": "Your Krabby Patty Burger is on its way",
    "python": "Your Krabby Patty Burger is on its way",
    "go": "Your Krabby Patty Burger is on its way",
    "node-hello": "Hello, test!",
    "python-hello": "Hello, test!",
    "go-hello": "Hello, Stranger!",
}
RETRACTIONS = {
    "node": {"notificationId": "order_tracking", "userId": "userId_123abc"},
    "python": {"notificationId": "order_tracking", "userId": "userId_123abc"},
    "go": {"notificationId": "order_tracking", "userId": "userId_123abc"},
    "node-hello": {"notificationId": "hello_world", "userId": "123"},
    "python-hello": {"notificationId": "hello_world", "userId": "123"},
    "go-hello": {"notificationId": "hello_world", "userId": "123"},
}
# From here on Node, Python and Go write the same values, each in its own syntax, so one call stands for all three.
CHOICES = [
    {"notificationId": "new_order", "channel": "INAPP_WEB", "state": False},
    {"notificationId": "order_tracking", "channel": "SMS", "state": True},
]
OLDER_CHOICES = [
    {"notificationId": "notificationId1", "channel": "EMAIL", "state": False},
    {"notificationId": "notificationId2", "channel": "SMS", "state": True},
]
ENDPOINT = "https://fcm.googleapis.com/fcm/send/fCs_4iba0Ao:APA91bGFdaU7I3****JMH_KeZwk1Xi"
KEYS = {"p256dh": "zP2xFu3hMc2vNH5E2nuKkyjpZydvCk9llRUY2kP4****9aSlKcoadSV2UbvMRQ", "auth": "CXEFun************tYe8g"}
DEVICE = {
    "app_id": "com.example.app",
    "ad_id": "1234567890",
    "device_id": "1234567890",
    "platform": "android",
    "manufacturer": "Samsung",
    "model": "SM-G930F",
}
IDENTITY = {
    "id": "userId_123abc",
    "email": "spongebob@squarepants.com",
    "number": "+15005550006",
    "pushTokens": [{"type": "FCM", "token": "samplePushToken", "device": DEVICE}],
    "webPushTokens": [{"sub": {"endpoint": ENDPOINT, "keys": KEYS}}],
}


def preference(seed: Json) -> Json:
    """Turns a choice of the seeds into ours: their state is ON or OFF."""
    return {
        "notificationId": seed["notificationId"],
        "channel": f"CHANNEL_{seed['channel']}",
        "deliveryOption": "DELIVERY_OPTION_ON" if seed["state"] else "DELIVERY_OPTION_OFF",
    }


def profile(seed: Json) -> Json:
    """Turns a user of the seeds into ours: their type is a provider, their sub a subscription."""
    tokens = [
        {"provider": f"PUSH_PROVIDER_{one['type']}", "token": one["token"], "device": one["device"]}
        for one in seed["pushTokens"]
    ]
    texts = {name: seed[name] for name in ("id", "email", "number")}
    return texts | {"pushTokens": tokens, "webPushSubscriptions": [one["sub"] for one in seed["webPushTokens"]]}


@pytest.mark.parametrize("language", SENDS)
async def test_send(tenant: Tenant, language: str) -> None:
    """The seeds' send puts a rendered item into the inbox, and every channel says what becomes of it."""
    seed: Any = SENDS[language]
    answer = await tenant.backend.sender.Send(json_format.ParseDict(seed, sender_pb2.SendRequest()))

    assert outcomes(answer) == {
        "EMAIL": "PENDING",
        "INAPP_WEB": "DELIVERED",
        "SMS": "PENDING" if "number" in seed["user"] else "NO_ADDRESS",
        "CALL": "DEFAULT_OFF",
        "PUSH": "NO_ADDRESS",
        "WEB_PUSH": "NO_ADDRESS",
    }
    assert warnings(answer) == []
    items = await tenant.items(seed["user"]["id"])
    assert [(item.id, item.content.title, item.unread) for item in items] == [(answer.item_id, TITLES[language], True)]


@pytest.mark.parametrize("language", SENDS)
async def test_send_makes_the_user_known(tenant: Tenant, language: str) -> None:
    """The addresses of the seeds' send are in the profile afterwards."""
    seed: Any = SENDS[language]
    await tenant.backend.sender.Send(json_format.ParseDict(seed, sender_pb2.SendRequest()))

    known = (await tenant.backend.users.GetUser(users_pb2.GetUserRequest(user_id=seed["user"]["id"]))).user
    assert {name: getattr(known, name) for name in seed["user"]} == seed["user"]


@pytest.mark.parametrize("language", RETRACTIONS)
async def test_retract(tenant: Tenant, language: str) -> None:
    """The seeds' retract empties the inbox of what the seeds' send put there, and of nothing else."""
    seed: Any = RETRACTIONS[language]
    other = "hello_world" if seed["notificationId"] == "order_tracking" else "order_tracking"
    for notification_id in (seed["notificationId"], other):
        request = {"notificationId": notification_id, "user": {"id": seed["userId"]}}
        await tenant.backend.sender.Send(json_format.ParseDict(request, sender_pb2.SendRequest()))

    answer = await tenant.backend.sender.Retract(json_format.ParseDict(seed, sender_pb2.RetractRequest()))

    assert answer.retracted_count == 1
    assert [item.notification_id for item in await tenant.items(seed["userId"])] == [other]


async def test_set_user_preferences(tenant: Tenant) -> None:
    """The seeds' setUserPreferences mutes one channel, resolves the other's ON, and shows what both come to."""
    request: Any = {"userId": "userId", "preferences": [preference(one) for one in CHOICES]}
    await tenant.backend.preferences.SetPreferences(
        json_format.ParseDict(request, preferences_pb2.SetPreferencesRequest())
    )

    answer = await tenant.backend.preferences.GetPreferences(preferences_pb2.GetPreferencesRequest(user_id="userId"))
    assert [(one.notification_id, one.channel, one.delivery_option) for one in answer.preferences] == [
        ("new_order", INAPP_WEB, OFF),
        ("order_tracking", SMS, INSTANT),
    ]
    effective = {
        (one.notification_id, channel.channel): (channel.delivery_option, channel.chosen)
        for one in answer.notifications
        for channel in one.channels
    }
    assert effective["new_order", INAPP_WEB] == (OFF, True)
    assert effective["order_tracking", SMS] == (INSTANT, True)
    assert effective["order_tracking", INAPP_WEB] == (INSTANT, False)


async def test_set_user_preferences_of_the_older_seed(tenant: Tenant) -> None:
    """The older setUserPreferences, which names two other notifications, is stored as given once these exist."""
    await tenant.put(
        definition("notificationId1", channels=(EMAIL,)),
        definition(
            "notificationId2",
            channels=[notifications_pb2.ChannelSettings(channel=SMS, default_delivery_option=OFF)],
        ),
    )
    request: Any = {"userId": "userId", "preferences": [preference(one) for one in OLDER_CHOICES]}
    answer = await tenant.backend.preferences.SetPreferences(
        json_format.ParseDict(request, preferences_pb2.SetPreferencesRequest())
    )

    assert ON not in {one.delivery_option for one in answer.preferences}
    assert [(one.notification_id, one.channel, one.delivery_option) for one in answer.preferences] == [
        ("notificationId1", EMAIL, OFF),
        ("notificationId2", SMS, INSTANT),
    ]


async def test_identify_user(tenant: Tenant) -> None:
    """The seeds' identifyUser stores address, device and the starred keys as given, and warns of these keys."""
    request: Any = {"user": profile(IDENTITY)}
    answer = await tenant.backend.users.IdentifyUser(json_format.ParseDict(request, users_pb2.IdentifyUserRequest()))

    assert warnings(answer) == [("INVALID_PUSH_KEYS", "user.web_push_subscriptions[0].keys")]
    known = (await tenant.backend.users.GetUser(users_pb2.GetUserRequest(user_id="userId_123abc"))).user
    assert (known.email, known.number) == ("spongebob@squarepants.com", "+15005550006")
    token, subscription = known.push_tokens[0], known.web_push_subscriptions[0]
    assert token.token == "samplePushToken"
    assert json_format.MessageToDict(token.device, preserving_proto_field_name=True) == DEVICE
    assert (subscription.endpoint, subscription.keys.p256dh, subscription.keys.auth) == (
        ENDPOINT,
        KEYS["p256dh"],
        KEYS["auth"],
    )


async def test_send_without_addresses_uses_the_identified_ones(tenant: Tenant) -> None:
    """After identifyUser a send that names only the id reaches mail, SMS, push and web push."""
    request: Any = {"user": profile(IDENTITY)}
    await tenant.backend.users.IdentifyUser(json_format.ParseDict(request, users_pb2.IdentifyUserRequest()))

    send: Any = {"notificationId": "order_tracking", "user": {"id": "userId_123abc"}, "mergeTags": ORDER}
    answer = await tenant.backend.sender.Send(json_format.ParseDict(send, sender_pb2.SendRequest()))

    assert outcomes(answer) == {
        "EMAIL": "PENDING",
        "INAPP_WEB": "DELIVERED",
        "SMS": "PENDING",
        "CALL": "DEFAULT_OFF",
        "PUSH": "PENDING",
        "WEB_PUSH": "PENDING",
    }


async def test_sub_notifications_of_the_csharp_class(tenant: Tenant) -> None:
    """What CreateSubNotification names is in the preferences with its title, until DeleteSubNotification."""
    created = await tenant.backend.sub_notifications.PutSubNotification(
        sub_notifications_pb2.PutSubNotificationRequest(
            notification_id="order_tracking", sub_notification_id="store_1", title="Store 1"
        )
    )
    assert (created.sub_notification.id, created.sub_notification.title) == ("store_1", "Store 1")
    assert await parts(tenant) == [("store_1", "Store 1")]

    await tenant.backend.sub_notifications.DeleteSubNotification(
        sub_notifications_pb2.DeleteSubNotificationRequest(
            notification_id="order_tracking", sub_notification_id="store_1"
        )
    )
    assert await parts(tenant) == []


async def parts(tenant: Tenant) -> list[tuple[str, str]]:
    """Gives the parts of order_tracking as a preference page sees them."""
    answer = await tenant.backend.preferences.GetPreferences(preferences_pb2.GetPreferencesRequest(user_id="userId"))
    (found,) = (one for one in answer.notifications if one.notification_id == "order_tracking")
    return [(part.sub_notification_id, part.title) for part in found.sub_notifications]
