"""How NotificationAPI's clients page: `count` items that are not newer than `before`, inclusive.

They go on with the date of the oldest item that they hold, and drop what they have already. So a page of nothing but
that one moment would come again for ever: such a page goes on to the first item that is older.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from carillon.v1 import inbox_pb2, preferences_pb2
from gateway.items import iso, item_from_proto
from gateway.notificationapi.moments import read_moment, text_of
from services.kernel.wire import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from carillon.v1.preferences_pb2 import NotificationPreference

    ListInbox = Callable[[inbox_pb2.ListInboxRequest], Awaitable[inbox_pb2.ListInboxResponse]]
    GetPreferences = Callable[
        [preferences_pb2.GetPreferencesRequest], Awaitable[preferences_pb2.GetPreferencesResponse]
    ]

DEFAULT_COUNT = 10
MAX_COUNT = 1000
# What appeared at one moment comes in one page, up to here; of more, the rest is passed over.
MAX_ALIKE = 5000
MAX_NOTIFICATIONS = 1000
"""How many notifications a user sees the preferences of: their clients know no pages of these."""

# That many items of 16 KiB fit in an answer of the services.
_SLICE = 200

# What JavaScript and Python write where there is nothing.
_NO_BOUND = frozenset({"", "undefined", "null", "nan", "none"})


@dataclass(frozen=True, slots=True)
class Page:
    """A page of items, newest first, in the words of our own frames."""

    items: list[dict[str, Any]]
    has_more: bool


def read_count(value: object, *, default: int = DEFAULT_COUNT) -> int:
    """Reads how many items a client wants: too many are as many as there may be, nonsense is as if nothing was said."""
    try:
        number = float(text_of(value))
    except ValueError:
        return default
    return min(int(number), MAX_COUNT) if 1 <= number < math.inf else default


def read_before(value: object) -> datetime | None:
    """Reads the moment that a page begins at: a time as text, or a number of seconds or milliseconds; None: no bound.

    Raises:
        ValueError: If it is none of them.
    """
    return None if text_of(value).lower() in _NO_BOUND else read_moment(value)


async def read_page(
    list_inbox: ListInbox,
    user_id: str,
    *,
    count: int,
    before: datetime | None,
    view: inbox_pb2.InboxView.ValueType = inbox_pb2.INBOX_VIEW_ALL,
) -> Page:
    """Reads a page.

    Args:
        list_inbox: Asks the services, with the caller's credentials.
        user_id: Whose inbox.
        count: How many items, if there are so many.
        before: The moment that it begins at, in whole milliseconds; None: with the newest.
        view: Which items; archived ones too, if nothing is said.
    """
    first = None if before is None else iso(before)
    items: list[dict[str, Any]] = []
    token = ""
    while True:
        asked = inbox_pb2.ListInboxRequest(
            user_id=user_id,
            page_size=min(max(count - len(items), 0) or _SLICE, _SLICE),
            page_token=token,
            view=view,
            before_time=to_timestamp(before),
        )
        answer = await list_inbox(asked)
        items += map(item_from_proto, answer.items)
        token = answer.next_page_token
        alike = sum(item["date"] == first for item in items)
        end = max(count, alike + 1)
        if len(items) >= end or not token:
            return Page(items[:end], has_more=bool(token) or len(items) > end)
        if before and alike >= MAX_ALIKE:
            older = await read_page(list_inbox, user_id, count=1, before=before - timedelta(milliseconds=1), view=view)
            return Page(items + older.items, older.has_more)


async def read_notifications(get_preferences: GetPreferences, user_id: str) -> list[NotificationPreference]:
    """Reads what holds for a user, of what they have received or chosen; the first 1,000 notifications.

    Args:
        get_preferences: Asks the services, with the caller's credentials.
        user_id: Whose preferences.
    """
    asked = preferences_pb2.GetPreferencesRequest(
        user_id=user_id, scope=preferences_pb2.PREFERENCE_SCOPE_RECEIVED, page_size=_SLICE
    )
    read: list[NotificationPreference] = []
    while True:
        answer = await get_preferences(asked)
        read += answer.notifications
        if not answer.next_page_token or len(read) >= MAX_NOTIFICATIONS:
            return read
        asked.page_token = answer.next_page_token
