"""The collection ``messages``: one message, one document, one write.

``_id`` is ``{e: client_id, u: user_id, m: tracking_id}``, so all of a user lies under one prefix. The document is the
in-app item, the outbox of the other channels and the log at once: there is nothing to keep consistent with it.

``changed`` is the time on the cluster's clock of the last change that a browser must see. Nobody but the primary sets
it (an inserted ``Timestamp(0, 0)``, ``$currentDate`` afterwards), so it is in the order of the writes: the version of
an item, and the mark by which the feed knows a visible change. What browsers do not see leaves it alone.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import bson
from bson import MaxKey, MinKey, Timestamp
from bson.raw_bson import RawBSONDocument

from services.kernel.coalesce import Coalescer
from services.kernel.errors import FieldViolation, InvalidArgument
from services.kernel.mongo import SLICE, deadline, raise_if_cancelled, translate_errors
from services.kernel.vocabulary import Channel, Priority
from services.messages.documents import (
    call_to_document,
    delivery_from_document,
    delivery_to_document,
    options_to_document,
    warning_from_document,
    warning_to_document,
)
from services.messages.entry import message_not_found
from services.messages.inserts import Inserted, insert_all
from services.messages.model import (
    AttemptOutcome,
    DeliveryState,
    Retraction,
    StoredRequest,
    message_deleted,
    needs_files,
    optional_fields,
)
from services.messages.sources import DUE_INDEX, LEASE_S, REQUEST_INDEX, TRACKING_INDEX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from pymongo.asynchronous.database import AsyncDatabase

    from services.kernel.links import ReportLink
    from services.messages.files import FileStore, MessageKey
    from services.messages.model import InboxItem, Message, Report, RetractionFilter

MAX_MESSAGE_BYTES = 1024 * 1024
LATER: Mapping[str, Any] = {"box": "later", "unread": False}
"""The item of a message that waits for its time: it holds the place, and no list, count or browser knows it.

