from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.vocabulary import Channel, DeliveryOption
from services.messages.model import SendWarning, SkipReason, WarningCode
from services.notifications.model import Action, ChannelSettings, Content, Notification, Template
from services.preferences.model import Choices
from services.sender.plan import Plan, PlannedChannel, SkippedChannel, plan
from services.users.model import User
from tests.unit.services.builders import (
    BROWSER,
    ENVIRONMENT,
    REACHABLE,
    TOKEN,
    choices,
    content,
    notification,
    send,
    template,
)

if TYPE_CHECKING:
    from services.sender.model import Send

EMAIL, INAPP, SMS, CALL, PUSH, WEB_PUSH = Channel
OFF, INSTANT = DeliveryOption.OFF, DeliveryOption.INSTANT
STRANGER = User("stranger")


def planned(
    sent: Send | None = None,
    definition: Notification | None = None,
    profile: User | None = None,
    chosen: Choices | None = None,
    **environment: Any,
) -> Plan:
    """Plans a send with defaults for what a test does not care about."""
    return plan(
        sent or send(),
        definition or notification(*Channel),
        profile,
        chosen or Choices(),
        replace(ENVIRONMENT, **environment),
    )


def outcome(made: Plan) -> dict[Channel, SkipReason | None]:
    """Gives the reason of each skipped channel, None for a planned one."""
    return {one.channel: one.reason if isinstance(one, SkippedChannel) else None for one in made.channels}


def test_every_channel_of_the_definition_is_planned_in_order() -> None:
    """The channels are planned in the order of the vocabulary, whatever that of the definition."""
    made = planned(definition=notification(*reversed(Channel)))

    assert [one.channel for one in made.channels] == list(Channel)
    assert all(isinstance(one, PlannedChannel) for one in made.channels)
    assert made.warnings == ()


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (planned(definition=notification(SMS, disabled=True)), SkipReason.NOTIFICATION_DISABLED),
        (planned(send(force_channels=frozenset({EMAIL})), notification(SMS)), SkipReason.NOT_FORCED),
        (planned(definition=notification(SMS), disabled_channels=frozenset({SMS})), SkipReason.CHANNEL_DISABLED),
        (planned(definition=notification(SMS), chosen=choices(("", SMS, OFF))), SkipReason.PREFERENCE_OFF),
        (planned(definition=notification(SMS, channels=(ChannelSettings(SMS, OFF),))), SkipReason.DEFAULT_OFF),
        (planned(definition=notification(SMS, templates=())), SkipReason.NO_TEMPLATE),
        (planned(send(bad_fields=frozenset({"number"})), notification(SMS)), SkipReason.INVALID_ADDRESS),
        (planned(send(user=STRANGER), notification(SMS)), SkipReason.NO_ADDRESS),
    ],
)
def test_a_skipped_channel_has_its_reason(made: Plan, reason: SkipReason) -> None:
    """Each thing that stands against a channel has a reason of its own."""
    assert outcome(made)[SMS] is reason


def test_the_first_reason_wins() -> None:
    """Where everything stands against a channel, taking the reasons away one by one shows their order."""
    definition = notification(SMS, channels=(ChannelSettings(SMS, OFF),), templates=(), disabled=True)
    sent = send(user=STRANGER, bad_fields=frozenset({"number"}), force_channels=frozenset({EMAIL}))
    off = frozenset({SMS})
    seen = [outcome(planned(sent, definition, None, choices(("", SMS, OFF)), disabled_channels=off))[SMS]]

    definition = replace(definition, disabled=False)
    seen.append(outcome(planned(sent, definition, None, choices(("", SMS, OFF)), disabled_channels=off))[SMS])
    sent = replace(sent, force_channels=frozenset())
    seen.append(outcome(planned(sent, definition, None, choices(("", SMS, OFF)), disabled_channels=off))[SMS])
    seen.append(outcome(planned(sent, definition, None, choices(("", SMS, OFF))))[SMS])
    seen.append(outcome(planned(sent, definition))[SMS])
    definition = replace(definition, channels=(ChannelSettings(SMS),))
    seen.append(outcome(planned(sent, definition))[SMS])
    definition = replace(definition, templates=(template(SMS),))
    seen.append(outcome(planned(sent, definition))[SMS])
    sent = replace(sent, bad_fields=frozenset())
    seen.append(outcome(planned(sent, definition))[SMS])
    seen.append(outcome(planned(sent, definition, REACHABLE))[SMS])

    assert seen == [
        SkipReason.NOTIFICATION_DISABLED,
        SkipReason.NOT_FORCED,
        SkipReason.CHANNEL_DISABLED,
        SkipReason.PREFERENCE_OFF,
        SkipReason.DEFAULT_OFF,
        SkipReason.NO_TEMPLATE,
        SkipReason.INVALID_ADDRESS,
        SkipReason.NO_ADDRESS,
        None,
    ]


