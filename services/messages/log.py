"""The log: the backend's view of the collection ``messages``; who writes it is `store`.

Tracking ids are UUIDv7 as text, so their order is the order of time, and a page goes on below the last id of the one
before. What no index serves is compared message by message, with at most 10,000 of them a page: it then ends early,
with a token, and no call runs away.

What is left of a deleted message is not shown, nor what is about to be deleted; both keep their places in the
indexes, and a read passes over them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from services.inbox.model import Reply
from services.kernel.mongo import deadline, translate_errors
from services.kernel.vocabulary import Priority
from services.messages.documents import call_from_document, delivery_from_document, warning_from_document
from services.messages.entry import ItemMarks, LogEntry, LogPage, message_not_found
from services.messages.model import DeliveryState, message_deleted
from services.messages.sources import LOG_INDEX, TRACKING_INDEX, choose, times

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

    from services.messages.entry import LogFilter
    from services.messages.model import Delivery
    from services.messages.sources import Source

MAX_EXAMINED = 10_000
# Below the 4 MiB that gRPC's clients take unless they are told otherwise.
MAX_PAGE_BYTES = 3 * 1024 * 1024

# How often a page is filled up after it met what is not shown, before it is answered with fewer.
_ROUNDS = 10
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument, tz_aware=True)
_DECODED: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
_NEVER_SHOWN = dict.fromkeys(
    ("request_hash", "answer", "options", "deliveries.address", "deliveries.targets.key", "inapp.title", "inapp.body"),
    0,
)
_FULL_ONLY = dict.fromkeys(("request", "deliveries.content"), 0)
_MARKS = (
    "seen_time",
    "opened_time",
    "clicked_time",
    "archive_time",
    "first_action_time",
    "second_action_time",
    "retract_time",
)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one page asks of each of its sources."""

    compared: Mapping[str, Any]
    times: Mapping[str, Any]
    fields: Mapping[str, int]
    limit: int
    max_examined: int
    now: datetime


class MessageLog:
    """Reads messages for backends."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._collection = database.messages
        # Raw, since a page is limited by what its documents weigh.
        self._raw = self._collection.with_options(codec_options=_RAW)

    async def ensure_indexes(self) -> None:
        """Creates what the log is read by; a user's part is read by the ids themselves."""
        await self._collection.create_index([("_id.e", 1), ("_id.m", 1)], name=TRACKING_INDEX)
        await self._collection.create_index([("_id.e", 1), ("notification_id", 1), ("_id.m", 1)], name=LOG_INDEX)

    async def get(self, client_id: str, tracking_id: str, now: datetime) -> LogEntry:
        """Gives one message, whole.

        Raises:
            NotFound: If the environment does not have it, or does not have it any more.
        """
        query = {"_id.e": client_id, "_id.m": tracking_id}
        with translate_errors(), deadline():
            document = await self._raw.find_one(query, _NEVER_SHOWN, hint=TRACKING_INDEX)
        if document is None or document["delete_time"] <= now:
            raise message_not_found(tracking_id)
        entry = _to_entry(document)
        if entry is None:
            raise message_deleted(tracking_id)
        return entry

    async def page(
        self, client_id: str, selected: LogFilter, now: datetime, *, below: str, limit: int, is_full: bool
    ) -> LogPage:
        """Gives up to ``limit`` messages, the newest first.

        Args:
            client_id: The environment.
            selected: Which of its messages.
            now: What was to be deleted by then is left out.
            below: The tracking id where the page before ended; empty: from the newest on.
            limit: How many at most. They may be fewer, even none, and still have others below them.
            is_full: Whether to read requests and contents, too.
        """
        sources, compared = choose(client_id, selected)
        reading = _Reading(
            compared=compared,
            times=times(selected),
            fields=_NEVER_SHOWN if is_full else _NEVER_SHOWN | _FULL_ONLY,
            limit=limit,
            max_examined=MAX_EXAMINED // len(sources),
            now=now,
        )
        high = min(filter(None, (below, selected.highest_id)), default="")
        page = LogPage()
        with translate_errors(), deadline():
            # One after the other: each needs to be read only as far down as those before it are whole.
            for source in sources:
                part = await self._read(source, reading, max(page.end, selected.lowest_id), high)
                page = page.joined(part, limit=limit, max_bytes=MAX_PAGE_BYTES)
        return page

    async def _read(self, source: Source, reading: _Reading, low: str, high: str) -> LogPage:
        """Reads downwards from ``high``, one message more than the limit, so that it is known whether there is one."""
        lowest = low
        if reading.compared and not source.is_finite:
            lowest = await self._reach(source, low, high, reading.max_examined)

        entries: list[LogEntry] = []
        bytes_left = MAX_PAGE_BYTES
        for _ in range(_ROUNDS):
            wanted = reading.limit + 1 - len(entries)
            query = {**source.between(lowest, high), **reading.times, **reading.compared}
            found = self._raw.find(query, reading.fields).sort(source.key, -1).limit(wanted).hint(source.index)
            async with found:
                async for document in found:
                    wanted -= 1
                    bytes_left -= len(document.raw)
                    high = document["_id"]["m"]
                    if document["delete_time"] > reading.now and (entry := _to_entry(document)):
                        entries.append(entry)
                    if bytes_left < 0:
                        return LogPage(tuple(entries), high)
            if wanted > 0:
                return LogPage(tuple(entries), lowest if lowest > low else "")
            if len(entries) > reading.limit:
                break
        return LogPage(tuple(entries), high)

    async def _reach(self, source: Source, low: str, high: str, max_examined: int) -> str:
        """Tells how far down a page may look: the tracking id at that place in the index, whose keys alone are read.

        Found before the page is read, so that nothing between the two can open a gap.
        """
        keys = self._collection.find(source.between(low, high), {source.key: 1}).sort(source.key, -1)
        last = await keys.skip(max_examined - 1).limit(1).hint(source.index).to_list()
        return str(last[0]["_id"]["m"]) if last else low