``unread`` is there, although it counts nothing: a retraction states it, and would else seem to change it.
"""

# A browser that was away for up to 30 days is told what was taken back meanwhile.
_TOMBSTONE = timedelta(days=31)

_LIVE_INDEX = "live"
# What is left of a deleted message, for as long as it would have been kept.
_KEPT = frozenset({"_id", "request_id", "request_hash", "expire_time", "delete_time", "changed", "inapp"})
_LATER_ITEM = [{"later.channel": Channel.INAPP_WEB.value, "later.state": DeliveryState.SCHEDULED.value}]
_CANCELLABLE = (DeliveryState.SCHEDULED.value, DeliveryState.PENDING.value)


class MessageStore:
    """Inserts messages and takes their items back."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], files: FileStore) -> None:
        self._collection = database.messages
        self._files = files
        self._inserts = Coalescer[RawBSONDocument, Inserted](self._insert_all)

    async def __aenter__(self) -> Self:
        await self._inserts.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._inserts.__aexit__(kind, error, traceback)

    async def ensure_indexes(self) -> None:
        """Creates what finds items and what is due, and what keeps a request_id from being stored twice."""
        visible = {"inapp.box": {"$exists": True}}
        await self._collection.create_index(
            [("_id.e", 1), ("_id.u", 1), ("notification_id", 1)], name=_LIVE_INDEX, partialFilterExpression=visible
        )
        await self._collection.create_index(
            [("_id.e", 1), ("_id.u", 1), ("request_id", 1)],
            name=REQUEST_INDEX,
            unique=True,
            partialFilterExpression={"request_id": {"$exists": True}},
        )
        await self._collection.create_index(
            # What workers claim: a message is in it for as long as something of it is to be done.
            [("lane", 1), ("due_time", 1)],
            name=DUE_INDEX,
            partialFilterExpression={"due_time": {"$exists": True}},
        )

    async def insert(self, message: RawBSONDocument) -> Inserted:
        """Stores a message, as `encode` gives it, together with all that are in flight.

        Once this returns a majority has it on disk. What is repeated after a lost answer is stored once: its ``_id``
        was chosen before, and a second message under its request_id is refused by the index.

        Raises:
            LimitExceeded: If too many wait; nothing is stored then.
            Unavailable: If nobody knows whether it is stored.
        """
        return await self._inserts.submit(message, size=len(message.raw))

    async def find_request(self, client_id: str, user_id: str, request_id: str) -> StoredRequest | None:
        """Gives what a send under this request_id has stored, or None."""
        query = {"_id.e": client_id, "_id.u": user_id, "request_id": request_id}
        fields = {"request_hash": 1, "deleted": 1, "warnings": 1, "changed": 1, "answer": 1}
        fields |= {f"deliveries.{name}": 1 for name in ("channel", "state", "reason", "detail", "update_time")}
        with translate_errors(), deadline():
            document = await self._collection.find_one(query, fields, hint=REQUEST_INDEX)
        return _to_stored_request(document) if document else None

    async def _insert_all(self, messages: Sequence[RawBSONDocument]) -> list[Inserted | Exception]:
        return await insert_all(self._collection, messages, request_index=REQUEST_INDEX)

    async def retract(
        self, client_id: str, user_id: str, selected: RetractionFilter, now: datetime, *, cancel_deliveries: bool
    ) -> Retraction:
        """Takes items back, live; what is left of one tells browsers that were away, and costs no list anything."""
        query = {"_id.e": client_id, "_id.u": user_id, **_narrow(selected)}
        index = _LIVE_INDEX
        if selected.tracking_ids:
            query["_id"] = {"$in": [{"e": client_id, "u": user_id, "m": one} for one in selected.tracking_ids]}
            index = "_id_"
        cancelled_count = 0
        with translate_errors(), deadline():
            if cancel_deliveries:
                cancelled_count = await self._cancel(query, now)

            retracted_count = 0
            visible = self._collection.find(
                query | {"inapp.box": {"$exists": True}}, {"_id": 1, "deliveries.channel": 1}
            ).hint(index)
            found = [document async for document in visible]
            for start in range(0, len(found), SLICE):
                part = found[start : start + SLICE]
                # First: after a crash in between, whoever retracts again finds the item, and closes once more.
                if pushed := [one["_id"] for one in part if {"channel": Channel.WEB_PUSH.value} in one["deliveries"]]:
                    await self._collection.update_many(_shown(pushed), _closing(now), hint="_id_")
                result = await self._collection.update_many(
                    # Still visible: whoever else retracts at this moment counts it, and no one twice.
                    {"_id": {"$in": [one["_id"] for one in part]}, "inapp.box": {"$exists": True}},
                    _retraction(now),
                    array_filters=_LATER_ITEM,
                )
                retracted_count += result.modified_count
        return Retraction(retracted_count, cancelled_count)

    async def _cancel(self, query: dict[str, Any], now: datetime) -> int:
        # By `_id`, in which all of a user lies together: an index for this alone would cost every send a write.
        user = {"e": query["_id.e"], "u": query["_id.u"]}
        of_user = {"$gt": user | {"m": MinKey()}, "$lt": user | {"m": MaxKey()}}
        waiting = {"_id": of_user} | query | {"due_time": {"$exists": True}}
        cancelled_count = 0
        fields = {"deliveries.channel": 1, "deliveries.state": 1, "closing": 1}
        async for found in self._collection.find(waiting, fields).hint("_id_"):
            document: dict[str, Any] | None = found
            while document:
                raise_if_cancelled()
                waiting_count = sum(
                    delivery["state"] in _CANCELLABLE and delivery["channel"] != Channel.INAPP_WEB
                    for delivery in document["deliveries"]
                )
                is_due = {"_id": document["_id"], "due_time": {"$exists": True}}
                # What is still to be closed in browsers stays due.
                kept = {} if "closing" in document else {"due_time": ""}
                result = await self._collection.update_one(
                    is_due | {"closing": {"$exists": "closing" in document}},
                    {
                        # A push that one device has accepted is sent; its other devices are not tried any more.
                        "$set": {"deliveries.$[waiting].state": DeliveryState.CANCELLED.value, "cancel_time": now},
                        "$unset": {"deliveries.$[].next_time": "", **kept},
                    },
                    array_filters=[{"waiting.state": {"$in": _CANCELLABLE}}],
                )
                if result.matched_count:
                    cancelled_count += waiting_count * result.modified_count
                    break
                # Another one of the same moment, or a worker, was in between.
                document = await self._collection.find_one(is_due, fields, hint="_id_")
        return cancelled_count

    async def report(self, link: ReportLink, report: Report, now: datetime) -> None:
        """Writes what a provider says about a message, where that is news and about what it accepted last.

        The report may come before the worker has written that the provider accepted the message: then the delivery is
        still pending and nothing is known of the provider's id. The worker's write leaves alone what is reported.
        """
        accepted = {"outcome": AttemptOutcome.ACCEPTED.value, "provider_id": {"$exists": True}}
        # Nothing is tried again once a provider has accepted, so no delivery has more than one such attempt.
        is_of_this = [
            {"attempts": {"$not": {"$elemMatch": accepted}}},
            {"attempts": {"$elemMatch": accepted | {"provider_id": report.provider_id}}},
        ]
        reported = {
            "channel": link.channel.value,
            "state": {"$in": [DeliveryState.PENDING.value, DeliveryState.SENT.value]},
            "$or": is_of_this,
        }
        of_channel = "deliveries.$[reported]"
        update: dict[str, Any] = {
            "$set": {f"{of_channel}.state": report.state.value, f"{of_channel}.update_time": now},
            "$unset": {f"{of_channel}.next_time": ""},
        }
        update["$set" if report.detail else "$unset"][f"{of_channel}.detail"] = report.detail
        with translate_errors(), deadline():
            await self._collection.update_one(
                {
                    "_id": {"e": link.client_id, "u": link.user_id, "m": link.tracking_id},
                    "deliveries": {"$elemMatch": reported},
                },
                update,
                array_filters=[{"reported.channel": link.channel.value}],
                hint="_id_",
            )

    async def delete(self, client_id: str, tracking_id: str, now: datetime) -> None:
        """Deletes every trace of a message but that it was; its item disappears live, what waits is never sent.

        Its files go right after it. What keeps them for the moment, as a worker that is fetching one, is swept.

        Raises:
            NotFound: If the environment does not have it, or does not have it any more.
        """
        with translate_errors(), deadline():
            while True:
                raise_if_cancelled()
                query = {"_id.e": client_id, "_id.m": tracking_id}
                document = await self._collection.find_one(query, hint=TRACKING_INDEX)
                if document is None:
                    raise message_not_found(tracking_id)
                if document.get("deleted"):
                    raise message_deleted(tracking_id)
                result = await self._collection.update_one(
                    # As it was read: a mark that came in between would leave its trace.
                    {"_id": document["_id"], "changed": document.get("changed"), "deleted": {"$exists": False}},
                    _deletion(document, now),
                )
                if result.modified_count:
                    break
        if document.get("options", {}).get("email", {}).get("attachments"):
            await self._files.delete((client_id, document["_id"]["u"], tracking_id))

    async def find_needing_files(self, keys: Sequence[MessageKey]) -> set[MessageKey]:
        """Gives those of some messages that are there and whose mail is still to come."""
        ids = [{"e": client_id, "u": user_id, "m": tracking_id} for client_id, user_id, tracking_id in keys]
        fields = {"deliveries.channel": 1, "deliveries.state": 1}
        with translate_errors(), deadline():
            found = await self._collection.find({"_id": {"$in": ids}}, fields).hint("_id_").to_list()
        return {
            (document["_id"]["e"], document["_id"]["u"], document["_id"]["m"])
            for document in found
            if _needs_files(document)
        }


