from __future__ import annotations

import json
from typing import Any

import pytest

from carillon.v1 import channel_pb2, preferences_pb2
from gateway.asks import (
    delete_preferences_to_proto,
    get_preferences_result,
    get_preferences_to_proto,
    patch_preferences_to_proto,
    preferences_result,
)
from gateway.fields import FrameError
from gateway.frames import encode, parse
from gateway.requests import (
    CHANNELS,
    DELIVERY_OPTIONS,
    SCOPES,
    DeletePreferences,
    GetPreferences,
    PatchPreferences,
    Preference,
)
from gateway.session import Limits

EMAIL, INAPP_WEB = channel_pb2.CHANNEL_EMAIL, channel_pb2.CHANNEL_INAPP_WEB
OFF, INSTANT, ON = (
    channel_pb2.DELIVERY_OPTION_OFF,
    channel_pb2.DELIVERY_OPTION_INSTANT,
    channel_pb2.DELIVERY_OPTION_ON,
)


def test_frames_have_the_words_of_the_contract() -> None:
    """Every channel, delivery option and scope of the contract can be said in a frame, and no other."""
    for enum, prefix, words in (
        (channel_pb2.Channel, "CHANNEL_", CHANNELS),
        (channel_pb2.DeliveryOption, "DELIVERY_OPTION_", DELIVERY_OPTIONS),
        (preferences_pb2.PreferenceScope, "PREFERENCE_SCOPE_", SCOPES),
    ):
        assert [name.removeprefix(prefix) for name in enum.keys()] == ["UNSPECIFIED", *words]  # noqa: SIM118 - no mapping


def test_a_request_for_preferences_is_read() -> None:
    """Asking for preferences needs no more than a ref; page and scope are read where they are given."""
    whole = {"type": "get_preferences", "ref": "1", "limit": 100, "page_token": "p", "scope": "RECEIVED"}

    assert parse('{"type":"get_preferences","ref":"1"}') == GetPreferences("1", limit=50)
    assert parse(json.dumps(whole)) == GetPreferences("1", 100, "p", "RECEIVED")


def test_a_patch_is_read() -> None:
    """A choice names its notification and its option, and a channel and a part where it is for less than all."""
    bare = {"notification_id": "n", "delivery_option": "ON"}
    exact = {"notification_id": "n", "channel": "EMAIL", "sub_notification_id": "s", "delivery_option": "OFF"}

    assert parse(json.dumps({"type": "patch_preferences", "ref": "1", "preferences": [bare, exact]})) == (
        PatchPreferences("1", (Preference("n", "ON"), Preference("n", "OFF", "EMAIL", "s")))
    )


def test_a_deletion_is_read() -> None:
    """Choices are forgotten of a notification, or of one part of it."""
    whole = {"type": "delete_preferences", "ref": "1", "notification_id": "n"}

    assert parse(json.dumps(whole)) == DeletePreferences("1", "n")
    assert parse(json.dumps(whole | {"sub_notification_id": "s"})) == DeletePreferences("1", "n", "s")


def patch(**change: Any) -> dict[str, Any]:
    """Gives a patch whose second choice is changed."""
    good = {"notification_id": "n", "delivery_option": "OFF"}
    return {"type": "patch_preferences", "ref": "1", "preferences": [good, good | change]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "get_preferences"}, "ref"),
        ({"type": "get_preferences", "ref": "1", "limit": 101}, "limit"),
        ({"type": "get_preferences", "ref": "1", "limit": 0}, "limit"),
        ({"type": "get_preferences", "ref": "1", "page_token": 1}, "page_token"),
        ({"type": "get_preferences", "ref": "1", "scope": "received"}, "scope"),
        ({"type": "patch_preferences", "preferences": []}, "ref"),
        ({"type": "patch_preferences", "ref": "1", "preferences": {}}, "preferences"),
        ({"type": "patch_preferences", "ref": "1", "preferences": [[]] * 1001}, "preferences"),
        ({"type": "patch_preferences", "ref": "1", "preferences": ["n"]}, "preferences[0]"),
        ({"type": "patch_preferences", "ref": "1", "preferences": [None]}, "preferences[0]"),
        (patch(notification_id=""), "preferences[1].notification_id"),
        (patch(notification_id=None), "preferences[1].notification_id"),
        (patch(notification_id="x" * 129), "preferences[1].notification_id"),
        (patch(channel="email"), "preferences[1].channel"),
        (patch(channel="UNSPECIFIED"), "preferences[1].channel"),
        (patch(channel=1), "preferences[1].channel"),
        (patch(sub_notification_id=7), "preferences[1].sub_notification_id"),
        (patch(sub_notification_id="x" * 129), "preferences[1].sub_notification_id"),
        (patch(delivery_option=None), "preferences[1].delivery_option"),
        (patch(delivery_option=""), "preferences[1].delivery_option"),
        (patch(delivery_option="NEVER"), "preferences[1].delivery_option"),
        ({"type": "delete_preferences", "notification_id": "n"}, "ref"),
        ({"type": "delete_preferences", "ref": "1"}, "notification_id"),
        ({"type": "delete_preferences", "ref": "1", "notification_id": ""}, "notification_id"),
        (
            {"type": "delete_preferences", "ref": "1", "notification_id": "n", "sub_notification_id": []},
            "sub_notification_id",
        ),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], field: str) -> None:
    """Each wrong field is refused by its path, and never taken for absent."""
    with pytest.raises(FrameError) as caught:
        parse(json.dumps(body))

    assert (caught.value.code, caught.value.field) == ("INVALID_FIELD", field)


