from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from services.delivery.payload_apns import MAX_PAYLOAD_BYTES, apns_payload, payload_size, too_large
from services.kernel.vocabulary import Channel
from services.messages.options import NO_OPTIONS, ApnOptions
from tests.unit.services.builders import content

if TYPE_CHECKING:
    from services.kernel.vocabulary import Json

TITLE = {"title": "Hi"}


def payload(options: ApnOptions = NO_OPTIONS.apn, *, item_id: str = "", **texts: str) -> dict[str, Json]:
    """Makes the payload of a push with these texts."""
    return apns_payload(content(Channel.PUSH, **texts), options, tracking_id="m1", notification_id="n", item_id=item_id)


@pytest.mark.parametrize(
    ("options", "aps"),
    [
        (ApnOptions(), {}),
        (ApnOptions(badge=0), {"badge": 0}),
        (ApnOptions(badge=3, sound="default", thread_id="t"), {"badge": 3, "sound": "default", "thread-id": "t"}),
        (ApnOptions(content_available=True), {"content-available": 1}),
        (ApnOptions(priority=5, collapse_id="c"), {}),
    ],
    ids=["none", "no badge", "all", "background", "headers"],
)
def test_options_are_in_aps(options: ApnOptions, aps: dict[str, Any]) -> None:
    """What iOS reads is in aps, without a key for what was not asked for; a badge of 0 is one."""
    assert payload(options, title="Hi")["aps"] == {"alert": {"title": "Hi"}} | aps


def test_the_apps_keys_stand_beside() -> None:
    """Empty ones are left out; a picture has the app's extension run."""
    assert payload(title="Hi") == {"aps": {"alert": TITLE}, "tracking_id": "m1", "notification_id": "n"}
    assert payload(item_id="m1", url="/a", image_url="/b", body="B", title="Hi") == {
        "aps": {"alert": TITLE | {"body": "B"}, "mutable-content": 1},
        "url": "/a",
        "image_url": "/b",
        "tracking_id": "m1",
        "item_id": "m1",
        "notification_id": "n",
    }


def test_what_is_planned_fits_whatever_the_ids() -> None:
    """The largest content that is planned is within APNs' limit with real ids, and the next is not planned."""
    some_id = "01a21e98-1319-704d-b74d-5e1798469ad1"
    lengths = range(MAX_PAYLOAD_BYTES)
    length = max(n for n in lengths if not too_large(content(Channel.PUSH, title="x" * n), NO_OPTIONS, "n"))
    largest = apns_payload(
        content(Channel.PUSH, title="x" * length),
        NO_OPTIONS.apn,
        tracking_id=some_id,
        notification_id="n",
        item_id=some_id,
    )

    assert payload_size(largest) == MAX_PAYLOAD_BYTES
