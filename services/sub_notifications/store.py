"""The collection ``sub_notifications``: ``_id`` is ``{e: client_id, n: notification_id, s: sub_notification_id}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument

from services.kernel.mongo import deadline, translate_errors
from services.sub_notifications.model import SubNotification

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.database import AsyncDatabase

    from services.environments.store import EnvironmentStore
    from services.kernel.paging import PositionValue

_INDEX = "catalogue"


class SubNotificationStore:
    """Reads and writes sub-notifications."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], environments: EnvironmentStore) -> None:
        self._collection = database.sub_notifications
        self._environments = environments

    async def ensure_indexes(self) -> None:
        """Creates what the parts of a notification are read by."""
        await self._collection.create_index([("_id.e", 1), ("_id.n", 1), ("_id.s", 1)], name=_INDEX)

    async def of_notifications(
        self, client_id: str, notification_ids: Sequence[str], *, begin: tuple[str, str], limit: int
    ) -> list[SubNotification]:
        """Gives up to ``limit`` parts of several notifications, by notification and in the order of their ids.

        Args:
            client_id: The environment.
            notification_ids: The notifications.
            begin: One of them and a part of it: none before that part is given.
            limit: How many at most.
        """
        first, first_part = begin
        whole = [notification_id for notification_id in notification_ids if notification_id != first]
        ranges: list[dict[str, Any]] = [{"_id.e": client_id, "_id.n": {"$in": whole}}]
        if first in notification_ids:
            ranges.append({"_id.e": client_id, "_id.n": first, "_id.s": {"$gte": first_part}})
        with translate_errors(), deadline():
            found = self._collection.find({"$or": ranges}).sort([("_id.n", 1), ("_id.s", 1)]).limit(limit).hint(_INDEX)
            return [_to_model(document) async for document in found]

    async def get(self, client_id: str, notification_id: str, sub_notification_id: str) -> SubNotification | None:
        """Gives a part, or None."""
        with translate_errors(), deadline():
            document = await self._collection.find_one({"_id": _key(client_id, notification_id, sub_notification_id)})
        return _to_model(document) if document else None

    async def page(
        self, client_id: str, notification_id: str, *, after: PositionValue | None, limit: int
    ) -> list[SubNotification]:
        """Gives up to ``limit`` parts of a notification by id, those after one id."""
        query: dict[str, Any] = {"_id.e": client_id, "_id.n": notification_id}
        if after is not None:
            query["_id.s"] = {"$gt": after}
        with translate_errors(), deadline():
            found = self._collection.find(query).sort("_id.s", 1).limit(limit).hint(_INDEX)
            return [_to_model(document) async for document in found]

    async def put(
        self, client_id: str, notification_id: str, sub_notification_id: str, title: str, now: datetime
    ) -> SubNotification:
        """Creates a part, or gives it another title."""
        update = {"$set": {"title": title, "update_time": now}, "$setOnInsert": {"create_time": now}}

        async def write(session: AsyncClientSession) -> Any:
            return await self._collection.find_one_and_update(
                {"_id": _key(client_id, notification_id, sub_notification_id)},
                update,
                upsert=True,
                return_document=ReturnDocument.AFTER,
                session=session,
            )

        return _to_model(await self._environments.raising_version(client_id, write))

    async def ensure(self, client_id: str, notification_id: str, sub_notification_id: str, now: datetime) -> None:
        """Creates a part with its id as title, if it is not there."""
        key = _key(client_id, notification_id, sub_notification_id)
        with translate_errors(), deadline():
            if await self._collection.find_one({"_id": key}, {"_id": 1}):
                return
        fields = {"title": sub_notification_id, "create_time": now, "update_time": now}

        async def write(session: AsyncClientSession) -> None:
            await self._collection.update_one({"_id": key}, {"$setOnInsert": fields}, upsert=True, session=session)

        await self._environments.raising_version(client_id, write)

    async def delete(self, client_id: str, notification_id: str, sub_notification_id: str) -> bool:
        """Deletes a part; tells whether it was there."""

        async def write(session: AsyncClientSession) -> int:
            key = _key(client_id, notification_id, sub_notification_id)
            return (await self._collection.delete_one({"_id": key}, session=session)).deleted_count

        return await self._environments.raising_version(client_id, write) == 1

    async def delete_all(self, client_id: str, notification_id: str, session: AsyncClientSession) -> None:
        """Deletes the parts of a notification in the transaction that deletes it."""
        query = {"_id.e": client_id, "_id.n": notification_id}
        await self._collection.delete_many(query, hint=_INDEX, session=session)


def _key(client_id: str, notification_id: str, sub_notification_id: str) -> dict[str, str]:
    return {"e": client_id, "n": notification_id, "s": sub_notification_id}


def _to_model(document: dict[str, Any]) -> SubNotification:
    return SubNotification(
        document["_id"]["n"], document["_id"]["s"], document["title"], document["create_time"], document["update_time"]
    )
