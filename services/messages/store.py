"""The collection ``messages``: one message, one document, one write.

``_id`` is ``{e: client_id, u: user_id, m: tracking_id}``, so all of a user lies under one prefix. The document is the
in-app item, the outbox of the other channels and the log at once: there is nothing to keep consistent with it.

``changed`` is the time on the cluster's clock of the last change that a browser must see. Nobody but the primary sets
it (an inserted ``Timestamp(0, 0)``, ``$currentDate`` afterwards), so it is in the order of the writes: the version of
an item, and the mark by which the feed knows a visible change. What browsers do not see leaves it alone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import bson
from bson import MaxKey, MinKey, Timestamp
from bson.raw_bson import RawBSONDocument

from services.kernel.errors import FieldViolation, InvalidArgument
from services.kernel.mongo import deadline, translate_errors
from services.messages.model import DeliveryState, Retraction, optional_fields
from services.notifications.store import content_to_document

if TYPE_CHECKING:
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

    from services.messages.model import Delivery, InboxItem, Message, RetractionFilter

MAX_MESSAGE_BYTES = 1024 * 1024
# A browser that was away for up to 30 days is told what was taken back meanwhile.
_TOMBSTONE = timedelta(days=31)
# One update of 50,000 documents holds up every other writer; slices of this size do not.
_SLICE = 500

_LIVE_INDEX = "live"


class MessageStore:
    """Inserts messages and takes their items back."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._collection = database.messages

    async def ensure_indexes(self) -> None:
        """Creates what `retract` finds items by, and what lets messages expire."""
        visible = {"inapp.box": {"$exists": True}}
        await self._collection.create_index(
            [("_id.e", 1), ("_id.u", 1), ("notification_id", 1)], name=_LIVE_INDEX, partialFilterExpression=visible
        )
        await self._collection.create_index("expire_time", name="ttl", expireAfterSeconds=0)

    async def insert(self, message: RawBSONDocument) -> None:
        """Stores a message, as `encode` gives it; once this returns it survives the loss of a machine.

        A write that the driver repeats after a lost answer is stored once: its ``_id`` was chosen before.
        """
        with translate_errors(), deadline():
            await self._collection.insert_one(message)

    async def retract(
        self, client_id: str, user_id: str, selected: RetractionFilter, now: datetime, *, cancel_deliveries: bool
    ) -> Retraction:
        """Takes items back, live; what is left of one tells browsers that were away, and costs no list anything."""
        query = {"_id.e": client_id, "_id.u": user_id, **_narrow(selected)}
        cancelled_count = 0
        with translate_errors(), deadline():
            if cancel_deliveries:
                cancelled_count = await self._cancel(query, now)

            retracted_count = 0
            visible = self._collection.find(query | {"inapp.box": {"$exists": True}}, {"_id": 1}).hint(_LIVE_INDEX)
            ids = [document["_id"] async for document in visible]
            for start in range(0, len(ids), _SLICE):
                result = await self._collection.update_many(
                    # Still visible: whoever else retracts at this moment counts it, and no one twice.
                    {"_id": {"$in": ids[start : start + _SLICE]}, "inapp.box": {"$exists": True}},
                    {
                        # States `unread` whatever it was: the event then holds it exactly when it changed.
                        "$set": {"inapp.retract_time": now, "inapp.unread": False},
                        "$unset": {"inapp.box": ""},
                        "$max": {"expire_time": now + _TOMBSTONE},
                        "$currentDate": {"changed": {"$type": "timestamp"}},
                    },
                )
                retracted_count += result.modified_count
        return Retraction(retracted_count, cancelled_count)

    async def _cancel(self, query: dict[str, Any], now: datetime) -> int:
        pending = DeliveryState.PENDING.value
        # By `_id`, in which all of a user lies together: an index for this alone would cost every send a write.
        user = {"e": query["_id.e"], "u": query["_id.u"]}
        of_user = {"$gt": user | {"m": MinKey()}, "$lt": user | {"m": MaxKey()}}
        waiting = query | {"_id": of_user, "due_time": {"$exists": True}, "deliveries.state": pending}
        cancelled_count = 0
        async for document in self._collection.find(waiting, {"deliveries": 1}).hint("_id_"):
            states = [delivery["state"] for delivery in document["deliveries"]]
            result = await self._collection.update_one(
                {"_id": document["_id"], "deliveries.state": pending},
                {
                    "$set": {"deliveries.$[waiting].state": DeliveryState.CANCELLED.value, "cancel_time": now},
                    "$unset": {"due_time": ""},
                },
                array_filters=[{"waiting.state": pending}],
            )
            cancelled_count += states.count(pending) * result.modified_count
        return cancelled_count


def encode(message: Message) -> RawBSONDocument:
    """Gives a message whole, as it is stored; apart from `insert`, so that what is too large leaves no trace at all.

    Raises:
        InvalidArgument: If it is larger than 1 MiB.
    """
    encoded = bson.encode(_to_document(message))
    if len(encoded) > MAX_MESSAGE_BYTES:
        problem = f"the message may have 1 MiB over all channels, its request included, but has {len(encoded)} bytes"
        raise InvalidArgument([FieldViolation("", problem, "TOO_LARGE")], reason="MESSAGE_TOO_LARGE")
    return RawBSONDocument(encoded)


def _narrow(selected: RetractionFilter) -> dict[str, Any]:
    query: dict[str, Any] = {}
    if selected.notification_id:
        query["notification_id"] = selected.notification_id
    if selected.tracking_ids:
        query["_id.m"] = {"$in": list(selected.tracking_ids)}
    if selected.group_id:
        query["group_id"] = selected.group_id
    if selected.part_ids:
        query["$and"] = [
            {"$or": [{"sub_notification_id": part_id}, {"secondary_id": part_id}]} for part_id in selected.part_ids
        ]
    return query


def _to_document(message: Message) -> dict[str, Any]:
    document: dict[str, Any] = {
        "_id": {"e": message.client_id, "u": message.user_id, "m": message.tracking_id},
        "notification_id": message.notification_id,
        **optional_fields(
            sub_notification_id=message.sub_notification_id,
            secondary_id=message.secondary_id,
            group_id=message.group_id,
            tags=list(message.tags),
        ),
        "priority": message.priority.value,
        "create_time": message.create_time,
        "expire_time": message.expire_time,
        "deliveries": [_delivery_to_document(delivery) for delivery in message.deliveries],
        "warnings": [
            {"code": warning.code.value, "field": warning.field, "text": warning.text} for warning in message.warnings
        ],
        "request": message.request,
    }
    if message.item:
        document |= {"changed": Timestamp(0, 0), "inapp": _item_to_document(message.item)}
    if message.is_due:
        document |= {"lane": 0, "due_time": message.create_time}
    return document


def _delivery_to_document(delivery: Delivery) -> dict[str, Any]:
    document: dict[str, Any] = {"channel": delivery.channel.value, "state": delivery.state.value}
    if delivery.reason:
        document["reason"] = delivery.reason.value
    if delivery.content:
        document["content"] = content_to_document(delivery.content)
    return document | optional_fields(detail=delivery.detail, address=delivery.address)


def _item_to_document(item: InboxItem) -> dict[str, Any]:
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
