from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.preferences.model import MAX_PARTS_OF_PAGE, page_of
from services.sub_notifications.model import SubNotification

TIME = datetime(2026, 1, 1, tzinfo=UTC)


@given(
    st.dictionaries(st.integers(0, 30), st.sampled_from([0, 1, 3, 99, 200, 201, 450]), min_size=1),
    st.integers(1, 12),
)
def test_pages_have_every_notification_and_part_once(counts: dict[int, int], size: int) -> None:
    """Page by page all is shown in order, within both bounds; only a notification that goes on is shown again."""
    ids = [f"n{number:02}" for number in sorted(counts)]
    parts = [
        SubNotification(f"n{number:02}", f"p{i:03}", "", TIME, TIME)
        for number in sorted(counts)
        for i in range(counts[number])
    ]
    found: list[SubNotification] = []
    shown: list[str] = []
    end: tuple[str, str] | None = ("", "")
    while end:
        notification_id, next_part = end
        rest = [one for one in ids if one > notification_id or (next_part and one == notification_id)][: size + 1]
        of_rest = [one for one in parts if one.notification_id in rest[:size]]
        begun = [one for one in of_rest if (one.notification_id, one.id) >= (notification_id, next_part)]
        page = page_of(rest, begun[: MAX_PARTS_OF_PAGE + 1], size=size)

        assert 1 <= len(page.parts) <= size
        on_page = [part for some in page.parts.values() for part in some]
        assert len(on_page) <= MAX_PARTS_OF_PAGE
        assert all(part.notification_id == name for name, some in page.parts.items() for part in some)
        found += on_page
        shown += list(page.parts)[1 if next_part else 0 :]
        end = page.end

    assert shown == ids
    assert found == parts
