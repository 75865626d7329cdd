from __future__ import annotations

from pathlib import Path

import pytest
from liquid import Environment

from carillon.v1 import channel_pb2, notifications_pb2
from services import catalogue
from services.kernel.validation import Violations
from services.kernel.vocabulary import Channel
from services.messages.model import DeliveryState, SkipReason
from services.notifications.convert import notification_from_proto
from services.preferences.model import Choices
from services.sender.compose import compose
from services.sender.plan import plan
from tests.unit.services.builders import ENVIRONMENT, NOW, REACHABLE, send

SAMPLE = Path(catalogue.__file__).with_name("sample_catalogue.yaml")
# What the examples of the vendors' documentation send.
MERGE_TAGS = {
    "order_tracking": {"item": "Krabby Patty Burger", "address": "124 Conch Street", "orderId": "1234567890"},
    "hello_world": {"firstName": "Spongebob"},
    "new_order": {"item": "Krabby Patty Burger", "customer": "Spongebob", "total": "$2.99"},
}


@pytest.fixture(scope="module")
def sample() -> dict[str, notifications_pb2.Notification]:
    """Reads the definitions that `carillon dev` starts with."""
    return {definition.id: definition for definition in catalogue.load(SAMPLE)}


def test_the_sample_has_the_examples(sample: dict[str, notifications_pb2.Notification]) -> None:
    """The sample has the notifications of the documented examples."""
    assert set(sample) == set(MERGE_TAGS)


@pytest.mark.parametrize("notification_id", MERGE_TAGS)
def test_a_sample_can_be_put(sample: dict[str, notifications_pb2.Notification], notification_id: str) -> None:
    """Each sample is a definition that the services accept, with a template for each of the six channels."""
    violations = Violations()

    notification = notification_from_proto(sample[notification_id], violations)

    assert not violations
    assert [settings.channel for settings in notification.channels] == list(Channel)
    assert {template.content.channel for template in notification.templates} == set(Channel)


@pytest.mark.parametrize("notification_id", MERGE_TAGS)
def test_a_sample_uses_the_merge_tags_of_its_example(
    sample: dict[str, notifications_pb2.Notification], notification_id: str
) -> None:
    """The templates of a sample read what the examples send and the profile, all of it and nothing else."""
    notification = notification_from_proto(sample[notification_id], Violations())

    used = {
        root
        for template in notification.templates
        for text in template.content.texts.values()
        for root in Environment().from_string(text).analyze().globals
    }

    assert used - {"user"} == set(MERGE_TAGS[notification_id])


@pytest.mark.parametrize("notification_id", MERGE_TAGS)
def test_a_sample_renders_on_every_channel(
    sample: dict[str, notifications_pb2.Notification], notification_id: str
) -> None:
    """The example's values go out on every channel that is not off by default."""
    notification = notification_from_proto(sample[notification_id], Violations())
    sent = send(notification_id=notification_id, merge_tags=MERGE_TAGS[notification_id])
    planned = plan(sent, notification, REACHABLE, Choices(), ENVIRONMENT)

    message = compose(sent, planned, notification, REACHABLE, ENVIRONMENT, tracking_id="m1", now=NOW)

    assert message.item is not None
    assert next(iter(MERGE_TAGS[notification_id].values())) in message.item.content.texts["title"]
    for delivery in message.deliveries:
        assert delivery.state is not DeliveryState.SKIPPED or delivery.reason is SkipReason.DEFAULT_OFF
        for text in delivery.content.texts.values() if delivery.content else ():
            assert not {"{", "}"} & set(text)


def read(tmp_path: Path, text: str | bytes) -> list[notifications_pb2.Notification]:
    """Reads a file of this text."""
    path = tmp_path / "catalogue.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return catalogue.load(path)


