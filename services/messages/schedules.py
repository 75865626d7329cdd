"""Messages that wait for their time: reading, changing, cancelling and firing them, in the collection ``messages``.

A message waits as long as it has a ``schedule_time`` and neither a ``fire_time`` nor a ``cancel_time``; the state of
its deliveries does not decide it, for a channel that is skipped today may be sent to when the time comes. Whoever
writes names in the filter all that the write was decided on, so of a change, a cancellation, a retraction and the
firing at the same moment each either comes before another or finds itself too late. A change takes the lease of a
worker away, which may be firing what was asked for before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.kernel.errors import FailedPrecondition
from services.kernel.mongo import deadline, raise_if_cancelled, translate_errors
from services.messages.documents import (
    delivery_from_document,
    delivery_to_document,
    options_from_document,
    warning_from_document,
    warning_to_document,
)
from services.messages.entry import message_not_found
from services.messages.model import DeliveryState, message_deleted
from services.messages.sources import TRACKING_INDEX
from services.messages.store import item_to_document, to_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

    from services.messages.model import Delivery, Fired, Message, SendWarning
    from services.messages.options import Attachment

    Document = dict[str, Any]

_NEITHER = {"fire_time": {"$exists": False}, "cancel_time": {"$exists": False}}
_WAITS = {"schedule_time": {"$exists": True}, **_NEITHER}
_FIELDS = dict.fromkeys(
    (
        *("request", "request_id", "deliveries", "warnings", "deleted", "inapp.box", "inapp.retract_time"),
        "options",
        *("create_time", "schedule_time", "expire_time", "fire_time", "cancel_time"),
    ),
    1,
)
# What a send decides and neither its change nor its firing does.
_FROM_THE_SEND = frozenset({"_id", "request_id", "request_hash", "answer", "create_time"})
# What may be there before and not after.
_OPTIONAL = frozenset({"sub_notification_id", "secondary_id", "group_id", "tags", "category", "section", "options"})


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits for its time, as it was read."""

    client_id: str
    user_id: str
    tracking_id: str
    request: bytes
    """The SendRequest, without its request_id."""

    request_id: str
    create_time: datetime
    schedule_time: datetime
    expire_time: datetime
    deliveries: tuple[Delivery, ...]
    warnings: tuple[SendWarning, ...]
    attachments: tuple[Attachment, ...]
    is_retracted: bool
    """Whether its item was taken back before it appeared: then it never does."""

    state: Mapping[str, Any]
    """What finds it for as long as nobody has changed it."""