def _needs_files(document: dict[str, Any]) -> bool:
    try:
        return any(map(needs_files, map(delivery_from_document, document.get("deliveries", ()))))
    except ValueError:
        # A state of a newer version: only that knows.
        return True


def taking_back(now: datetime) -> dict[str, Any]:
    """Gives the update by which an item leaves lists and counts, and every browser is told."""
    return {
        # States `unread` whatever it was: the event then holds it exactly when it changed.
        "$set": {"inapp.retract_time": now, "inapp.unread": False},
        "$unset": {"inapp.box": ""},
        "$currentDate": {"changed": {"$type": "timestamp"}},
    }


def _shown(ids: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Gives the query for those of visible messages that a browser may show, or may be about to."""
    under_way = [DeliveryState.PENDING.value, DeliveryState.CANCELLED.value]
    return {
        "_id": {"$in": ids},
        "inapp.box": {"$exists": True},
        "$or": [
            {"deliveries": {"$elemMatch": {"channel": Channel.WEB_PUSH.value, "state": DeliveryState.SENT.value}}},
            # A worker has it, and writes only when its round is over whether a browser was reached.
            {
                "lease": {"$exists": True},
                "deliveries": {"$elemMatch": {"channel": Channel.WEB_PUSH.value, "state": {"$in": under_way}}},
            },
        ],
    }


def _closing(now: datetime) -> list[dict[str, Any]]:
    """Gives the update by which a worker closes what browsers show; of one that a worker has, when that is done."""
    at_end_of_lease = {"$ifNull": ["$due_time", now + timedelta(seconds=LEASE_S)]}
    due_time = {"$cond": [{"$gt": ["$lease", None]}, at_end_of_lease, {"$min": ["$due_time", now]}]}
    return [{"$set": {"closing": {"$literal": {"time": now}}, "due_time": due_time}}]


def _retraction(now: datetime) -> dict[str, Any]:
    """Gives the update that takes an item back, one that has not appeared yet included: then it never does."""
    update = taking_back(now)
    update["$set"] |= {
        "deliveries.$[later].state": DeliveryState.CANCELLED.value,
        "deliveries.$[later].update_time": now,
    }
    update["$unset"] |= {"deliveries.$[later].next_time": ""}
    return update | {"$max": {"delete_time": now + _TOMBSTONE}}


def check_fits(message: Message) -> None:
    """Checks that a message which waits for its time can be stored as what it becomes then, as far as that is known.

    Raises:
        InvalidArgument: If it is larger than 1 MiB.
    """
    encode(replace(message, schedule_time=None))


def encode(message: Message) -> RawBSONDocument:
    """Gives a message whole, as it is stored; apart from `insert`, so that what is too large leaves no trace at all.

    Raises:
        InvalidArgument: If it is larger than 1 MiB.
    """
    encoded = bson.encode(to_document(message))
    if len(encoded) > MAX_MESSAGE_BYTES:
        problem = f"the message may have 1 MiB over all channels, its request included, but has {len(encoded)} bytes"
        raise InvalidArgument([FieldViolation("", problem, "TOO_LARGE")], reason="MESSAGE_TOO_LARGE")
    return RawBSONDocument(encoded)


def _to_stored_request(document: dict[str, Any]) -> StoredRequest:
    # What became of it since may be anything, so the answer of one that waited for its time was kept.
    answer = document.get("answer", document)
    return StoredRequest(
        tracking_id=document["_id"]["m"],
        request_hash=document["request_hash"],
        is_deleted=document.get("deleted", False),
        has_item=answer.get("has_item", "changed" in document),
        deliveries=tuple(delivery_from_document(delivery) for delivery in answer.get("deliveries", ())),
        warnings=tuple(map(warning_from_document, answer.get("warnings", ()))),
    )


def _deletion(document: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Gives the update that leaves what a late repetition is known by, and what tells browsers that were away."""
    # A lease may have been taken since the document was read, and the item taken back.
    gone = (document.keys() - _KEPT) | {"due_time", "lease", "closing"}
    update: dict[str, Any] = {"$set": {"deleted": True}}
    if inapp := document.get("inapp"):
        gone |= {f"inapp.{name}" for name in inapp.keys() - {"retract_time", "unread"}}
        update["$set"] |= {"inapp.retract_time": now, "inapp.unread": False}
        update |= {"$max": {"delete_time": now + _TOMBSTONE}, "$currentDate": {"changed": {"$type": "timestamp"}}}
    return update | {"$unset": dict.fromkeys(sorted(gone), "")}


def _narrow(selected: RetractionFilter) -> dict[str, Any]:
    query: dict[str, Any] = {}
    if selected.notification_id:
        query["notification_id"] = selected.notification_id
    if selected.group_id:
        query["group_id"] = selected.group_id
    if selected.part_ids:
        query["$and"] = [
            {"$or": [{"sub_notification_id": part_id}, {"secondary_id": part_id}]} for part_id in selected.part_ids
        ]
    return query


def to_document(message: Message) -> dict[str, Any]:
    """Gives a message as it is stored."""
    document: dict[str, Any] = {
        "_id": {"e": message.client_id, "u": message.user_id, "m": message.tracking_id},
        "notification_id": message.notification_id,
        **optional_fields(
            sub_notification_id=message.sub_notification_id,
            secondary_id=message.secondary_id,
            group_id=message.group_id,
            tags=list(message.tags),
            category=message.category,
            section=message.section,
        ),
        "priority": message.priority.value,
        "create_time": message.create_time,
        "expire_time": message.expire_time,
        "delete_time": message.delete_time,
        "deliveries": [delivery_to_document(delivery) for delivery in message.deliveries],
        "warnings": list(map(warning_to_document, message.warnings)),
        "request": message.request,
    }
    if message.call:
        document["call"] = call_to_document(message.call)
    if message.request_id:
        document |= {"request_id": message.request_id, "request_hash": message.request_hash}
    if options := options_to_document(message.options):
        document["options"] = options
    lane = int(message.priority is Priority.LOW)
    if message.schedule_time:
        # Files are fetched at once, whatever waits.
        due_time = message.create_time if message.has_files_to_fetch else message.schedule_time
        document |= {"schedule_time": message.schedule_time, "lane": lane, "due_time": due_time}
        if message.item:
            document["inapp"] = LATER
        if message.request_id:
            document["answer"] = {
                "has_item": message.item is not None,
                "deliveries": document["deliveries"],
                "warnings": document["warnings"],
            }
        return document
    if message.item:
        document |= {"changed": Timestamp(0, 0), "inapp": item_to_document(message.item)}
    if message.is_due or message.has_files_to_fetch:
        document |= {"lane": lane, "due_time": message.create_time}
    return document


def item_to_document(item: InboxItem) -> dict[str, Any]:
    """Gives an item as it is stored when it appears."""
    return {
        "box": "inbox",
        "date": item.date,
        "unread": True,
        "notification_id": item.notification_id,
        **item.content.texts,
        "message_count": 1,
        "priority": item.priority.value,
        **optional_fields(
            html=item.content.html,
            actions=[{"label": action.label, "url": action.url} for action in item.content.actions],
            sub_notification_id=item.sub_notification_id,
            secondary_id=item.secondary_id,
            category=item.category,
            section=item.section,
            label=item.label,
            tags=list(item.tags),
        ),
    }
