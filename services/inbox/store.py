"""The recipient's view of the collection ``messages``. It only reads: marks.py and the messages' own store write.

Every query names environment and user, and by ``hint`` the index that makes it cost what it answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson import Timestamp

from services.inbox.model import MAX_CHANGES, TIME_FIELDS, Box, Item, ItemFilter, Reply, Selection, State, Tombstone
from services.kernel.clock import to_milliseconds
from services.kernel.cluster_time import position_of
from services.kernel.mongo import deadline, translate_errors
from services.kernel.vocabulary import Channel, Priority
from services.notifications.model import TEXTS, Action, Content

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

INBOX_INDEX = "inbox"
UNREAD_INDEX = "unread"
_CHANGED_INDEX = "changed"
_NEWEST_FIRST = {"inapp.date": -1, "_id.m": -1}
_ITEM_FIELDS = {"inapp": 1, "changed": 1, "expire_time": 1}
_FILTERED = {"notification_ids": "notification_id", "categories": "category", "sections": "section", "tags": "tags"}


class InboxStore:
    """Reads what users see."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._database = database
        self._collection = database.messages

    async def ensure_indexes(self) -> None:
        """Creates what the queries below read by."""
        await self._collection.create_index(
            [("_id.e", 1), ("_id.u", 1), ("inapp.box", 1), ("inapp.date", -1), ("_id.m", -1)],
            name=INBOX_INDEX,
            partialFilterExpression={"inapp.box": {"$exists": True}},
        )
        await self._collection.create_index(
            # `inapp.unread` is in the key, although it is always true there: only so does a count read keys alone.
            [("_id.e", 1), ("_id.u", 1), ("inapp.unread", 1)],
            name=UNREAD_INDEX,
            partialFilterExpression={"inapp.unread": True},
        )
        await self._collection.create_index(
            # What a browser that comes back has missed, what was retracted included.
            [("_id.e", 1), ("_id.u", 1), ("changed", 1)],
            name=_CHANGED_INDEX,
            partialFilterExpression={"changed": {"$exists": True}},
        )

    async def page(
        self, selection: Selection, *, after: tuple[datetime, str] | None, skip: int, limit: int
    ) -> list[Item]:
        """Gives up to ``limit`` items, the newest first, those after one (date, id)."""
        query = query_of(selection)
        if after:
            date, item_id = after
            query["$or"] = [{"inapp.date": {"$lt": date}}, {"inapp.date": date, "_id.m": {"$lt": item_id}}]
            _bound(query, date)
        with translate_errors(), deadline():
            found = self._collection.find(query, _ITEM_FIELDS).sort(_NEWEST_FIRST).skip(skip).limit(limit)
            return [item_of(document) async for document in found.hint(INBOX_INDEX)]

    async def count(self, client_id: str, user_id: str, boxes: tuple[Box, ...]) -> int:
        """Counts the items of a part of the inbox."""
        query = {"_id.e": client_id, "_id.u": user_id, "inapp.box": {"$in": list(boxes)}}
        with translate_errors(), deadline():
            return await self._collection.count_documents(query, hint=INBOX_INDEX)

    async def count_unread(self, client_id: str, user_id: str) -> int:
        """Counts the unread items."""
        with translate_errors(), deadline():
            return await self._collection.count_documents(_unread(client_id, user_id), hint=UNREAD_INDEX)

    async def newest(self, client_id: str, user_id: str, *, limit: int) -> State:
        """Reads the newest items, the badge and whose inbox it is, at one moment."""
        of_user = query_of(Selection(client_id, user_id))
        stages: list[dict[str, Any]] = [{"$match": of_user}, {"$sort": _NEWEST_FIRST}]
        return await self._read(client_id, user_id, stages, index=INBOX_INDEX, limit=limit)

    async def changed(self, client_id: str, user_id: str, *, since: int) -> State:
        """Reads what changed at a position or after it, in its order, likewise; at most `MAX_CHANGES`."""
        from_then_on = Timestamp(since >> 32, since & 0xFFFFFFFF)
        of_user = {"_id.e": client_id, "_id.u": user_id, "changed": {"$gte": from_then_on}}
        stages: list[dict[str, Any]] = [{"$match": of_user}, {"$sort": {"changed": 1}}]
        return await self._read(client_id, user_id, stages, index=_CHANGED_INDEX, limit=MAX_CHANGES)

    async def _read(
        self, client_id: str, user_id: str, stages: list[dict[str, Any]], *, index: str, limit: int
    ) -> State:
        """Reads all in one aggregate: only so is it of one moment, which the answer then names."""
        key = {"e": client_id, "u": user_id}
        beside: list[tuple[str, list[dict[str, Any]]]] = [
            (self._collection.name, [{"$match": _unread(client_id, user_id)}, {"$count": "unread_count"}]),
            ("users", [{"$match": {"_id": key}}, {"$project": {"_id": 0, "user": "$create_time"}}]),
            ("erasures", [{"$match": {"_id": key, "running": True}}, {"$project": {"_id": 0, "running": 1}}]),
        ]
        unions = [{"$unionWith": {"coll": name, "pipeline": pipeline}} for name, pipeline in beside]
        with translate_errors(), deadline():
            answer = await self._database.command(
                {
                    "aggregate": self._collection.name,
                    # One more than is answered tells whether there are more.
                    "pipeline": [*stages, {"$limit": limit + 1}, {"$project": _ITEM_FIELDS}, *unions],
                    # One batch holds everything: a second one would be another round trip.
                    "cursor": {"batchSize": limit + len(unions) + 2},
                    "hint": index,
                    "readConcern": {"level": "snapshot"},
                },
                codec_options=self._database.codec_options,
            )
        cursor = answer["cursor"]
        documents = cursor["firstBatch"]
        found = {name: value for document in documents if "_id" not in document for name, value in document.items()}
        messages = [document for document in documents if "_id" in document]
        return State(
            items=[item for document in messages[:limit] if (item := _to_change(document))],
            has_more=len(messages) > limit,
            unread_count=found.get("unread_count", 0),
            position=position_of(cursor["atClusterTime"]),
            incarnation=to_milliseconds(found["user"]) if "user" in found else None,
            is_being_deleted="running" in found,
        )


