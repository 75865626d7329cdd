from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from carillon.v1 import channel_pb2, content_pb2, delivery_pb2
from services.commands.calls import CommandError
from services.commands.env import environment_table, parse_duration
from services.commands.send import content, delivery_table, merge_tags
from services.commands.watch import View
from services.environments.model import Environment, Secret
from services.kernel.terminal import printable
from services.kernel.wire import to_timestamp

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def shown(renderable: Any) -> list[str]:
    """Gives the lines of a table as a pipe gets them."""
    console = Console(file=io.StringIO(), width=240)
    console.print(renderable)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined] # a StringIO


def item(item_id: str, title: str, **fields: Any) -> dict[str, Any]:
    """Makes an item as frames have it."""
    return {"id": item_id, "title": title, "notification_id": "n", "unread": True} | fields


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0s", timedelta()),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("24h", DAY),
        ("366d", 366 * DAY),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, duration: timedelta) -> None:
    """Seconds to days are read."""
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1 h", "1w", "367d", "9999999999s", "999999999d", "1H"])
def test_anything_else_is_no_duration(text: str) -> None:
    """What is no duration, and one of more than a year, is refused."""
    with pytest.raises(CommandError):
        parse_duration(text)


def test_the_list_of_environments_shows_live_secrets_by_id() -> None:
    """Dead secrets are not listed, live ones by their id and end, none by what it is."""
    secrets = (
        Secret("dead", "secret-1", NOW - DAY, NOW),
        Secret("ending", "secret-2", NOW - DAY, NOW + DAY),
        Secret("new", "secret-3", NOW),
    )
    bob = Environment("bob", secrets, name="Bob\x1b]0;x", create_time=NOW - 2 * DAY)

    lines = shown(environment_table([bob, Environment("none", secrets[:1])], NOW))

    assert [line.split() for line in lines[1:]] == [
        ["bob", "Bob", "]0;x", "2026-02-27", "12:30", "UTC", "2", "ending", "until", "2026-03-02", "12:30", "UTC"],
        ["new"],
        ["none", "2026-02-28", "12:30", "UTC", "0", "-"],
    ]
    assert "secret-" not in "".join(lines)


def test_deliveries_are_shown_with_their_reason() -> None:
    """Each channel is one line: its outcome, the reason, what stands behind it, and when it fires, on that line."""
    lines = shown(
        delivery_table(
            [
                delivery_pb2.Delivery(
                    channel=channel_pb2.CHANNEL_SMS,
                    state=delivery_pb2.DELIVERY_STATE_SKIPPED,
                    reason=delivery_pb2.SKIP_REASON_RENDER_FAILED,
                    detail="text: line 2\n[red]no",
                ),
                delivery_pb2.Delivery(channel=channel_pb2.CHANNEL_CALL, state=delivery_pb2.DELIVERY_STATE_PENDING),
                delivery_pb2.Delivery(
                    channel=channel_pb2.CHANNEL_EMAIL,
                    state=delivery_pb2.DELIVERY_STATE_SCHEDULED,
                    next_time=to_timestamp(NOW),
                ),
            ]
        )
    )

    assert [line.split(maxsplit=2) for line in lines[1:]] == [
        ["SMS", "SKIPPED", "RENDER_FAILED: text: line 2 [red]no"],
        ["CALL", "PENDING"],
        ["EMAIL", "SCHEDULED", "2026-03-01 12:30 UTC"],
    ]


def test_merge_tags_of_pairs_are_texts_and_win(tmp_path: Path) -> None:
    """A pair is a text whatever it looks like, and stands over the file's value; a value may have equals signs."""
    file = tmp_path / "tags.json"
    file.write_text('{"id": 7, "nested": {"a": [1, null]}, "name": "Bob"}')

    tags = merge_tags(["id=007", "url=/?a=b", "empty="], file)

    expected = {"id": "007", "nested": {"a": [1, None]}, "name": "Bob", "url": "/?a=b", "empty": ""}
    assert json_format.MessageToDict(tags) == expected


