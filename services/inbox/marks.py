"""Marks on items: the writes of the recipient, beside those of the messages' own store.

Whether an item changes, and how, depends on the marks that it has, and other sessions mark at the same time. So every
update names in its filter the marks that it was decided on: an item that has others by then is left alone, and decided
anew. One item changes in one update, so nobody ever sees it half marked.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pymongo.read_concern import ReadConcern

from services.inbox.model import TIME_FIELDS, Box, Change, Mark, Marking
from services.inbox.store import INBOX_INDEX, UNREAD_INDEX, query_of
from services.kernel.mongo import SLICE, deadline, raise_if_cancelled, translate_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

    from services.inbox.model import Selection

MAX_REPLIES = 100

_PATHS = {mark: f"inapp.{name}" for mark, name in TIME_FIELDS.items()}
_BOXES = {False: Box.INBOX.value, True: Box.ARCHIVE.value}
_READING = Marking(sets=frozenset({Mark.SEEN}), clears=frozenset())

# The marks of an item, and whether the reply to add is its last one already: all that a change depends on.
_State = tuple[frozenset[Mark], bool]


class MarkStore:
    """Marks items."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._collection = database.messages
        self._snapshot = self._collection.with_options(read_concern=ReadConcern("snapshot"))

    async def mark(self, client_id: str, user_id: str, ids: Iterable[str], marking: Marking, time: datetime) -> int:
        """Marks those of the items that are there, and counts those that this changes."""
        keys = [{"e": client_id, "u": user_id, "m": item_id} for item_id in dict.fromkeys(ids)]
        slices = [keys[start : start + SLICE] for start in range(0, len(keys), SLICE)]
        return sum([await self._mark_slice(one, marking, time) for one in slices])

    async def mark_selected(self, selection: Selection, marking: Marking, time: datetime) -> int:
        """Marks all items of a selection, and counts those that this changes; none that comes into it meanwhile."""
        query, index = query_of(selection) | _unlike(marking), INBOX_INDEX
        if marking == _READING and selection.boxes == (Box.INBOX,) and selection.narrowed.unread is not False:
            # "Mark all as read" costs what is unread, whatever else the inbox holds.
            query, index = query | {"inapp.unread": True}, UNREAD_INDEX
        with translate_errors(), deadline():
            # At one moment: an item that moves between inbox and archive could else be passed over.
            found = self._snapshot.find(query, {"_id": 1}).hint(index)
            ids = [document["_id"]["m"] async for document in found]
        return await self.mark(selection.client_id, selection.user_id, ids, marking, time)

    async def _mark_slice(self, keys: Sequence[dict[str, str]], marking: Marking, time: datetime) -> int:
        changed_count = 0
        with translate_errors(), deadline():
            # Each further round means that another session has marked one of these items since they were read.
            while keys:
                raise_if_cancelled()
                missed: list[dict[str, str]] = []
                for (marks, is_replied), alike in (await self._read(keys, marking)).items():
                    change = marking.change(marks, last_reply=marking.reply if is_replied else "")
                    if change is None:
                        continue
                    query = {"_id": {"$in": alike}} | _in_state(marks, marking.reply if change.adds_reply else "")
                    update = _update(change, marking.reply, time)
                    result = await self._collection.update_many(query, update, hint="_id_")
                    changed_count += result.modified_count
                    if result.modified_count < len(alike):
                        missed += alike
                keys = missed
        return changed_count

    async def _read(self, keys: Sequence[dict[str, str]], marking: Marking) -> dict[_State, list[dict[str, str]]]:
        """Gives the visible ones of the items, by their state."""
        query = {"_id": {"$in": keys}, "inapp.box": {"$in": list(_BOXES.values())}}
        fields: dict[str, Any] = dict.fromkeys(_PATHS.values(), 1)
        if marking.reply:
            fields["inapp.replies"] = {"$slice": -1}
        states: dict[_State, list[dict[str, str]]] = defaultdict(list)
        async for document in self._collection.find(query, fields | {"inapp.box": 1}).hint("_id_"):
            inapp = document["inapp"]
            marks = frozenset(mark for mark, name in TIME_FIELDS.items() if name in inapp)
            is_replied = any(reply["text"] == marking.reply for reply in inapp.get("replies", ()))
            states[marks, is_replied].append(document["_id"])
        return states


def _unlike(marking: Marking) -> dict[str, Any]:
    """Gives what finds the items that a marking changes; a reply may change any."""
    if marking.reply:
        return {}
    lacking: list[dict[str, Any]] = [{_PATHS[mark]: {"$exists": False}} for mark in Mark if mark in marking.sets]
    having: list[dict[str, Any]] = [{_PATHS[mark]: {"$exists": True}} for mark in Mark if mark in marking.clears]
    return {"$or": lacking + having}


def _in_state(marks: frozenset[Mark], new_reply: str) -> dict[str, Any]:
    """Gives what finds the visible items that have exactly these marks, and another last reply than the new one."""
    query: dict[str, Any] = {path: {"$exists": mark in marks} for mark, path in _PATHS.items()}
    query["inapp.box"] = _BOXES[Mark.ARCHIVED in marks]
    if new_reply:
        query["$expr"] = {"$ne": [{"$last": "$inapp.replies.text"}, {"$literal": new_reply}]}
    return query


def _update(change: Change, reply: str, time: datetime) -> dict[str, Any]:
    # States `unread` whatever it was: the event then holds it exactly when it changed.
    values: dict[str, Any] = {_PATHS[mark]: time for mark in Mark if mark in change.sets}
    values["inapp.unread"] = change.unread
    if Mark.ARCHIVED in change.sets | change.clears:
        values["inapp.box"] = _BOXES[Mark.ARCHIVED in change.sets]

    update: dict[str, Any] = {"$set": values, "$currentDate": {"changed": {"$type": "timestamp"}}}
    if change.clears:
        update["$unset"] = {_PATHS[mark]: "" for mark in Mark if mark in change.clears}
    if change.adds_reply:
        # Of too many the oldest leaves.
        added = {"$each": [{"time": time, "text": reply}], "$slice": -MAX_REPLIES}
        update["$push"] = {"inapp.replies": added}
    return update
