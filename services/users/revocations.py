"""The collection ``revocations``: users whose tokens were revoked, ``_id`` is ``{e: client_id, u: user_id}``.

``not_before`` is the time of the revocation: a token that was made earlier opens nothing. The document ends with the
last token that it could be about.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument

from services.kernel.mongo import deadline, translate_errors
from services.kernel.tokens import MAX_LIFETIME
from services.users.updates import key

if TYPE_CHECKING:
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

KEPT = MAX_LIFETIME + timedelta(hours=1)
"""Longer than any token lives, with room for clocks that differ."""


class Revocations:
    """Reads and writes revocations."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._collection = database.revocations

    async def ensure_indexes(self) -> None:
        """Creates what ends revocations."""
        await self._collection.create_index("expire_time", name="ttl", expireAfterSeconds=0)

    async def revoke(self, client_id: str, user_id: str, not_before: datetime) -> datetime:
        """Revokes the tokens of a user that were made before a time, and gives the time that holds now.

        That is a later one where somebody else, or a process whose clock is ahead, has revoked up to there.
        """
        with translate_errors(), deadline():
            document: Any = await self._collection.find_one_and_update(
                {"_id": key(client_id, user_id)},
                {"$max": {"not_before": not_before, "expire_time": not_before + KEPT}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        time: datetime = document["not_before"]
        return time

    async def not_before(self, client_id: str, user_id: str) -> datetime | None:
        """Gives the time before which a user's tokens are revoked, or None."""
        with translate_errors(), deadline():
            document = await self._collection.find_one({"_id": key(client_id, user_id)})
        return document["not_before"] if document else None