def _to_entry(raw: RawBSONDocument) -> LogEntry | None:
    """Gives what the log tells of a document; of what is left of a deleted message, nothing."""
    document = bson.decode(raw.raw, _DECODED)
    if document.get("deleted"):
        return None

    inapp = document.get("inapp")
    return LogEntry(
        tracking_id=document["_id"]["m"],
        user_id=document["_id"]["u"],
        notification_id=document["notification_id"],
        deliveries=tuple(_to_delivery(delivery, document) for delivery in document["deliveries"]),
        create_time=document["create_time"],
        expire_time=document["expire_time"],
        schedule_time=document.get("schedule_time"),
        sub_notification_id=document.get("sub_notification_id", ""),
        secondary_id=document.get("secondary_id", ""),
        request_id=document.get("request_id", ""),
        group_id=document.get("group_id", ""),
        tags=tuple(document.get("tags", ())),
        priority=Priority(document["priority"]),
        category=document.get("category", ""),
        section=document.get("section", ""),
        warnings=tuple(map(warning_from_document, document["warnings"])),
        marks=_to_marks(inapp) if inapp else None,
        request=document.get("request", b""),
        size=len(raw.raw),
        call=call_from_document(document["call"]) if "call" in document else None,
    )


def _to_delivery(document: Mapping[str, Any], message: Mapping[str, Any]) -> Delivery:
    delivery = delivery_from_document(document)
    is_pending, is_cancelled = (delivery.state is state for state in (DeliveryState.PENDING, DeliveryState.CANCELLED))
    return replace(
        delivery,
        # Its first attempt is due when the message is.
        next_time=delivery.next_time or (message.get("due_time") if is_pending else None),
        update_time=(message.get("cancel_time") if is_cancelled else None)
        or delivery.update_time
        or message["create_time"],
    )


def _to_marks(inapp: Mapping[str, Any]) -> ItemMarks:
    return ItemMarks(
        times={name: inapp[name] for name in _MARKS if name in inapp},
        replies=tuple(Reply(reply["time"], reply["text"]) for reply in inapp.get("replies", ())),
    )