def test_a_choice_wins_over_the_default() -> None:
    """A channel that is off by default is planned for a user who chose it."""
    definition = notification(SMS, channels=(ChannelSettings(SMS, OFF),))

    assert outcome(planned(definition=definition, chosen=choices(("", None, INSTANT)))) == {SMS: None}


def test_the_choice_for_the_sub_notification_counts() -> None:
    """A choice for a sub-notification holds for its sends, and for no others."""
    chosen = choices(("eu", INAPP, OFF))

    assert outcome(planned(send(sub_notification_id="eu"), notification(INAPP), chosen=chosen)) == {
        INAPP: SkipReason.PREFERENCE_OFF
    }
    assert outcome(planned(send(), notification(INAPP), chosen=chosen)) == {INAPP: None}


def test_forced_channels_replace_those_of_the_definition() -> None:
    """A forced channel needs a template, not a place in the definition; the definition's others are not forced."""
    definition = notification(EMAIL, templates=(template(EMAIL), template(SMS)))

    made = planned(send(force_channels=frozenset({SMS, CALL})), definition)

    assert outcome(made) == {EMAIL: SkipReason.NOT_FORCED, SMS: None, CALL: SkipReason.NO_TEMPLATE}


def test_forcing_does_not_override_the_user() -> None:
    """Preferences and defaults hold for forced channels."""
    definition = notification(*Channel, channels=(ChannelSettings(EMAIL), ChannelSettings(SMS, OFF)))
    sent = send(force_channels=frozenset({EMAIL, SMS, CALL}))

    assert outcome(planned(sent, definition, chosen=choices(("", EMAIL, OFF), ("", CALL, OFF)))) == {
        EMAIL: SkipReason.PREFERENCE_OFF,
        SMS: SkipReason.DEFAULT_OFF,
        CALL: SkipReason.PREFERENCE_OFF,
    }


@pytest.mark.parametrize(
    ("channel", "own", "stored"),
    [
        (EMAIL, {"email": "own@example.com"}, {"email": "stored@example.com"}),
        (SMS, {"number": "+15005550006"}, {"number": "+15005550001"}),
        (CALL, {"number": "+15005550006"}, {"number": "+15005550001"}),
    ],
)
def test_the_sends_own_address_is_kept(channel: Channel, own: dict[str, Any], stored: dict[str, Any]) -> None:
    """The address of the send is planned; the profile's is not, since it is read at each attempt."""
    profile = replace(STRANGER, **stored)
    (with_own,) = planned(send(user=replace(STRANGER, **own)), notification(channel), profile).channels
    (with_stored,) = planned(send(user=STRANGER), notification(channel), profile).channels

    assert isinstance(with_own, PlannedChannel)
    assert isinstance(with_stored, PlannedChannel)
    assert (with_own.address, with_stored.address) == (next(iter(own.values())), "")


@pytest.mark.parametrize("channel", [EMAIL, SMS, CALL, PUSH, WEB_PUSH])
def test_an_address_of_the_profile_is_enough(channel: Channel) -> None:
    """A channel whose address only the profile has is planned; one whose address nobody has is skipped."""
    assert outcome(planned(send(user=STRANGER), notification(channel), REACHABLE)) == {channel: None}
    assert outcome(planned(send(user=STRANGER), notification(channel), STRANGER)) == {channel: SkipReason.NO_ADDRESS}
    assert outcome(planned(send(user=STRANGER), notification(channel))) == {channel: SkipReason.NO_ADDRESS}


@pytest.mark.parametrize(
    ("channel", "user"),
    [
        (PUSH, User("stranger", push_tokens=(TOKEN,))),
        (WEB_PUSH, User("stranger", web_push_subscriptions=(BROWSER,))),
        (INAPP, STRANGER),
    ],
)
def test_tokens_of_the_send_are_enough(channel: Channel, user: User) -> None:
    """Push goes to the tokens of the send, web push to its browsers; the inbox needs neither."""
    assert outcome(planned(send(user=user), notification(channel))) == {channel: None}


def test_an_invalid_address_costs_its_channels_alone() -> None:
    """A bad number skips SMS and CALL, even where the profile has a good one; the others go."""
    made = planned(send(user=STRANGER, bad_fields=frozenset({"number"})), profile=REACHABLE)

    assert {channel for channel, reason in outcome(made).items() if reason} == {SMS, CALL}
    assert outcome(made)[SMS] is SkipReason.INVALID_ADDRESS


