"""The messages that are due, in the collection ``messages``: claiming them, and writing what became of them.

A worker claims by one update that pushes ``due_time`` ahead and leaves ``lease {owner, token, time}``; the push is the
lease. Whoever ends without writing is overtaken once that time has come. Every write of a worker is filtered by the
token of its lease, so one that was overtaken cannot write. A lease that is found at a claim is one of somebody who
ended in the middle: what they called, nobody knows.

Claims are pipelines, for ``$$NOW``: the clocks of workers decide nothing. They change little of a message, so they are
not logged as replacements, which the feed would take for changes of items.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from pymongo import UpdateOne

from services.delivery.closing import Closing
from services.delivery.fetches import next_fetch
from services.delivery.rounds import is_due, is_open
from services.kernel.coalesce import Bounds, Coalescer
from services.kernel.mongo import deadline, translate_errors
from services.kernel.vocabulary import Channel
from services.messages.documents import (
    attachment_to_document,
    attempt_to_document,
    delivery_from_document,
    options_from_document,
    target_to_document,
)
from services.messages.model import DeliveryState, needs_files
from services.messages.sources import DUE_INDEX, LEASE_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from pymongo.asynchronous.database import AsyncDatabase

    from services.kernel.clock import Clock, IdSource
    from services.messages.model import Delivery
    from services.messages.options import Attachment, SendOptions

    Document = dict[str, Any]

MAX_CLAIM = 100
# Taken at random from these: two workers that look at the same moment seldom want the same.
_CANDIDATES = 400

_FIELDS = (
    "notification_id",
    "sub_notification_id",
    "create_time",
    "expire_time",
    "deliveries",
    "options",
    "lane",
    "lease",
    "schedule_time",
    "fire_time",
    "cancel_time",
    "closing",
    "inapp.notification_id",
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """Which message it is."""

    client_id: str
    user_id: str
    tracking_id: str

    @property
    def document_id(self) -> Document:
        """Its ``_id``."""
        return {"e": self.client_id, "u": self.user_id, "m": self.tracking_id}


@dataclass(frozen=True, slots=True)
class Leased:
    """A message that this worker has, until the lease ends."""

    key: Key
    token: str
    lane: int
    notification_id: str
    sub_notification_id: str
    create_time: datetime
    expire_time: datetime
    deliveries: tuple[Delivery, ...]
    options: SendOptions
    has_item: bool
    is_cancelled: bool
    schedule_time: datetime | None = None
    """When it fires; absent: it has fired, or was sent at once."""

    claim_time: datetime | None = None
    """When it was claimed, by the clock that says what is due."""

    closing: Closing | None = None
    """Set by a retraction: what browsers show is to be closed."""

    was_interrupted: bool = field(default=False)
    """Whether another worker had it and ended before it wrote."""

    @property
    def name(self) -> tuple[str, str]:
        """What tells it from the same message under another lease: one may end while its round goes on."""
        return self.key.tracking_id, self.token

    @property
    def fires(self) -> bool:
        """Whether its time has come, and nobody has fired or cancelled it."""
        if self.schedule_time is None or self.claim_time is None or self.is_cancelled:
            return False
        return self.schedule_time <= self.claim_time


@dataclass(frozen=True, slots=True)
class Standing:
    """How a leased message stands at this moment."""

    is_cancelled: bool
    cancelled: frozenset[str]
    """The channels that were cancelled."""

    expire_time: datetime


class Outbox:
    """Claims what is due and writes what became of it; works inside of ``async with``.

    Args:
        database: Where the messages are.
        owner: The name of this worker, for who looks at a lease.
        new_id: Makes the tokens of leases.
        now: The clock that says what is due. Absent: that of the primary, for all workers the same.
    """

    def __init__(
        self, database: AsyncDatabase[dict[str, Any]], *, owner: str, new_id: IdSource, now: Clock | None = None
    ) -> None:
        self._collection = database.messages
        self._owner = owner
        self._new_id = new_id
        self._now = now
        self._checks = Coalescer[tuple[Key, str], "Standing | None"](self._check_all)
        self._writes = Coalescer[list[UpdateOne], None](self._write_all, Bounds(flush_items=500))

    async def __aenter__(self) -> Self:
        await self._checks.__aenter__()
        await self._writes.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._writes.__aexit__(kind, error, traceback)
        await self._checks.__aexit__(kind, error, traceback)

    async def claim(self, lane: int, *, limit: int) -> list[Leased]:
        """Claims up to ``limit`` of the oldest due messages of a lane, at most 100; none is another worker's."""
        is_due_now: Document = {"due_time": {"$exists": True}, "$expr": {"$lte": ["$due_time", self._time]}}
        with translate_errors(), deadline():
            query = {"lane": lane, **is_due_now}
            found = self._collection.find(query, {"_id": 1}).sort("due_time", 1).limit(_CANDIDATES).hint(DUE_INDEX)
            ids = [document["_id"] async for document in found]
            if not ids:
                return []
            chosen = random.sample(ids, min(len(ids), limit, MAX_CLAIM))
            token = self._new_id()
            claimed = await self._collection.update_many(
                {"_id": {"$in": chosen}, **is_due_now},
                [
                    {
                        "$set": {
                            "due_time": self._later,
                            "lease": {
                                "owner": {"$literal": self._owner},
                                "token": {"$literal": token},
                                "time": self._time,
                                # What is there already is of somebody who ended before they wrote.
                                "interrupted": "$lease.time",
                            },
                        }
                    }
                ],
                hint="_id_",
            )
            if not claimed.modified_count:
                return []
            mine = self._collection.find(
                {"_id": {"$in": chosen}, "lease.token": token}, dict.fromkeys(_FIELDS, 1)
            ).hint("_id_")
            return [leased async for document in mine if (leased := _read(document))]

    async def renew(self, leased: Sequence[Leased]) -> set[tuple[str, str]]:
        """Pushes the end of leases 60 s ahead; gives the names of those that are still ours."""
        tokens = sorted({one.token for one in leased})
        query = {"_id": {"$in": [one.key.document_id for one in leased]}, "lease.token": {"$in": tokens}}
        # Not of one that was cancelled: nothing of it is due any more.
        with translate_errors(), deadline():
            await self._collection.update_many(
                query | {"due_time": {"$exists": True}}, [{"$set": {"due_time": self._later}}], hint="_id_"
            )
            found = self._collection.find(query, {"lease.token": 1}).hint("_id_")
            return {(document["_id"]["m"], document["lease"]["token"]) async for document in found}

    async def standing(self, leased: Leased) -> Standing | None:
        """Gives how a message stands now, for all who ask at the same moment at once; None: it is not ours any more.

        Asked right before every call, so that nothing is sent of what was cancelled, deleted or taken over meanwhile.
        """
        return await self._checks.submit((leased.key, leased.token))

    async def record_interruption(self, leased: Leased, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Writes that another worker may have called providers, before anything is called again."""
        set_fields, filters = {}, []
        for i, delivery in enumerate(deliveries):
            if is_due(delivery, now) and delivery.attempts:
                set_fields[f"deliveries.$[d{i}].attempts"] = list(map(attempt_to_document, delivery.attempts))
                filters.append({f"d{i}.channel": delivery.channel.value})
        if set_fields:
            with translate_errors(), deadline():
                await self._collection.update_one(
                    {"_id": leased.key.document_id, "lease.token": leased.token},
                    {"$set": set_fields},
                    array_filters=filters,
                )

    async def record(self, leased: Leased, befores: Sequence[Delivery], afters: Sequence[Delivery]) -> None:
        """Writes what channels have come to while others of the same round still wait; the lease stays.

        When something is due next is left to `finish`: if each channel derived that for itself, one would undo
        another's. Does nothing if the message was taken over, or is gone.
        """
        set_fields, unset, filters = _changes(befores, afters)
        update = {"$set": set_fields} | ({"$unset": unset} if unset else {})
        ours = {"_id": leased.key.document_id, "lease.token": leased.token}
        await self._writes.submit([UpdateOne(ours, update, array_filters=filters)])

    async def finish(
        self,
        leased: Leased,
        deliveries: Sequence[Delivery],
        now: datetime,
        *,
        attachments: Sequence[Attachment] = (),
        closing: Closing | None = None,
    ) -> None:
        """Writes what became of a message, when its round is over, and gives the lease back.

        Args:
            leased: The message as it was claimed.
            deliveries: What it has now, in the same order.
            now: When what is still open without a time of its own is due: at once.
            attachments: Those of its mail as they are now.
            closing: What is left to be closed of it.

        Does nothing if the message was taken over, or is gone.
        """
        await self._writes.submit(_finishing(leased, deliveries, attachments, closing, now))

    @property
    def _time(self) -> Any:
        return self._now() if self._now else "$$NOW"

    @property
    def _later(self) -> Document:
        return {"$add": [self._time, int(LEASE_S * 1000)]}

    async def _check_all(self, keys: Sequence[tuple[Key, str]]) -> list[Standing | Exception | None]:
        query = {
            "_id": {"$in": [key.document_id for key, _ in keys]},
            "lease.token": {"$in": sorted({token for _, token in keys})},
        }
        fields = dict.fromkeys(
            ("lease.token", "cancel_time", "expire_time", "deliveries.channel", "deliveries.state"), 1
        )
        with translate_errors(), deadline():
            found = self._collection.find(query, fields).hint("_id_")
            standings = {
                (Key(**_key_fields(document)), document["lease"]["token"]): _to_standing(document)
                async for document in found
            }
        return [standings.get(key) for key in keys]

    async def _write_all(self, rounds: Sequence[list[UpdateOne]]) -> list[Exception | None]:
        with translate_errors(), deadline():
            result = await self._collection.bulk_write([one for updates in rounds for one in updates], ordered=False)
        if result.matched_count < len(rounds):
            _log.info("rounds_overtaken", count=len(rounds) - result.matched_count)
        return [None] * len(rounds)


def _changes(
    befores: Sequence[Delivery], afters: Sequence[Delivery]
) -> tuple[Document, Document, list[Mapping[str, Any]]]:
    """Gives what an update sets and unsets where deliveries have changed, and its array filters."""
    set_fields: Document = {}
    unset: Document = {}
    filters: list[Mapping[str, Any]] = []
    for i, (before, after) in enumerate(zip(befores, afters, strict=True)):
        if before == after:
            continue
        # Of one that was cancelled meanwhile the attempts are kept, and the state only if it was sent all the same.
        # What a provider has reported since is newer than its answer.
        every, states = f"deliveries.$[d{i}]", f"deliveries.$[s{i}]"
        from_states = [DeliveryState.PENDING.value, DeliveryState.SENT.value]
        if after.state is DeliveryState.SENT:
            from_states.append(DeliveryState.CANCELLED.value)
        filters.append({f"d{i}.channel": after.channel.value})
        filters.append({f"s{i}.channel": after.channel.value, f"s{i}.state": {"$in": from_states}})
        set_fields[f"{every}.attempts"] = list(map(attempt_to_document, after.attempts))
        if after.targets:
            set_fields[f"{every}.targets"] = list(map(target_to_document, after.targets))
        changed: Document = {
            "state": after.state.value,
            "reason": after.reason and after.reason.value,
            "detail": after.detail,
            "next_time": after.next_time,
            "update_time": after.update_time,
            "failed_count": after.failed_count,
        }
        for name, value in changed.items():
            if value:
                set_fields[f"{states}.{name}"] = value
            else:
                unset[f"{states}.{name}"] = ""
    return set_fields, unset, filters


def _finishing(
    leased: Leased,
    deliveries: Sequence[Delivery],
    attachments: Sequence[Attachment],
    closing: Closing | None,
    now: datetime,
) -> list[UpdateOne]:
    """Gives the updates of which one, at most, finds the message as it expects it."""
    set_fields, unset, filters = _changes(leased.deliveries, deliveries)
    unset["lease"] = ""
    due_times = [delivery.next_time or now for delivery in deliveries if is_open(delivery)]
    if leased.schedule_time and not leased.is_cancelled:
        due_times.append(leased.schedule_time)
    if tuple(attachments) != leased.options.email.attachments:
        set_fields["options.email.attachments"] = list(map(attachment_to_document, attachments))
    if not leased.is_cancelled and any(map(needs_files, deliveries)) and (fetch_time := next_fetch(attachments, now)):
        due_times.append(fetch_time)
    ours = {"_id": leased.key.document_id, "lease.token": leased.token}

    def update(due_times: Sequence[datetime], **others: Any) -> UpdateOne:
        fields, without = dict(set_fields), dict(unset)
        if due_times:
            fields["due_time"] = min(due_times)
        else:
            without["due_time"] = ""
        document = {"$unset": without} | ({"$set": fields} if fields else {})
        return UpdateOne(ours | others, document, array_filters=filters)

    if leased.closing:
        if closing is None:
            unset["closing"] = ""
            return [update(due_times)]
        set_fields["closing"] = _closing_to_document(closing)
        return [update([*due_times, closing.next_time or now])]
    if not (leased.has_item and any(delivery.channel is Channel.WEB_PUSH for delivery in deliveries)):
        return [update(due_times)]
    # Taken back since it was claimed: then there is something left to do, at once. In this order, since the mark may
    # come between the two, and never goes.
    return [update(due_times, closing={"$exists": False}), update([now], closing={"$exists": True})]


def _closing_to_document(closing: Closing) -> Document:
    return {
        "time": closing.retract_time,
        "failed_count": closing.failed_count,
        "next_time": closing.next_time,
        "keys": None if closing.keys is None else sorted(closing.keys),
    }


def _to_closing(document: Document) -> Closing:
    keys = document.get("keys")
    return Closing(
        retract_time=document["time"],
        failed_count=document.get("failed_count", 0),
        next_time=document.get("next_time"),
        keys=None if keys is None else frozenset(keys),
    )


def _key_fields(document: Document) -> dict[str, str]:
    document_id = document["_id"]
    return {"client_id": document_id["e"], "user_id": document_id["u"], "tracking_id": document_id["m"]}


def _to_standing(document: Document) -> Standing:
    cancelled = DeliveryState.CANCELLED.value
    return Standing(
        is_cancelled="cancel_time" in document,
        cancelled=frozenset(one["channel"] for one in document["deliveries"] if one["state"] == cancelled),
        expire_time=document["expire_time"],
    )


def _read(document: Document) -> Leased | None:
    try:
        return _to_leased(document)
    except (KeyError, TypeError, ValueError):
        # Of a newer version, whose workers can read it. The lease ends by itself, and the others are carried.
        _log.exception("message_unreadable", tracking_id=document["_id"]["m"], client_id=document["_id"]["e"])
        return None


def _to_leased(document: Document) -> Leased:
    return Leased(
        key=Key(**_key_fields(document)),
        token=document["lease"]["token"],
        lane=document["lane"],
        notification_id=document["notification_id"],
        sub_notification_id=document.get("sub_notification_id", ""),
        create_time=document["create_time"],
        expire_time=document["expire_time"],
        deliveries=tuple(map(delivery_from_document, document["deliveries"])),
        options=options_from_document(document.get("options", {})),
        has_item="notification_id" in document.get("inapp", {}),
        is_cancelled="cancel_time" in document,
        schedule_time=document.get("schedule_time") if "fire_time" not in document else None,
        claim_time=document["lease"]["time"],
        closing=_to_closing(document["closing"]) if "closing" in document else None,
        was_interrupted="interrupted" in document["lease"],
    )
