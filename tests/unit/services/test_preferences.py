from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.v1 import channel_pb2, preferences_pb2
from services.kernel.validation import Violations
from services.kernel.vocabulary import Channel, DeliveryOption
from services.notifications.convert import CHANNELS, OPTIONS
from services.notifications.model import ChannelSettings
from services.preferences.convert import effective_to_proto, preference_to_proto, preferences_from_proto
from services.preferences.model import MAX_PREFERENCES, Choices, Preference
from services.sub_notifications.model import SubNotification
from tests.unit.services.builders import NOW, choices, notification, reasons, recorded

EMAIL, INAPP, SMS = list(Channel)[:3]
OFF, INSTANT, HOURLY, DAILY = list(DeliveryOption)[:4]
ON = channel_pb2.DELIVERY_OPTION_ON

# A definition of three channels: as usual, off by default, and with options that are to come.
DEFINITION = notification(
    channels=(
        ChannelSettings(EMAIL),
        ChannelSettings(INAPP, OFF),
        ChannelSettings(SMS, DAILY, (OFF, INSTANT, DAILY)),
    )
)
DEFINITIONS = {DEFINITION.id: DEFINITION}


def proto(
    option: int = channel_pb2.DELIVERY_OPTION_OFF, channel: int = 0, sub: str = "", notification_id: str = DEFINITION.id
) -> preferences_pb2.Preference:
    """Makes a choice as it comes."""
    made = preferences_pb2.Preference(notification_id=notification_id, sub_notification_id=sub)
    made.channel = channel  # type: ignore[assignment] # any number, as on the wire
    made.delivery_option = option  # type: ignore[assignment] # as above
    return made


@pytest.mark.parametrize(
    ("chosen", "sub", "expected"),
    [
        ([], "", None),
        ([], "eu", None),
        ([("", None, OFF)], "", OFF),
        ([("", EMAIL, OFF)], "", OFF),
        ([("", INAPP, OFF)], "", None),
        # The channel's own choice wins over the one for all.
        ([("", None, OFF), ("", EMAIL, INSTANT)], "", INSTANT),
        ([("", None, INSTANT), ("", EMAIL, OFF)], "", OFF),
        # OFF on the whole covers the parts.
        ([("", EMAIL, OFF), ("eu", EMAIL, INSTANT)], "eu", OFF),
        ([("", None, OFF), ("eu", EMAIL, INSTANT)], "eu", OFF),
        ([("", None, OFF), ("", EMAIL, INSTANT), ("eu", EMAIL, HOURLY)], "eu", HOURLY),
        # Else the part's choice goes first, and the whole's is what remains.
        ([("", EMAIL, INSTANT), ("eu", EMAIL, OFF)], "eu", OFF),
        ([("", EMAIL, INSTANT), ("eu", None, OFF)], "eu", OFF),
        ([("", EMAIL, INSTANT), ("eu", None, OFF), ("eu", EMAIL, DAILY)], "eu", DAILY),
        ([("", EMAIL, HOURLY)], "eu", HOURLY),
        ([("eu", EMAIL, OFF)], "us", None),
        ([("eu", EMAIL, OFF)], "", None),
        ([("eu", INAPP, OFF)], "eu", None),
    ],
)
def test_the_more_exact_choice_wins(
    chosen: list[tuple[str, Channel | None, DeliveryOption]], sub: str, expected: DeliveryOption | None
) -> None:
    """OFF on the whole covers the parts; else the part goes before the whole, and a channel before all channels."""
    assert choices(*chosen).choice(DEFINITION.id, sub, EMAIL) is expected


def test_a_choice_is_for_one_notification() -> None:
    """A choice for another notification does not count."""
    assert choices(("", None, OFF)).choice("another", "", EMAIL) is None


@pytest.mark.parametrize(
    ("channel", "expected"),
    [(EMAIL, INSTANT), (INAPP, INSTANT), (SMS, DAILY), (Channel.PUSH, INSTANT), (None, INSTANT)],
)
def test_on_is_resolved(channel: Channel | None, expected: DeliveryOption) -> None:
    """ON is the channel's default, or INSTANT where that is OFF, where it is left out or where the channels differ."""
    violations = Violations()

    (read,) = preferences_from_proto([proto(ON, CHANNELS.to_wire(channel) if channel else 0)], DEFINITIONS, violations)

    assert not violations
    assert read == Preference(DEFINITION.id, channel, "", expected)


def test_on_for_all_channels_is_their_common_default() -> None:
    """Where the channels agree, ON for all of them is what they agree on."""
    agreed = notification(channels=(ChannelSettings(EMAIL, DAILY, (DAILY,)), ChannelSettings(SMS, DAILY, (OFF, DAILY))))

    (read,) = preferences_from_proto([proto(ON)], {agreed.id: agreed}, Violations())

    assert read.delivery_option is DAILY


def test_choices_are_sorted_and_round_trip() -> None:
    """Choices come back by notification, part and channel, all channels first, and as they were given."""
    given_choices = [
        proto(channel_pb2.DELIVERY_OPTION_INSTANT, channel_pb2.CHANNEL_SMS, "eu"),
        proto(channel_pb2.DELIVERY_OPTION_OFF, channel_pb2.CHANNEL_INAPP_WEB),
        proto(channel_pb2.DELIVERY_OPTION_OFF, channel_pb2.CHANNEL_EMAIL),
        proto(channel_pb2.DELIVERY_OPTION_INSTANT),
    ]
    violations = Violations()

    read = preferences_from_proto(given_choices, DEFINITIONS, violations)

    assert not violations
    assert [preference_to_proto(one) for one in read] == given_choices[::-1]