def test_a_template_asked_for_in_vain_draws_a_warning() -> None:
    """The default template is used where the one asked for is missing, and a warning says so for each channel."""
    definition = notification(EMAIL, SMS, templates=(template(EMAIL, "b"), template(EMAIL), template(SMS)))

    made = planned(send(template_id="b"), definition)

    assert [one.template.id for one in made.channels if isinstance(one, PlannedChannel)] == ["b", "default"]
    assert made.warnings == (
        SendWarning(
            WarningCode.TEMPLATE_NOT_FOUND,
            "template_id",
            "SMS has no template 'b'; its default template was used",
        ),
    )


def test_without_any_template_the_warning_says_so() -> None:
    """A template asked for where not even the default exists: a warning, and NO_TEMPLATE."""
    made = planned(send(template_id="b"), notification(SMS, templates=(template(SMS, "c"),)))

    assert outcome(made) == {SMS: SkipReason.NO_TEMPLATE}
    assert made.warnings[0].text == "SMS has no template 'b'; and it has no default template either"


@pytest.mark.parametrize(
    ("sent", "stored", "default", "expected"),
    [
        ("", "", "en", "en"),
        ("pt-BR", "de", "en", "pt-br"),
        ("pt-PT", "de", "en", "pt"),
        ("fr", "de", "en", "de"),
        ("", "DE-at", "en", "de"),
        ("fr", "", "it", ""),
    ],
)
def test_the_language_is_the_best_there_is(sent: str, stored: str, default: str, expected: str) -> None:
    """The send's language goes first, then the profile's, the environment's and none; each before its base."""
    languages = ("", "en", "de", "pt", "pt-br")
    definition = notification(INAPP, templates=tuple(template(INAPP, language=language) for language in languages))
    user, profile = replace(STRANGER, language=sent), replace(STRANGER, language=stored)

    (made,) = planned(send(user=user), definition, profile, default_language=default).channels

    assert isinstance(made, PlannedChannel)
    assert made.template.language == expected


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (content(EMAIL, preview_text="p"), "subject, html or text"),
        (content(EMAIL, subject="s"), "html or text"),
        (content(EMAIL, html="h"), "subject"),
        (content(EMAIL, subject="s", html="h"), ""),
        (content(EMAIL, subject="s", text="t"), ""),
        (Content(INAPP, {"body": "b"}), "title"),
        (Content(INAPP, {}, actions=(Action("Open"),)), "title"),
        *((content(channel), "") for channel in Channel),
    ],
)
def test_whole_content_needs_no_template(given: Content, missing: str) -> None:
    """With all that its channel requires, content goes without a template; else the channel is skipped, saying why."""
    (made,) = planned(send(content={given.channel: given}), notification(given.channel, templates=())).channels

    if missing:
        detail = f"there is no template, and the send's content lacks {missing}"
        assert made == SkippedChannel(given.channel, SkipReason.NO_TEMPLATE, detail)
    else:
        assert isinstance(made, PlannedChannel)
        assert made.template.content == given


def test_content_stands_in_for_the_chosen_template() -> None:
    """The send's texts take the place of the template's, which keeps those that the send leaves empty."""
    definition = notification(EMAIL, templates=(template(EMAIL), template(EMAIL, "b", subject="s", html="h", text="t")))
    given = content(EMAIL, subject="S", preview_text="P")

    (made,) = planned(send(template_id="b", content={EMAIL: given}), definition).channels

    assert isinstance(made, PlannedChannel)
    assert made.template.content.texts == {"subject": "S", "html": "h", "text": "t", "preview_text": "P"}
    assert made.template.id == "b"


@pytest.mark.parametrize(
    ("given", "says_html", "labels"),
    [
        (Content(INAPP, {"title": "t"}), True, ["template's"]),
        (Content(INAPP, {"body": "b"}), True, ["template's"]),
        (Content(INAPP, {"url": "/"}), False, ["template's"]),
        (Content(INAPP, {}, actions=(Action("send's"), Action("other"))), False, ["send's", "other"]),
    ],
)
@pytest.mark.parametrize("is_html", [True, False])
def test_html_is_whose_the_words_are(given: Content, says_html: bool, labels: list[str], is_html: bool) -> None:
    """The send says whether its title or body is HTML, for both; without either the template does. Actions go whole."""
    texts = Content(INAPP, {"title": "T", "body": "B"}, html=not is_html, actions=(Action("template's"),))
    definition = notification(INAPP, templates=(Template("default", "", texts),))

    (made,) = planned(send(content={INAPP: replace(given, html=is_html)}), definition).channels

    assert isinstance(made, PlannedChannel)
    assert made.template.content.html is (is_html if says_html else not is_html)
    assert [action.label for action in made.template.content.actions] == labels


