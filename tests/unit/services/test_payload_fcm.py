from __future__ import annotations

import pytest

from services.delivery import payload_fcm
from services.delivery.payload_fcm import fcm_payload, too_large
from services.delivery.payloads import LIMITS
from services.kernel.vocabulary import Channel
from services.messages.options import NO_OPTIONS
from services.notifications.model import Content

SOME_ID = "0" * 36


def content(**texts: str) -> Content:
    """Makes what a push says."""
    return Content(Channel.PUSH, texts)


def test_what_is_empty_is_left_out() -> None:
    """FCM gets the texts that there are, what is shown apart from what the app reads."""
    payload = fcm_payload(content(title="Hi", image_url="https://a/b"), tracking_id="t", notification_id="n")

    assert payload.notification == {"title": "Hi", "image": "https://a/b"}
    assert payload.data == {"tracking_id": "t", "notification_id": "n"}


@pytest.mark.parametrize("excess", [0, 1])
def test_4096_bytes_fit(excess: int) -> None:
    """A payload of 4,096 bytes goes and one of 4,097 does not; bytes are counted, not characters, the ids with them."""
    empty = fcm_payload(content(title="é"), tracking_id=SOME_ID, notification_id="n", item_id=SOME_ID)
    title = "é" + "b" * (4096 - empty.size + excess)

    problem = too_large(content(title=title), NO_OPTIONS, "n")

    assert problem == ("has 4097 bytes as FCM's payload; FCM carries 4096" if excess else None)


def test_it_is_asked_while_a_push_is_planned() -> None:
    """A push is held against FCM's limit beside APNs'."""
    assert payload_fcm.too_large in LIMITS[Channel.PUSH]