def test_what_is_asked_reaches_the_services_whole() -> None:
    """Every field of a request has its place in the services' own, and the user of the session is named."""
    assert get_preferences_to_proto(GetPreferences("1"), "u") == preferences_pb2.GetPreferencesRequest(
        user_id="u", page_size=50
    )
    assert get_preferences_to_proto(
        GetPreferences("1", 7, "p", "RECEIVED"), "u"
    ) == preferences_pb2.GetPreferencesRequest(
        user_id="u", page_size=7, page_token="p", scope=preferences_pb2.PREFERENCE_SCOPE_RECEIVED
    )
    choices = (Preference("n", "ON"), Preference("n", "OFF", "EMAIL", "s"))
    assert patch_preferences_to_proto(PatchPreferences("1", choices), "u") == preferences_pb2.PatchPreferencesRequest(
        user_id="u",
        preferences=[
            preferences_pb2.Preference(notification_id="n", delivery_option=ON),
            preferences_pb2.Preference(
                notification_id="n", channel=EMAIL, sub_notification_id="s", delivery_option=OFF
            ),
        ],
    )
    assert delete_preferences_to_proto(
        DeletePreferences("1", "n", "s"), "u"
    ) == preferences_pb2.DeletePreferencesRequest(user_id="u", notification_id="n", sub_notification_id="s")


def test_preferences_are_answered_in_short_words() -> None:
    """Enums lose their prefix, and what is empty is left out, but for whether something was chosen."""
    channel = preferences_pb2.ChannelPreference(
        channel=INAPP_WEB,
        delivery_option=INSTANT,
        default_delivery_option=INSTANT,
        offered_delivery_options=[OFF, INSTANT],
    )
    answer = preferences_pb2.GetPreferencesResponse(
        preferences=[
            preferences_pb2.Preference(notification_id="n", delivery_option=OFF),
            preferences_pb2.Preference(
                notification_id="n", channel=EMAIL, sub_notification_id="s", delivery_option=OFF
            ),
        ],
        notifications=[
            preferences_pb2.NotificationPreference(notification_id="m", title="M", channels=[channel]),
            preferences_pb2.NotificationPreference(
                notification_id="n",
                title="N",
                section="Orders",
                category="shop",
                sub_notifications=[
                    preferences_pb2.SubNotificationPreference(sub_notification_id="s", title="S", channels=[channel])
                ],
            ),
        ],
        next_page_token="t",
    )
    channels = [
        {
            "channel": "INAPP_WEB",
            "delivery_option": "INSTANT",
            "chosen": False,
            "default_delivery_option": "INSTANT",
            "offered_delivery_options": ["OFF", "INSTANT"],
        }
    ]

    assert get_preferences_result(answer) == {
        "preferences": [
            {"notification_id": "n", "delivery_option": "OFF"},
            {"notification_id": "n", "channel": "EMAIL", "sub_notification_id": "s", "delivery_option": "OFF"},
        ],
        "notifications": [
            {"notification_id": "m", "title": "M", "channels": channels},
            {
                "notification_id": "n",
                "title": "N",
                "section": "Orders",
                "category": "shop",
                "sub_notifications": [{"sub_notification_id": "s", "title": "S", "channels": channels}],
            },
        ],
        "next_page_token": "t",
    }
    assert get_preferences_result(preferences_pb2.GetPreferencesResponse()) == {
        "preferences": [],
        "notifications": [],
        "next_page_token": "",
    }


def test_the_largest_result_fits_the_outbox() -> None:
    """1,000 choices, 100 notifications and 200 parts, each field as long as it may be, fit behind another frame."""
    channels = [
        preferences_pb2.ChannelPreference(
            channel=number,
            delivery_option=channel_pb2.DELIVERY_OPTION_MONTHLY,
            default_delivery_option=INSTANT,
            offered_delivery_options=[n for n in channel_pb2.DeliveryOption.values() if 0 < n < ON],
        )
        for number in channel_pb2.Channel.values()
        if number
    ]
    part = preferences_pb2.SubNotificationPreference(sub_notification_id="x" * 128, title="x" * 256, channels=channels)
    notification = preferences_pb2.NotificationPreference(
        notification_id="x" * 128,
        title="x" * 256,
        section="x" * 128,
        category="x" * 128,
        channels=channels,
        sub_notifications=[part] * 2,
    )
    choice = preferences_pb2.Preference(
        notification_id="x" * 128, channel=INAPP_WEB, sub_notification_id="x" * 128, delivery_option=INSTANT
    )
    answer = preferences_pb2.GetPreferencesResponse(
        preferences=[choice] * 1000, notifications=[notification] * 100, next_page_token="x" * 512
    )

    assert len(encode(get_preferences_result(answer))) < Limits().outbox_bytes
    assert len(encode(preferences_result(answer.preferences))) < Limits().outbox_bytes / 2