def test_content_adds_no_channel() -> None:
    """Content for a channel that nobody asks for goes nowhere, which a warning says; forced it needs no template."""
    given = {SMS: content(SMS), INAPP: content(INAPP)}
    definition = notification(EMAIL)

    made = planned(send(content=given), definition)
    assert outcome(made) == {EMAIL: None}
    assert [(one.code, one.field) for one in made.warnings] == [
        (WarningCode.CONTENT_NOT_USED, "content.inapp"),
        (WarningCode.CONTENT_NOT_USED, "content.sms"),
    ]

    forced = planned(send(content=given, force_channels=frozenset({SMS, INAPP})), definition)
    assert outcome(forced) == {EMAIL: SkipReason.NOT_FORCED, INAPP: None, SMS: None}
    assert forced.warnings == ()


def test_content_changes_nobodys_mind() -> None:
    """Content for what is switched off, muted or without an address is left out like any other."""
    given = {channel: content(channel) for channel in Channel}

    off = planned(send(content=given), notification(EMAIL, disabled=True))
    assert outcome(off) == {EMAIL: SkipReason.NOTIFICATION_DISABLED}
    muted = planned(send(content=given), notification(EMAIL), chosen=choices(("", EMAIL, OFF)))
    assert outcome(muted) == {EMAIL: SkipReason.PREFERENCE_OFF}
    unreachable = planned(send(content=given, user=STRANGER), notification(EMAIL, templates=()))
    assert outcome(unreachable) == {EMAIL: SkipReason.NO_ADDRESS}


channels = st.sampled_from(Channel)
options = st.sampled_from(DeliveryOption)
channel_settings = st.builds(ChannelSettings, channels, options)
# Few things stand against a channel at a time, so that many examples plan one.
definitions = st.builds(
    lambda found, left_out, others, disabled: notification(
        channels=tuple(found),
        templates=(*(template(channel) for channel in Channel if channel not in left_out), *others),
        disabled=disabled,
    ),
    st.lists(channel_settings, min_size=4, max_size=6, unique_by=lambda one: one.channel),
    st.frozensets(channels, max_size=2),
    st.lists(st.builds(template, channels, st.just("b"), st.sampled_from(["", "en", "de-AT"])), max_size=4),
    st.sampled_from([False, False, False, True]),
)
users = st.builds(
    User,
    st.just("u"),
    email=st.sampled_from(["a@example.com", ""]),
    number=st.sampled_from(["+15005550006", ""]),
    language=st.sampled_from(["", "de-AT", "en"]),
    push_tokens=st.sampled_from([(), (TOKEN,)]),
    web_push_subscriptions=st.sampled_from([(), (BROWSER,)]),
)
sends = st.builds(
    send,
    user=users,
    bad_fields=st.frozensets(st.sampled_from(["email", "number", "timezone"])),
    sub_notification_id=st.sampled_from(["", "eu"]),
    template_id=st.sampled_from(["", "b", "c"]),
    content=st.dictionaries(st.sampled_from(Channel), st.just(""), max_size=2).map(
        lambda given: {channel: content(channel) for channel in given}
    ),
    force_channels=st.sampled_from([frozenset(), frozenset(), frozenset({EMAIL, INAPP}), frozenset({SMS, WEB_PUSH})]),
)
chosen_options = st.lists(st.tuples(st.sampled_from(["", "eu", "us"]), st.none() | channels, options), max_size=3)


def test_any_send_is_answered_for_every_channel() -> None:
    """Whatever comes, each channel of the definition and the send is answered once, and none that is OFF is planned."""
    plans_a_channel: list[bool] = []

    @settings(deadline=None, derandomize=True, max_examples=2000)
    @given(definitions, sends, st.none() | users, chosen_options, st.frozensets(channels, max_size=2))
    def check(
        definition: Notification,
        sent: Send,
        profile: User | None,
        chosen: list[tuple[str, Channel | None, DeliveryOption]],
        disabled: frozenset[Channel],
    ) -> None:
        asked = choices(*chosen)
        made = planned(sent, definition, profile, asked, disabled_channels=disabled)

        expected = {one.channel for one in definition.channels} | sent.force_channels
        assert [one.channel for one in made.channels] == [channel for channel in Channel if channel in expected]
        goes_to = [one.channel for one in made.channels if isinstance(one, PlannedChannel)]
        for channel in goes_to:
            in_definition = definition.settings(channel)
            default = in_definition.default_delivery_option if in_definition else INSTANT
            assert (asked.choice(definition.id, sent.sub_notification_id, channel) or default) is not OFF
        plans_a_channel.append(bool(goes_to))

    check()

    assert len(plans_a_channel) >= 2000
    assert sum(plans_a_channel) >= len(plans_a_channel) / 3