@pytest.mark.parametrize("pair", ["", "a", "=b"])
def test_a_pair_needs_a_key(pair: str) -> None:
    """What is no KEY=VALUE is refused."""
    with pytest.raises(CommandError):
        merge_tags([pair], None)


@pytest.mark.parametrize("text", ["[]", "1", "{", '{"a": "\\ud800"}', "[" * 100_000])
def test_a_file_needs_an_object(tmp_path: Path, text: str) -> None:
    """A file that holds no JSON object, or what no message can carry, is refused."""
    file = tmp_path / "tags.json"
    file.write_text(text)
    with pytest.raises(CommandError):
        merge_tags([], file)


def test_content_is_read_by_the_names_of_the_contract(tmp_path: Path) -> None:
    """Content comes as the contract names it; what is none is refused with what is wrong."""
    file = tmp_path / "content.json"
    file.write_text('{"sms": {"text": "Hi"}, "web_push": {"icon_url": "/i"}}')

    assert content(file) == content_pb2.ContentByChannel(sms={"text": "Hi"}, web_push={"icon_url": "/i"})  # type: ignore[arg-type] # dicts will do
    for wrong in ('{"fax": {}}', '{"sms": "Hi"}', '{"sms": {"text": 1}}', '{"sms": {"text": "\\ud800"}}', "[]"):
        file.write_text(wrong)
        with pytest.raises(CommandError, match="content"):
            content(file)


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_printed(text: str) -> None:
    """A text comes out on one line, as long as it was, without control characters."""
    result = printable(text)

    assert len(result) == len(text)
    assert result.isprintable()


def test_a_view_keeps_the_badge_and_the_titles() -> None:
    """Each frame is told in the words of its items, with the badge as a browser would show it."""
    view = View(lambda: NOW)

    def told(**frame: Any) -> list[str]:
        return [line.plain[10:] for line in view.lines(frame)]

    items = [item("1", "One", body="b"), item("2", "Two", unread=False)]
    assert told(type="welcome", resume="snapshot", unread_count=3, items=items) == [
        "welcome   2 items  (3 unread)",
        "● One - b  [n]",
        "  Two  [n]",
    ]
    assert told(type="created", item=item("3", "Three\n", sub_notification_id="s"), unread_change=1) == [
        "created   Three   [n/s]  (4 unread)"
    ]
    marked = {"unread": False, "seen_time": "2026-03-01T12:30:00.000Z"}
    assert told(type="updated", ids=["1", "9"], set=marked, unset=["opened_time"], unread_change=-2) == [
        "updated   One: unread false, seen, not opened  (2 unread)",
        "updated   9: unread false, seen, not opened  (2 unread)",
    ]
    assert told(type="updated", ids=["2"], set={"title": "New"}, unread_change=0) == [
        'updated   New: title "New"  (2 unread)'
    ]
    assert told(type="retracted", ids=["2"], unread_change=0) == ["retracted New  (2 unread)"]
    assert told(type="error", code="X", message="y") == ["error     X: y  (2 unread)"]
    assert told(type="unheard_of") == []


def test_a_view_resumes_where_it_was() -> None:
    """A welcome that has what changed meanwhile tells that, by the titles that are known."""
    view = View(lambda: NOW)
    snapshot = {"type": "welcome", "resume": "snapshot", "unread_count": 1, "items": [item("1", "One")], "cursor": "a"}
    full = {"type": "welcome", "resume": "full", "unread_count": 1, "cursor": "b"}

    shown = [list(view.lines(frame)) for frame in (snapshot, {"type": "created", "item": item("2", "Two")})]
    gone = {"id": "1", "rev": "2", "retract_time": "2026-03-01T12:30:00.000Z"}
    shown.append(list(view.lines(full | {"items": [gone, item("3", "Three")]})))

    assert [line.plain[10:] for line in shown[-1]] == ["welcome   2 changes  (1 unread)", "- One", "● Three  [n]"]
    assert view.cursor == "b"
