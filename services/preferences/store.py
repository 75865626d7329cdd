"""The collection ``preferences``: ``_id`` is ``{e: client_id, u: user_id}``; a document has all choices of a user.

``revision`` is another one after every write: a change of what was read is written only where nobody wrote in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from services.kernel.mongo import deadline, raise_if_cancelled, translate_errors
from services.kernel.vocabulary import Channel, DeliveryOption
from services.preferences.model import Preference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase


class PreferenceStore:
    """Reads and writes the choices of users."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._collection = database.preferences

    async def get(self, client_id: str, user_id: str) -> list[Preference]:
        """Gives a user's choices; none for an unknown user."""
        with translate_errors(), deadline():
            document = await self._collection.find_one({"_id": _key(client_id, user_id)})
        return [_to_model(choice) for choice in document["choices"]] if document else []

    async def get_many(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[Preference]]:
        """Gives the choices of those users who have any, by (client_id, user_id)."""
        with translate_errors(), deadline():
            found = self._collection.find({"_id": {"$in": [_key(*key) for key in keys]}})
            return {(one["_id"]["e"], one["_id"]["u"]): list(map(_to_model, one["choices"])) async for one in found}

    async def replace(self, client_id: str, user_id: str, preferences: Sequence[Preference], now: datetime) -> None:
        """Replaces all choices of a user."""
        with translate_errors(), deadline():
            await self._collection.replace_one(
                {"_id": _key(client_id, user_id)}, _to_document(preferences, now), upsert=True
            )

    async def change(
        self,
        client_id: str,
        user_id: str,
        change: Callable[[Sequence[Preference]], list[Preference]],
        now: datetime,
    ) -> list[Preference]:
        """Writes what ``change`` makes of a user's choices, and gives it.

        Args:
            client_id: The environment.
            user_id: The user.
            change: Is called again where somebody else wrote in between; what it raises comes out, nothing is written.
            now: When.
        """
        key = _key(client_id, user_id)
        with translate_errors(), deadline():
            while True:
                raise_if_cancelled()
                document = await self._collection.find_one({"_id": key})
                stored = [_to_model(choice) for choice in document["choices"]] if document else []
                changed = change(stored)
                if changed == stored or await self._write(key, document, _to_document(changed, now)):
                    return changed

    async def _write(self, key: dict[str, str], read: dict[str, Any] | None, document: dict[str, Any]) -> bool:
        """Writes a document in place of the one that was read; tells whether that was still there."""
        if read:
            unchanged = {"_id": key, "revision": read.get("revision")}
            return (await self._collection.replace_one(unchanged, document)).matched_count == 1
        try:
            await self._collection.insert_one({"_id": key, **document})
        except DuplicateKeyError:
            return False
        return True


def _key(client_id: str, user_id: str) -> dict[str, str]:
    return {"e": client_id, "u": user_id}


def _to_document(preferences: Sequence[Preference], now: datetime) -> dict[str, Any]:
    choices = [_choice_to_document(preference) for preference in preferences]
    return {"choices": choices, "update_time": now, "revision": ObjectId()}


def _choice_to_document(preference: Preference) -> dict[str, Any]:
    return {
        "n": preference.notification_id,
        "s": preference.sub_notification_id,
        "channel": preference.channel.value if preference.channel else None,
        "option": preference.delivery_option.value,
    }


def _to_model(document: dict[str, Any]) -> Preference:
    channel = document["channel"]
    return Preference(
        document["n"], Channel(channel) if channel else None, document["s"], DeliveryOption(document["option"])
    )
