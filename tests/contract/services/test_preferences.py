from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import channel_pb2, notifications_pb2, preferences_pb2, sub_notifications_pb2
from services.preferences.model import MAX_PARTS_OF_PAGE
from tests.contract.services.refusals import refusal
from tests.contract.services.requests import (
    CALL,
    EMAIL,
    INAPP_WEB,
    INSTANT,
    OFF,
    ON,
    PUSH,
    SMS,
    USER,
    definition,
    inapp,
    outcomes,
    send_request,
    sms,
)

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER = {"number": "+15005550006"}


def preference(
    notification_id: str = "order_tracking", *, channel: Any = 0, part: str = "", option: Any = OFF
) -> preferences_pb2.Preference:
    """Makes a choice: OFF, for all channels of the whole notification, where nothing else is said."""
    return preferences_pb2.Preference(
        notification_id=notification_id, channel=channel, sub_notification_id=part, delivery_option=option
    )


def settings(channel: Any, default: Any = INSTANT, offered: Any = ()) -> notifications_pb2.ChannelSettings:
    """Makes the settings of one channel of a definition."""
    return notifications_pb2.ChannelSettings(
        channel=channel, default_delivery_option=default, offered_delivery_options=offered
    )


async def choose(tenant: Tenant, *preferences: preferences_pb2.Preference) -> list[preferences_pb2.Preference]:
    """Sets the choices of the user and gives what is answered."""
    request = preferences_pb2.SetPreferencesRequest(user_id=USER, preferences=preferences)
    return list((await tenant.backend.preferences.SetPreferences(request)).preferences)


async def choices(tenant: Tenant, user_id: str = USER) -> list[preferences_pb2.Preference]:
    """Gives the choices of a user as they are stored."""
    request = preferences_pb2.GetPreferencesRequest(user_id=user_id)
    return list((await tenant.backend.preferences.GetPreferences(request)).preferences)


async def result(tenant: Tenant, channel: str, **fields: Any) -> str:
    """Sends and gives what becomes of one channel."""
    (answer,) = await tenant.send(send_request(**fields))
    return outcomes(answer)[channel]


async def test_a_muted_channel_gets_no_item(tenant: Tenant) -> None:
    """With INAPP_WEB off a send is OK and logged, makes no item, and the answer says why."""
    await choose(tenant, preference(channel=INAPP_WEB))

    (answer,) = await tenant.send(send_request(user=NUMBER))

    assert answer.tracking_id
    assert answer.item_id == ""
    assert outcomes(answer)["INAPP_WEB"] == "PREFERENCE_OFF"
    assert outcomes(answer)["SMS"] == "PENDING"
    assert await tenant.items(USER) == []
    assert (await tenant.stored())["messages"] == 1


async def test_a_muted_part_gets_no_item(tenant: Tenant) -> None:
    """With one sub-notification off only sends that name it are skipped."""
    await choose(tenant, preference(channel=INAPP_WEB, part="store_1"))

    assert await result(tenant, "INAPP_WEB", sub_notification_id="store_1") == "PREFERENCE_OFF"
    assert await tenant.items(USER) == []
    assert await result(tenant, "INAPP_WEB", sub_notification_id="store_2") == "DELIVERED"
    assert await result(tenant, "INAPP_WEB") == "DELIVERED"
    assert [item.sub_notification_id for item in await tenant.items(USER)] == ["", "store_2"]


async def test_off_on_the_whole_covers_the_parts(tenant: Tenant) -> None:
    """OFF on the notification holds for a sub-notification too, even one that is on by itself."""
    await choose(tenant, preference(channel=INAPP_WEB), preference(channel=INAPP_WEB, part="store_1", option=INSTANT))

    assert await result(tenant, "INAPP_WEB", sub_notification_id="store_1") == "PREFERENCE_OFF"


async def test_the_more_exact_choice_wins(tenant: Tenant) -> None:
    """A choice for one channel wins over the one for all channels."""
    await choose(tenant, preference(), preference(channel=INAPP_WEB, option=INSTANT))

    (answer,) = await tenant.send(send_request(user=NUMBER))

    assert outcomes(answer)["INAPP_WEB"] == "DELIVERED"
    assert outcomes(answer)["SMS"] == "PREFERENCE_OFF"


async def test_default_off_needs_a_choice(tenant: Tenant) -> None:
    """A channel that is off by default is skipped with DEFAULT_OFF until the user turns it on."""
    assert await result(tenant, "CALL", user=NUMBER) == "DEFAULT_OFF"

    await choose(tenant, preference(channel=CALL, option=ON))
    assert await result(tenant, "CALL", user=NUMBER) == "PENDING"


async def test_choices_of_one_user_do_not_reach_another(tenant: Tenant) -> None:
    """A choice concerns its user alone."""
    await choose(tenant, preference(channel=INAPP_WEB))

    assert await result(tenant, "INAPP_WEB", user={"id": "someone-else"}) == "DELIVERED"