@pytest.mark.parametrize(
    ("protos", "expected"),
    [
        ([proto(notification_id="")], {"preferences[0].notification_id": "REQUIRED"}),
        ([proto(notification_id="gone")], {"preferences[0].notification_id": "NOT_FOUND"}),
        ([proto(notification_id="a" * 129)], {"preferences[0].notification_id": "NOT_FOUND"}),
        ([proto(option=0)], {"preferences[0].delivery_option": "REQUIRED"}),
        ([proto(option=99)], {"preferences[0].delivery_option": "UNKNOWN_VALUE"}),
        ([proto(channel=99)], {"preferences[0].channel": "UNKNOWN_VALUE"}),
        ([proto(sub="a" * 129)], {"preferences[0].sub_notification_id": "TOO_LONG"}),
        ([proto(), proto(sub="eu"), proto()], {"preferences[2]": "DUPLICATE"}),
        ([proto(channel_pb2.DELIVERY_OPTION_DAILY, 1)], {"preferences[0].delivery_option": "NOT_OFFERED"}),
        ([proto(channel_pb2.DELIVERY_OPTION_DAILY)], {"preferences[0].delivery_option": "NOT_OFFERED"}),
        ([proto()] * (MAX_PREFERENCES + 1), {"preferences": "TOO_MANY"}),
        (
            [proto(0, 99, "a" * 129, "gone")],
            {
                "preferences[0].notification_id": "NOT_FOUND",
                "preferences[0].sub_notification_id": "TOO_LONG",
                "preferences[0].channel": "UNKNOWN_VALUE",
                "preferences[0].delivery_option": "REQUIRED",
            },
        ),
    ],
)
def test_what_cannot_be_chosen_is_a_violation(
    protos: list[preferences_pb2.Preference], expected: dict[str, str]
) -> None:
    """Every rule about a choice names its field, all at once."""
    violations = Violations()

    preferences_from_proto(protos, DEFINITIONS, violations)

    assert reasons(violations) == expected


def test_a_definition_that_offers_only_instant_cannot_be_muted() -> None:
    """OFF is refused where it is not offered, and the violation says what is."""
    always = notification(channels=(ChannelSettings(EMAIL, INSTANT, (INSTANT,)), ChannelSettings(SMS)))
    violations = Violations()

    preferences_from_proto([proto()], {always.id: always}, violations)

    assert [one.description for one in recorded(violations)] == ["is OFF, but EMAIL offers only INSTANT"]


def test_a_channel_that_the_definition_lacks_is_kept() -> None:
    """A choice for a channel that the definition leaves out is kept, and has no effect."""
    violations = Violations()

    read = preferences_from_proto([proto(channel=channel_pb2.CHANNEL_PUSH)], DEFINITIONS, violations)

    assert not violations
    assert Choices(read).choice(DEFINITION.id, "", EMAIL) is None


def test_the_answer_says_what_is_in_effect() -> None:
    """Each channel has what the user gets, whether they chose it, the default and what is offered; so has each part."""
    answer = effective_to_proto(
        DEFINITION,
        [SubNotification(DEFINITION.id, "eu", "Europe", NOW, NOW)],
        choices(("", SMS, OFF), ("eu", EMAIL, OFF)),
    )

    def shown(channels: object) -> list[tuple[str, str, bool, str]]:
        return [
            (
                channel_pb2.Channel.Name(one.channel).removeprefix("CHANNEL_"),
                channel_pb2.DeliveryOption.Name(one.delivery_option).removeprefix("DELIVERY_OPTION_"),
                one.chosen,
                channel_pb2.DeliveryOption.Name(one.default_delivery_option).removeprefix("DELIVERY_OPTION_"),
            )
            for one in channels  # type: ignore[attr-defined] # a repeated field
        ]

    assert (answer.notification_id, answer.title) == (DEFINITION.id, DEFINITION.id)
    assert shown(answer.channels) == [
        ("EMAIL", "INSTANT", False, "INSTANT"),
        ("INAPP_WEB", "OFF", False, "OFF"),
        ("SMS", "OFF", True, "DAILY"),
    ]
    assert list(answer.channels[2].offered_delivery_options) == [OPTIONS.to_wire(one) for one in (OFF, INSTANT, DAILY)]
    (part,) = answer.sub_notifications
    assert (part.sub_notification_id, part.title) == ("eu", "Europe")
    assert shown(part.channels) == [
        ("EMAIL", "OFF", True, "INSTANT"),
        ("INAPP_WEB", "OFF", False, "OFF"),
        ("SMS", "OFF", True, "DAILY"),
    ]


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            proto,
            st.integers(-1, 9),
            st.integers(-1, 8),
            st.sampled_from(["", "eu", "\n"]),
            st.sampled_from(["", DEFINITION.id, "gone"]),
        ),
        max_size=5,
    )
)
def test_any_list_of_choices_is_read_or_refused(protos: list[preferences_pb2.Preference]) -> None:
    """Nothing raises, ON never comes out, and what is accepted is accepted again as it is answered."""
    violations = Violations()

    read = preferences_from_proto(protos, DEFINITIONS, violations)

    if not violations:
        assert len(read) == len(protos)
        again = preferences_from_proto([preference_to_proto(one) for one in read], DEFINITIONS, violations)
        assert again == read
        assert not violations