@pytest.mark.parametrize(
    ("option", "number"),
    [
        ("OFF", channel_pb2.DELIVERY_OPTION_OFF),
        ("off", channel_pb2.DELIVERY_OPTION_OFF),
        ('"OFF"', channel_pb2.DELIVERY_OPTION_OFF),
        ("ON", channel_pb2.DELIVERY_OPTION_ON),
        ("INSTANT", channel_pb2.DELIVERY_OPTION_INSTANT),
        ("DELIVERY_OPTION_INSTANT", channel_pb2.DELIVERY_OPTION_INSTANT),
        ("2", channel_pb2.DELIVERY_OPTION_INSTANT),
    ],
)
def test_an_enum_is_written_short(tmp_path: Path, option: str, number: int) -> None:
    """Short names are enough; what YAML takes for a boolean is the option that was meant."""
    text = (
        f"notifications: [{{id: a, disabled: off, channels: [{{channel: EMAIL, "
        f"default_delivery_option: {option}, offered_delivery_options: [{option}]}}]}}]"
    )

    (definition,) = read(tmp_path, text)

    assert not definition.disabled
    assert definition.channels[0].channel == channel_pb2.CHANNEL_EMAIL
    assert definition.channels[0].default_delivery_option == number
    assert list(definition.channels[0].offered_delivery_options) == [number]


def test_an_empty_list_is_a_catalogue(tmp_path: Path) -> None:
    """A file may have no definitions."""
    assert read(tmp_path, "notifications: []") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is no YAML: .* line 1, column 5"),
        ("notifications:\n\t- id: a", "is no YAML: .* line 2, column 1"),
        (b"\xff\xfe\xfd", "is no YAML: "),
        ("a: !!python/object:os.system x", "is no YAML: could not determine a constructor"),
        ("", "must have the one key `notifications` with a list"),
        ("[]", "must have the one key `notifications`"),
        ("notifications: {id: a}", "must have the one key `notifications`"),
        ("{notifications: [], more: 1}", "must have the one key `notifications`"),
        ("notifications: [{id: a}, 1]", r"notifications\[1\]: must be a definition"),
        ("notifications: [null]", r"notifications\[0\]: must be a definition"),
        ("notifications: [text]", r"notifications\[0\]: must be a definition"),
        ("notifications: [{id: a}, {id: b, nope: 1}]", r'notifications\[1\]: .*no field named "nope"'),
        ("notifications: [{id: a, templates: [{nope: 1}]}]", r'no field named "nope" at "Notification.templates\[0\]"'),
        ("notifications: [{id: a, templates: [text]}]", r"notifications\[0\]: .*Notification.templates\[0\]"),
        ("notifications: [{id: a, channels: {channel: EMAIL}}]", r"notifications\[0\]: .*repeated field channels"),
        (
            "notifications: [{id: a, channels: [{channel: FAX}]}]",
            "Invalid enum value CHANNEL_FAX .*channels.0..channel",
        ),
        ("notifications: [{id: a, channels: [{channel: [EMAIL]}]}]", r"notifications\[0\]: .*channel"),
        ("notifications: [{id: 5}]", r"notifications\[0\]: Failed to parse id field: expected string"),
        ("notifications: [{id: 2026-03-01}]", r"notifications\[0\]: Failed to parse id field"),
        ("notifications: [{1: a}]", r"notifications\[0\]: Failed to parse 1 field"),
        ("notifications: [{disabled: 'yes'}]", r"notifications\[0\]: .*Expected true or false"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    """A file that cannot be read says so in one line, with the file and the place in it."""
    with pytest.raises(catalogue.CatalogueError, match=message) as caught:
        read(tmp_path, text)

    assert str(caught.value).startswith(f"{tmp_path}/catalogue.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    """A path that is no file is one line, too."""
    with pytest.raises(catalogue.CatalogueError, match=r"gone\.yaml: no such file or directory$"):
        catalogue.load(tmp_path / "gone.yaml")
    with pytest.raises(catalogue.CatalogueError, match=r"is a directory$"):
        catalogue.load(tmp_path)