async def test_force_channels_replaces_the_channels(tenant: Tenant) -> None:
    """Forced channels are the only ones; the definition's others are skipped with NOT_FORCED."""
    (answer,) = await tenant.send(send_request(user=NUMBER, force_channels=[SMS]))

    assert outcomes(answer) == {
        "EMAIL": "NOT_FORCED",
        "INAPP_WEB": "NOT_FORCED",
        "SMS": "PENDING",
        "CALL": "NOT_FORCED",
        "PUSH": "NOT_FORCED",
        "WEB_PUSH": "NOT_FORCED",
    }
    assert await tenant.items(USER) == []


async def test_force_channels_can_name_one_that_the_definition_lacks(tenant: Tenant) -> None:
    """A channel that the definition leaves out is planned where it has a template, and NO_TEMPLATE where not."""
    await tenant.put(definition("only-inapp", inapp(), sms()))

    (answer,) = await tenant.send(send_request("only-inapp", user=NUMBER, force_channels=[SMS, CALL]))

    assert outcomes(answer) == {"INAPP_WEB": "NOT_FORCED", "SMS": "PENDING", "CALL": "NO_TEMPLATE"}


async def test_force_channels_does_not_override_the_preference(tenant: Tenant) -> None:
    """A forced channel that the user muted stays silent, and so does one that is off by default."""
    await choose(tenant, preference(channel=INAPP_WEB))

    (answer,) = await tenant.send(send_request(user=NUMBER, force_channels=[INAPP_WEB, CALL]))

    assert outcomes(answer)["INAPP_WEB"] == "PREFERENCE_OFF"
    assert outcomes(answer)["CALL"] == "DEFAULT_OFF"
    assert await tenant.items(USER) == []


async def test_on_is_resolved_when_it_is_written(tenant: Tenant) -> None:
    """ON is stored as the default, or as INSTANT where the default is off, and is answered so."""
    answered = await choose(tenant, preference(channel=CALL, option=ON), preference(channel=SMS, option=ON))

    assert [(one.channel, one.delivery_option) for one in answered] == [(SMS, INSTANT), (CALL, INSTANT)]
    assert await choices(tenant) == answered


async def test_everything_wrong_with_choices_is_said_at_once(tenant: Tenant) -> None:
    """Unknown notifications, channels, options and repetitions are refused together, each with its path."""
    before = await tenant.stored()
    refused = await refusal(
        choose(
            tenant,
            preference("nowhere"),
            preference(""),
            preference(channel=99),
            preference(option=0),
            preference(option=99),
            preference(option=channel_pb2.DELIVERY_OPTION_DAILY, channel=SMS),
            preference(channel=EMAIL),
            preference(channel=EMAIL, option=INSTANT),
            preference(channel=PUSH, part="x" * 129),
        )
    )

    assert refused.reason == "INVALID_REQUEST"
    assert set(refused.violations) == {
        ("preferences[0].notification_id", "NOT_FOUND"),
        ("preferences[1].notification_id", "REQUIRED"),
        ("preferences[2].channel", "UNKNOWN_VALUE"),
        ("preferences[3].delivery_option", "REQUIRED"),
        ("preferences[4].delivery_option", "UNKNOWN_VALUE"),
        ("preferences[5].delivery_option", "NOT_OFFERED"),
        ("preferences[7]", "DUPLICATE"),
        ("preferences[8].sub_notification_id", "TOO_LONG"),
    }
    assert len(set(refused.violations)) == len(refused.violations)
    assert await tenant.stored() == before


async def test_what_offers_only_instant_cannot_be_muted(tenant: Tenant) -> None:
    """A definition that leaves OFF out of its offer refuses a choice of OFF."""
    await tenant.put(definition("alarm", inapp(), channels=[settings(INAPP_WEB, offered=[INSTANT])]))

    refused = await refusal(choose(tenant, preference("alarm")))

    assert refused.violations == (("preferences[0].delivery_option", "NOT_OFFERED"),)


async def test_a_channel_that_the_definition_lacks_is_kept(tenant: Tenant) -> None:
    """A choice for a channel that the definition lacks is stored, without effect on the others."""
    await tenant.put(definition("only-inapp", inapp()))

    await choose(tenant, preference("only-inapp", channel=SMS))

    assert [(one.notification_id, one.channel) for one in await choices(tenant)] == [("only-inapp", SMS)]
    (answer,) = await tenant.send(send_request("only-inapp"))
    assert outcomes(answer) == {"INAPP_WEB": "DELIVERED"}


async def test_at_most_1000_choices(tenant: Tenant) -> None:
    """1,000 choices are taken; more are refused, whatever they name, and replace nothing."""
    many = [preference(part=f"part-{i}") for i in range(1000)]
    await choose(tenant, *many)

    refused = await refusal(choose(tenant, *many, preference()))

    assert refused.violations == (("preferences", "TOO_MANY"),)
    assert len(await choices(tenant)) == 1000


async def test_a_flood_of_choices_is_refused_like_any_other(tenant: Tenant) -> None:
    """A request full of choices, each for another unknown notification, is refused by its count."""
    refused = await refusal(choose(tenant, *(preference(f"n{i}") for i in range(250_000))))

    assert refused.violations == (("preferences", "TOO_MANY"),)


