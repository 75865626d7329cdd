"""The collection ``users``: ``_id`` is ``{e: client_id, u: user_id}``.

A write is one update, so it is atomic whatever runs beside it; `updates.py` makes it.

``received`` has the ids of notifications that the user has received once, the newest last: noted when the first message
of each goes out, so that a preference page can show no others. A note that is lost is made good by the next message.

``email_folded`` is the address without its case, for looking it up: a collation that ignores case would ignore it in
the client_id too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson import MaxKey, MinKey
from pymongo import ReturnDocument, UpdateMany, UpdateOne

from services.kernel.mongo import deadline, translate_errors
from services.users.model import MAX_RECEIVED, PROFILE_TEXTS, PushToken, User, UserFilter, WebPushSubscription
from services.users.updates import BROWSERS, TOKENS, filled, key, noted, pipeline, takings, written

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

    from services.kernel.paging import PositionValue

    Document = dict[str, Any]

_EMAIL_INDEX = "email"
_NUMBER_INDEX = "number"


class UserStore:
    """Reads and writes users."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._collection = database.users

    async def ensure_indexes(self) -> None:
        """Creates what finds the other owners of a device, and the owners of an address."""
        for devices in (TOKENS, BROWSERS):
            await self._create_index(devices.index, devices.path)
        await self._create_index(_EMAIL_INDEX, "email_folded", "_id.u")
        await self._create_index(_NUMBER_INDEX, "number", "_id.u")

    async def _create_index(self, name: str, path: str, *then: str) -> None:
        keys = [(one, 1) for one in ("_id.e", path, *then)]
        await self._collection.create_index(keys, name=name, partialFilterExpression={path: {"$exists": True}})

    async def get(self, client_id: str, user_id: str) -> User | None:
        """Gives a user, or None."""
        with translate_errors(), deadline():
            document = await self._collection.find_one({"_id": key(client_id, user_id)})
        return _to_model(document) if document else None

    async def get_many(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], User]:
        """Gives those users who exist, by (client_id, user_id)."""
        with translate_errors(), deadline():
            found = self._collection.find({"_id": {"$in": [key(*one) for one in keys]}})
            return {(one["_id"]["e"], one["_id"]["u"]): _to_model(one) async for one in found}

    async def page(
        self, client_id: str, selected: UserFilter, *, after: PositionValue | None, limit: int
    ) -> list[User]:
        """Gives up to ``limit`` users by id, those after one id."""
        query: Document = {"_id.e": client_id}
        if selected.email or selected.number:
            if selected.email:
                query["email_folded"] = selected.email
            if selected.number:
                query["number"] = selected.number
            if after is not None:
                query["_id.u"] = {"$gt": after}
            hint, order = (_EMAIL_INDEX if selected.email else _NUMBER_INDEX), "_id.u"
        else:
            # `_id` itself has the order, so the whole list needs no index of its own.
            beginning = MinKey() if after is None else after
            query["_id"] = {"$gt": key(client_id, beginning), "$lt": key(client_id, MaxKey())}
            hint, order = "_id_", "_id"
        with translate_errors(), deadline():
            found = self._collection.find(query, {"received": 0}).sort(order, 1).limit(limit).hint(hint)
            return [_to_model(document) async for document in found]

    async def write(
        self,
        client_id: str,
        user: User,
        now: datetime,
        *,
        cleared: Collection[str] = (),
        removed_tokens: Collection[str] = (),
        removed_endpoints: Collection[str] = (),
    ) -> User:
        """Creates the user, or writes the fields that are not empty and leaves the rest.

        Args:
            client_id: The environment.
            user: What is given.
            now: When it was given.
            cleared: The fields to empty.
            removed_tokens: The push tokens to forget.
            removed_endpoints: The endpoints of subscriptions to forget.
        """
        fields = written(user) | dict.fromkeys(cleared, "$$REMOVE")
        if "email" in cleared:
            fields["email_folded"] = "$$REMOVE"
        return await self._write(client_id, user, now, fields, removed_tokens, removed_endpoints)

    async def fill(self, client_id: str, user: User, now: datetime, *, received: str = "") -> User:
        """Creates the user, or fills the fields that nothing is known of and keeps the rest; tokens are merged.

        Args:
            client_id: The environment.
            user: What is given.
            now: When it was given.
            received: A notification that goes out to the user; empty: none.
        """
        return await self._write(client_id, user, now, filled(user) | (noted(received) if received else {}))

    async def note_received(self, client_id: str, user_id: str, notification_id: str) -> None:
        """Notes that a notification has gone out to a user; who is gone does not come back by it."""
        query = {"_id": key(client_id, user_id), "received": {"$ne": notification_id}}
        newest = {"$each": [notification_id], "$slice": -MAX_RECEIVED}
        with translate_errors(), deadline():
            await self._collection.update_one(query, {"$push": {"received": newest}}, hint="_id_")

    async def write_many(self, client_id: str, users: Sequence[User], now: datetime, *, keep: bool) -> list[User]:
        """Writes users, or fills them where ``keep`` is set, in their order; gives each as it is stored in the end."""
        operations: list[UpdateOne | UpdateMany] = []
        for user in users:
            fields = filled(user) if keep else written(user)
            operations.append(UpdateOne({"_id": key(client_id, user.id)}, pipeline(user, now, fields), upsert=True))
            operations += [UpdateMany(query, update, hint=hint) for query, update, hint in takings(client_id, user)]
        with translate_errors(), deadline():
            # In order: of two who register one device the later has it, as with a call for each.
            if operations:
                await self._collection.bulk_write(operations)
        stored = await self.get_many((client_id, user_id) for user_id in {user.id for user in users})
        # Who was deleted by somebody else since is answered as they were given.
        return [stored.get((client_id, user.id), user) for user in users]

    async def forget_target(self, client_id: str, user_id: str, target: object, gone_time: datetime) -> None:
        """Takes a device or a browser out of the profile, unless it was registered again after ``gone_time``."""
        match target:
            case PushToken(token=identity):
                devices = TOKENS
            case WebPushSubscription(endpoint=identity):
                devices = BROWSERS
            case _:
                return
        gone = {devices.identity: identity, "register_time": {"$lte": gone_time}}
        with translate_errors(), deadline():
            await self._collection.update_one(
                {"_id": key(client_id, user_id)}, {"$pull": {devices.field: gone}}, hint="_id_"
            )

    async def ensure(self, client_id: str, user_id: str, now: datetime) -> None:
        """Creates the user with nothing but the id, if they are not there."""
        with translate_errors(), deadline():
            await self._collection.update_one(
                {"_id": key(client_id, user_id)},
                {"$setOnInsert": {"create_time": now, "update_time": now}},
                upsert=True,
            )

    async def _write(
        self,
        client_id: str,
        user: User,
        now: datetime,
        fields: Document,
        removed_tokens: Collection[str] = (),
        removed_endpoints: Collection[str] = (),
    ) -> User:
        with translate_errors(), deadline():
            document: Any = await self._collection.find_one_and_update(
                {"_id": key(client_id, user.id)},
                pipeline(user, now, fields, removed_tokens, removed_endpoints),
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
            # After the user's own write: a crash in between leaves a token with two owners until it is registered
            # again, the other way round with none.
            for query, update, hint in takings(client_id, user):
                await self._collection.update_many(query, update, hint=hint)
        return _to_model(document)


def _to_model(document: Document) -> User:
    return User(
        id=document["_id"]["u"],
        **{name: document.get(name, "") for name in PROFILE_TEXTS},
        properties=document.get("properties"),
        push_tokens=tuple(PushToken(**token) for token in document.get("push_tokens", ())),
        web_push_subscriptions=tuple(
            WebPushSubscription(**subscription) for subscription in document.get("web_push_subscriptions", ())
        ),
        create_time=document["create_time"],
        update_time=document["update_time"],
        received=tuple(document.get("received", ())),
    )
