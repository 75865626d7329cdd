"""What one client holds after what it was told, by the rules that gateway/README.md gives to whoever writes a client.

Pure. Both kinds of clients are told the same here: the frames of the gateway, and the responses of WatchInbox as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from carillon.v1 import inbox_pb2
from gateway.items import item_from_proto

if TYPE_CHECKING:
    from collections.abc import Mapping

Item = dict[str, Any]
Frame = dict[str, Any]
Key = tuple[str, str]

_FIRST: Key = ("", "")
_LAST: Key = ("~", "")
# What an item has although it is not told of.
_DEFAULTS: Item = {"notification_id": "", "title": "", "unread": False, "message_count": 1, "priority": "NORMAL"}


class BrokenPromiseError(AssertionError):
    """A client was told what the protocol says that it is not."""


@dataclass(frozen=True)
class Truth:
    """An inbox as ListInbox and CountUnread tell of it, archived items included."""

    items: Mapping[str, Item]
    unread_count: int


class Model:
    """What a client holds."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.unread_count = 0
        self.cursor = ""
        self.told: set[str] = set()
        """Every item that it was ever told of."""

        self.shown_as_new: list[str] = []
        """What it rang for, in that order."""

        self._newest = _FIRST
        """The newest that it ever held."""

        self._oldest = _FIRST
        """The oldest of the last snapshot, where there were older ones: those it passes over."""

        self._gone: set[str] = set()

    def apply(self, frame: Frame) -> None:
        """Takes what it is told, and raises BrokenPromiseError where that cannot be."""
        match frame["type"]:
            case "welcome":
                self._welcome(frame)
                self.unread_count = frame["unread_count"]
            case "created":
                self._put(frame["item"], newest=self._newest)
                self.unread_count += frame["unread_change"]
            case "updated":
                for item_id, rev in zip(frame["ids"], frame["revs"], strict=True):
                    self._update(item_id, rev, frame)
                self.unread_count += frame["unread_change"]
            case "retracted":
                for item_id in frame["ids"]:
                    self._remove(item_id)
                self.unread_count += frame["unread_change"]
            case other:
                raise BrokenPromiseError(f"an unexpected {other}: {frame}")
        self.cursor = frame["cursor"]

    def differences(self, truth: Truth) -> list[str]:
        """Tells what of this is not as it is in the database."""
        found = []
        if self.unread_count != truth.unread_count:
            found.append(f"the badge is {self.unread_count}, and must be {truth.unread_count}")
        for item_id, item in self.items.items():
            true = truth.items.get(item_id)
            if true is None:
                found.append(f"{item_id} is held, and is not there: {item}")
            elif item != true:
                wrong = {name for name in item.keys() | true.keys() if item.get(name) != true.get(name)}
                found.append(f"{item_id} differs in {sorted(wrong)}: held {item}, there is {true}")
        missing = [
            item_id
            for item_id, item in truth.items.items()
            if item_id not in self.items and "archive_time" not in item and _key(item) >= self._oldest
        ]
        return found + [f"{item_id} is missing: {truth.items[item_id]}" for item_id in missing]

    def _welcome(self, frame: Frame) -> None:
        if frame["resume"] == "full":
            newest = self._newest
            for item in frame["items"]:
                if "retract_time" in item:
                    self._remove(item["id"])
                else:
                    self._put(item, newest=newest)
            return

        before, self.items = self.items, {}
        self._oldest = _key(frame["items"][-1]) if frame.get("next_page_token") else _FIRST
        # To whom another inbox is shown, or the first one, nothing in it is new.
        is_first = self.cursor == "" or frame["cause"] in ("OTHER_USER", "CURSOR_AHEAD")
        newest = _LAST if is_first else self._newest
        for item in frame["items"]:
            self._put(item, newest=newest, before=before.get(item["id"]))

    def _put(self, item: Item, *, newest: Key, before: Item | None = None) -> None:
        held = self.items.get(item["id"], before)
        if item["id"] in self._gone:
            raise BrokenPromiseError(f"an item that was taken back is there again: {item}")
        if held and held["rev"] > item["rev"]:
            raise BrokenPromiseError(f"an older state: {item}, after {held}")
        self.told.add(item["id"])
        if _key(item) < self._oldest:
            return
        if not held and item["unread"] and _key(item) > newest:
            self.shown_as_new.append(item["id"])
        self._newest = max(self._newest, _key(item))
        self.items[item["id"]] = item

    def _update(self, item_id: str, rev: str, frame: Frame) -> None:
        item = self.items.get(item_id)
        if item is None or item["rev"] >= rev:
            return
        changed = {name: value for name, value in item.items() if name not in frame["unset"]}
        changed |= {name: _DEFAULTS[name] for name in frame["unset"] if name in _DEFAULTS}
        self.items[item_id] = changed | frame["set"] | {"rev": rev}

    def _remove(self, item_id: str) -> None:
        self.items.pop(item_id, None)
        self._gone.add(item_id)


def frame_of(response: inbox_pb2.WatchInboxResponse) -> Frame | None:
    """Gives a response of WatchInbox as the gateway's frame of it; None: it says only that the stream lives."""
    kind = response.WhichOneof("event")
    told: Frame = {"type": kind, "cursor": response.cursor, "unread_change": response.unread_change}
    match kind:
        case None:
            return None
        case "welcome":
            welcome = response.welcome
            told["resume"] = inbox_pb2.InboxResume.Name(welcome.resume).removeprefix("INBOX_RESUME_").lower()
            if welcome.cause:
                told["cause"] = inbox_pb2.InboxSnapshotCause.Name(welcome.cause).removeprefix("INBOX_SNAPSHOT_CAUSE_")
            told |= {"items": [item_from_proto(item) for item in welcome.items], "unread_count": welcome.unread_count}
            told["next_page_token"] = welcome.next_page_token
        case "created":
            told["item"] = item_from_proto(response.created.item)
        case "updated":
            updated = response.updated
            told |= {"ids": list(updated.ids), "revs": list(updated.revs), "set": _given(updated.set)}
            told["unset"] = [name.removeprefix("content.") for name in updated.unset]
        case "retracted":
            told["ids"] = list(response.retracted.ids)
    return told


def _given(item: inbox_pb2.InboxItem) -> Item:
    """Gives the fields alone that are set."""
    names = {field.name for field, _ in item.ListFields()} | {field.name for field, _ in item.content.ListFields()}
    return {name: value for name, value in item_from_proto(item).items() if name in names}


def _key(item: Item) -> Key:
    return item["date"], item["id"]