async def test_set_replaces_the_choices_and_nothing_else(tenant: Tenant) -> None:
    """SetPreferences leaves only what it is given, an empty one nothing, and the profile as it was."""
    await tenant.send(send_request(user=NUMBER))
    await choose(tenant, preference(channel=SMS), preference("new_order"))
    await choose(tenant, preference(channel=EMAIL))
    assert [one.channel for one in await choices(tenant)] == [EMAIL]

    await choose(tenant)
    assert await choices(tenant) == []
    assert await result(tenant, "SMS") == "PENDING"


async def test_set_makes_the_user_known(tenant: Tenant) -> None:
    """SetPreferences of an unknown user creates them."""
    await choose(tenant, preference(channel=EMAIL))

    assert (await tenant.stored())["users"] == 1


async def test_effective_options_name_defaults_and_offers(tenant: Tenant) -> None:
    """GetPreferences tells for each channel of a definition what holds, whether it was chosen, and what is offered."""
    await tenant.put(
        definition("alarm", channels=[settings(INAPP_WEB, offered=[INSTANT]), settings(SMS, OFF)], section="urgent")
    )
    await choose(tenant, preference("alarm", channel=SMS, option=ON))

    answer = await tenant.backend.preferences.GetPreferences(preferences_pb2.GetPreferencesRequest(user_id=USER))

    (alarm,) = (one for one in answer.notifications if one.notification_id == "alarm")
    assert (alarm.title, alarm.section) == ("alarm", "urgent")
    assert alarm.HasField("create_time")
    assert list(alarm.channels) == [
        preferences_pb2.ChannelPreference(
            channel=INAPP_WEB,
            delivery_option=INSTANT,
            default_delivery_option=INSTANT,
            offered_delivery_options=[INSTANT],
        ),
        preferences_pb2.ChannelPreference(
            channel=SMS,
            delivery_option=INSTANT,
            chosen=True,
            default_delivery_option=OFF,
            offered_delivery_options=[OFF, INSTANT],
        ),
    ]


async def test_pages_have_every_notification_once(tenant: Tenant) -> None:
    """Pages of two have every definition once, by id, and the user's choices whole on each."""
    await tenant.put(*(definition(f"n{i}") for i in range(4)))
    await choose(tenant, preference(channel=EMAIL))

    found, token = [], ""
    while True:
        request = preferences_pb2.GetPreferencesRequest(user_id=USER, page_size=2, page_token=token)
        answer = await tenant.backend.preferences.GetPreferences(request)
        assert len(answer.notifications) <= 2
        assert len(answer.preferences) == 1
        found += [one.notification_id for one in answer.notifications]
        token = answer.next_page_token
        if not token:
            break

    assert found == ["hello_world", "n0", "n1", "n2", "n3", "new_order", "order_tracking"]


async def test_a_user_has_their_own_choices_only(tenant: Tenant) -> None:
    """A user sets and reads their own choices without naming themselves, and nobody else's."""
    own = tenant.user(USER).preferences
    await own.SetPreferences(preferences_pb2.SetPreferencesRequest(preferences=[preference(channel=EMAIL)]))

    assert len((await own.GetPreferences(preferences_pb2.GetPreferencesRequest(user_id=USER))).preferences) == 1
    assert len(await choices(tenant)) == 1
    for request in (
        own.SetPreferences(preferences_pb2.SetPreferencesRequest(user_id="someone-else")),
        own.GetPreferences(preferences_pb2.GetPreferencesRequest(user_id="someone-else")),
    ):
        assert (await refusal(request)).reason == "OTHER_USER"


async def test_parts_are_paged_too(tenant: Tenant) -> None:
    """A notification with more parts than a page has goes on in the next one; every part is there once."""
    await tenant.put(definition("n1"), definition("n2"), definition("n3"))
    counts = {"n1": 3, "n2": MAX_PARTS_OF_PAGE + 1, "n3": 1}
    expected = [(name, f"part-{i:03}") for name, count in counts.items() for i in range(count)]
    for name, part_id in expected:
        request = sub_notifications_pb2.PutSubNotificationRequest(notification_id=name, sub_notification_id=part_id)
        await tenant.backend.sub_notifications.PutSubNotification(request)
    last_part = f"part-{MAX_PARTS_OF_PAGE:03}"
    await choose(tenant, preference("n2", part=last_part))

    found: list[tuple[str, str]] = []
    chosen: list[str] = []
    pages, token = 0, ""
    while True:
        answer = await tenant.backend.preferences.GetPreferences(
            preferences_pb2.GetPreferencesRequest(user_id=USER, page_token=token)
        )
        parts = [(one.notification_id, part) for one in answer.notifications for part in one.sub_notifications]
        assert len(parts) <= MAX_PARTS_OF_PAGE
        found += [(name, part.sub_notification_id) for name, part in parts]
        chosen += [part.sub_notification_id for _, part in parts if part.channels[0].chosen]
        pages, token = pages + 1, answer.next_page_token
        if not token:
            break

    assert found == expected
    assert chosen == [last_part]
    assert pages == 2