class ScheduleStore:
    """Reads and writes what waits for its time."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._collection = database.messages

    async def get(self, client_id: str, tracking_id: str) -> Waiting:
        """Gives a message that waits.

        Raises:
            NotFound: If the environment does not have it, or does not have it any more.
            FailedPrecondition: If it does not wait.
        """
        document = await self._find(client_id, tracking_id)
        _check_waits(document)
        if "cancel_time" in document:
            raise _not_scheduled(tracking_id, "it was cancelled")
        return _to_waiting(document)

    async def leased(self, client_id: str, user_id: str, tracking_id: str, token: str) -> Waiting | None:
        """Gives a message that waits and whose lease is that of the token, or None."""
        query = {"_id": {"e": client_id, "u": user_id, "m": tracking_id}, "lease.token": token, **_WAITS}
        with translate_errors(), deadline():
            document = await self._collection.find_one(query, _FIELDS, hint="_id_")
        return _to_waiting(document) if document else None

    async def change(self, waiting: Waiting, message: Message) -> bool:
        """Writes what a message is to be instead, if it still is as it was read; tells whether it was.

        Args:
            waiting: As it was read.
            message: As it was composed anew, with its ``schedule_time``.
        """
        document = to_document(message)
        fields = {name: value for name, value in document.items() if name not in _FROM_THE_SEND}
        # A worker that has it may be about to fire what was asked for before.
        removed = (_OPTIONAL - document.keys()) | {"lease"}
        if not message.item and not waiting.is_retracted:
            removed |= {"inapp"}
        with translate_errors(), deadline():
            result = await self._collection.update_one(
                dict(waiting.state), {"$set": fields, "$unset": dict.fromkeys(sorted(removed), "")}, hint="_id_"
            )
        return result.matched_count == 1

    async def fire(self, waiting: Waiting, token: str, fired: Fired, now: datetime) -> bool:
        """Writes what a message has become as its time came, if it still is as it was read; tells whether it was.

        Its item appears with this very write: browsers are told of it as created, once.

        Args:
            waiting: As it was read.
            token: That of the lease under which it is fired.
            fired: What it has become.
            now: The time.
        """
        fields: Document = {
            "deliveries": list(map(delivery_to_document, fired.deliveries)),
            "warnings": list(map(warning_to_document, fired.warnings)),
            "fire_time": now,
        }
        removed = {"lease"}
        update: Document = {}
        if fired.is_due:
            # Due at once by whichever clock, for it is what has come already.
            fields["due_time"] = waiting.schedule_time
        else:
            removed.add("due_time")
        if fired.item:
            fields["inapp"] = item_to_document(fired.item)
            update["$currentDate"] = {"changed": {"$type": "timestamp"}}
        elif not waiting.is_retracted:
            removed.add("inapp")
        update |= {"$set": fields, "$unset": dict.fromkeys(sorted(removed), "")}
        with translate_errors(), deadline():
            result = await self._collection.update_one({**waiting.state, "lease.token": token}, update, hint="_id_")
        return result.matched_count == 1

    async def cancel(self, client_id: str, tracking_id: str, now: datetime) -> None:
        """Cancels a message that waits; one that was cancelled before is as good.

        Raises:
            NotFound: If the environment does not have it, or does not have it any more.
            FailedPrecondition: If it never waited, or its time has come.
        """
        while True:
            raise_if_cancelled()
            document = await self._find(client_id, tracking_id)
            _check_waits(document)
            if "cancel_time" in document:
                return
            with translate_errors(), deadline():
                result = await self._collection.update_one(
                    {"_id": document["_id"], **_WAITS},
                    {
                        "$set": {"deliveries.$[waiting].state": DeliveryState.CANCELLED.value, "cancel_time": now},
                        "$unset": {"due_time": "", "lease": "", "inapp.box": "", "deliveries.$[].next_time": ""},
                    },
                    array_filters=[{"waiting.state": DeliveryState.SCHEDULED.value}],
                    hint="_id_",
                )
            if result.matched_count:
                return

    async def _find(self, client_id: str, tracking_id: str) -> Document:
        query = {"_id.e": client_id, "_id.m": tracking_id}
        with translate_errors(), deadline():
            document = await self._collection.find_one(query, _FIELDS, hint=TRACKING_INDEX)
        if document is None:
            raise message_not_found(tracking_id)
        if document.get("deleted"):
            raise message_deleted(tracking_id)
        return document


def _check_waits(document: Document) -> None:
    tracking_id = document["_id"]["m"]
    if "schedule_time" not in document:
        raise _not_scheduled(tracking_id, "it was sent at once")
    if "fire_time" in document:
        raise FailedPrecondition(
            f"message '{tracking_id}' is out: its time has come",
            reason="ALREADY_FIRED",
            metadata={"tracking_id": tracking_id},
        )


def _not_scheduled(tracking_id: str, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"message '{tracking_id}' does not wait for a time: {why}",
        reason="NOT_SCHEDULED",
        metadata={"tracking_id": tracking_id},
    )


def _to_waiting(document: Document) -> Waiting:
    inapp = document.get("inapp", {})
    state = {name: document[name] for name in ("_id", "request", "schedule_time", "deliveries")}
    # Where there is no item and there are no options, None finds just that.
    state |= {"inapp.box": inapp.get("box"), "options": document.get("options"), **_NEITHER}
    return Waiting(
        client_id=document["_id"]["e"],
        user_id=document["_id"]["u"],
        tracking_id=document["_id"]["m"],
        request=document["request"],
        request_id=document.get("request_id", ""),
        create_time=document["create_time"],
        schedule_time=document["schedule_time"],
        expire_time=document["expire_time"],
        deliveries=tuple(map(delivery_from_document, document["deliveries"])),
        warnings=tuple(map(warning_from_document, document["warnings"])),
        attachments=options_from_document(document.get("options", {})).email.attachments,
        is_retracted="retract_time" in inapp,
        state=state,
    )