def query_of(selection: Selection) -> dict[str, Any]:
    """Gives what finds the items of a selection, by either index."""
    narrowed: ItemFilter = selection.narrowed
    query: dict[str, Any] = {
        "_id.e": selection.client_id,
        "_id.u": selection.user_id,
        "inapp.box": {"$in": list(selection.boxes)} if len(selection.boxes) > 1 else selection.boxes[0],
    }
    if narrowed.unread is not None:
        query["inapp.unread"] = narrowed.unread
    for name, field in _FILTERED.items():
        if values := getattr(narrowed, name):
            query[f"inapp.{field}"] = {"$in": list(values)}
    if selection.before:
        _bound(query, selection.before)
    return query


def _bound(query: dict[str, Any], date: datetime) -> None:
    """Keeps the older of two upper bounds on the date, so that the index is entered where the page begins."""
    bound = query.get("inapp.date", {}).get("$lte", date)
    query["inapp.date"] = {"$lte": min(bound, date)}


def _unread(client_id: str, user_id: str) -> dict[str, Any]:
    return {"_id.e": client_id, "_id.u": user_id, "inapp.unread": True}


def _to_change(document: dict[str, Any]) -> Item | Tombstone | None:
    """Gives what a document says to a client that may hold its item; None: it was never shown."""
    inapp = document["inapp"]
    if inapp.get("box") in set(Box):
        return item_of(document)
    if retract_time := inapp.get("retract_time"):
        return Tombstone(document["_id"]["m"], position_of(document["changed"]), retract_time)
    return None


def item_of(document: Mapping[str, Any]) -> Item:
    """Gives the item of a message: ``_id``, ``changed``, ``expire_time`` and ``inapp``."""
    inapp = document["inapp"]
    texts = {text.name: inapp[text.name] for text in TEXTS[Channel.INAPP_WEB] if text.name in inapp}
    actions = tuple(Action(action["label"], action["url"]) for action in inapp.get("actions", ()))
    return Item(
        id=document["_id"]["m"],
        position=position_of(document["changed"]),
        notification_id=inapp["notification_id"],
        sub_notification_id=inapp.get("sub_notification_id", ""),
        secondary_id=inapp.get("secondary_id", ""),
        content=Content(Channel.INAPP_WEB, texts, html=inapp.get("html", False), actions=actions),
        date=inapp["date"],
        unread=inapp["unread"],
        expire_time=document["expire_time"],
        message_count=inapp["message_count"],
        category=inapp.get("category", ""),
        section=inapp.get("section", ""),
        label=inapp.get("label", ""),
        priority=Priority(inapp["priority"]),
        tags=tuple(inapp.get("tags", ())),
        mark_times={mark: inapp[name] for mark, name in TIME_FIELDS.items() if name in inapp},
        replies=tuple(Reply(reply["time"], reply["text"]) for reply in inapp.get("replies", ())),
    )
