"""The collection ``preferences``: ``_id`` is ``{e: client_id, u: user_id}``; a document has all choices of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.kernel.mongo import deadline, translate_errors
from services.kernel.vocabulary import Channel, DeliveryOption
from services.preferences.model import Preference

if TYPE_CHECKING:
    from collections.abc import Sequence
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

    async def replace(self, client_id: str, user_id: str, preferences: Sequence[Preference], now: datetime) -> None:
        """Replaces all choices of a user."""
        document = {"choices": [_to_document(preference) for preference in preferences], "update_time": now}
        with translate_errors(), deadline():
            await self._collection.replace_one({"_id": _key(client_id, user_id)}, document, upsert=True)


def _key(client_id: str, user_id: str) -> dict[str, str]:
    return {"e": client_id, "u": user_id}


def _to_document(preference: Preference) -> dict[str, Any]:
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
