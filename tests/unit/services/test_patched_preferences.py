from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import InvalidArgument
from services.kernel.vocabulary import Channel, DeliveryOption
from services.preferences.model import MAX_PREFERENCES, Choices, Preference, in_order, patched, without

INSTANT, OFF = DeliveryOption.INSTANT, DeliveryOption.OFF
ids = st.sampled_from(["", "a", "b"])
preferences = st.builds(
    Preference,
    notification_id=st.sampled_from(["m", "n"]),
    channel=st.none() | st.sampled_from(Channel),
    sub_notification_id=ids,
    delivery_option=st.sampled_from(DeliveryOption),
)
lists = st.lists(preferences, max_size=20, unique_by=lambda preference: preference.key)


@given(lists, lists)
def test_a_patch_decides_what_it_names_and_nothing_else(stored: list[Preference], new: list[Preference]) -> None:
    """After a patch each thing has its new choice, or else its old one, once, in the order that answers have."""
    result = patched(stored, new)

    expected = {one.key: one for one in stored} | {one.key: one for one in new}
    assert {one.key: one for one in result} == expected
    assert len(result) == len(expected)
    assert result == in_order(reversed(result))
    assert patched(result, new) == result


@given(lists, ids, st.sampled_from(Channel), st.sampled_from(["m", "n"]))
def test_what_is_forgotten_has_no_effect(
    stored: list[Preference], part: str, channel: Channel, notification_id: str
) -> None:
    """After forgetting a notification the defaults hold for it; after a part, what holds for the whole."""
    left = without(stored, notification_id, part)

    choices = Choices(left)
    assert choices.choice(notification_id, part, channel) == choices.choice(notification_id, "", channel)
    if not part:
        assert choices.choice(notification_id, "a", channel) is None
    kept = [
        one for one in stored if one.notification_id != notification_id or part not in ("", one.sub_notification_id)
    ]
    assert left == kept


def test_a_patch_may_fill_up_to_the_limit() -> None:
    """1,000 choices are as many as a user may have, also where a patch replaces one of them."""
    full = [Preference("n", None, f"part-{i:04}", OFF) for i in range(MAX_PREFERENCES)]

    assert patched(full[:-1], full[-1:]) == full
    assert len(patched(full, [Preference("n", None, "part-0000", INSTANT)])) == MAX_PREFERENCES
    with pytest.raises(InvalidArgument) as refused:
        patched(full, [Preference("n", None, "one-more", OFF)])
    assert [(one.field, one.reason) for one in refused.value.violations] == [("preferences", "TOO_MANY")]


def test_the_order_is_that_of_the_channels() -> None:
    """Choices stand by notification, part and channel, the one for all channels first."""
    one_of_each = [Preference("n", channel, part, OFF) for part in ("", "p") for channel in (None, *Channel)]

    assert in_order(reversed(one_of_each)) == one_of_each
