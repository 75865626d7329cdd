"""The collection ``users``: ``_id`` is ``{e: client_id, u: user_id}``.

A write is one update pipeline, so it is atomic whatever runs beside it: texts are set or filled, tokens are merged and
cut to the newest 50 by the server, on what it holds at that moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument

from services.kernel.mongo import deadline, translate_errors
from services.users.model import MAX_TOKENS, PROFILE_TEXTS, PushToken, User, WebPushSubscription

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

_TOKEN_INDEX = "push_token"
_ENDPOINT_INDEX = "web_push_endpoint"


class UserStore:
    """Reads and writes users."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._collection = database.users

    async def ensure_indexes(self) -> None:
        """Creates what finds the other owners of a token or an endpoint."""
        for name, path in ((_TOKEN_INDEX, "push_tokens.token"), (_ENDPOINT_INDEX, "web_push_subscriptions.endpoint")):
            await self._collection.create_index(
                [("_id.e", 1), (path, 1)], name=name, partialFilterExpression={path: {"$exists": True}}
            )

    async def get(self, client_id: str, user_id: str) -> User | None:
        """Gives a user, or None."""
        with translate_errors(), deadline():
            document = await self._collection.find_one({"_id": _key(client_id, user_id)})
        return _to_model(document) if document else None

    async def write(self, client_id: str, user: User, now: datetime, *, cleared: Collection[str] = ()) -> User:
        """Creates the user, or writes the fields that are not empty and leaves the rest.

        Args:
            client_id: The environment.
            user: What is given.
            now: When it was given.
            cleared: The fields to empty.
        """
        texts: dict[str, Any] = {name: _literal(text) for name in PROFILE_TEXTS if (text := getattr(user, name))}
        if user.properties is not None:
            texts["properties"] = _literal(dict(user.properties))
        texts |= dict.fromkeys(cleared, "$$REMOVE")
        return await self._write(client_id, user, now, texts)

    async def fill(self, client_id: str, user: User, now: datetime) -> User:
        """Creates the user, or fills the fields that nothing is known of and keeps the rest; tokens are merged."""
        texts = {name: _or_literal(name, text) for name in PROFILE_TEXTS if (text := getattr(user, name))}
        if user.properties:
            texts["properties"] = _or_literal("properties", dict(user.properties))
        return await self._write(client_id, user, now, texts)

    async def ensure(self, client_id: str, user_id: str, now: datetime) -> None:
        """Creates the user with nothing but the id, if they are not there."""
        with translate_errors(), deadline():
            await self._collection.update_one(
                {"_id": _key(client_id, user_id)},
                {"$setOnInsert": {"create_time": now, "update_time": now}},
                upsert=True,
            )

    async def _write(self, client_id: str, user: User, now: datetime, fields: dict[str, Any]) -> User:
        tokens = [_token_to_document(token, now) for token in user.push_tokens]
        subscriptions = [_subscription_to_document(one, now) for one in user.web_push_subscriptions]
        if tokens:
            fields["push_tokens"] = _merged("push_tokens", "token", tokens)
        if subscriptions:
            fields["web_push_subscriptions"] = _merged("web_push_subscriptions", "endpoint", subscriptions)
        fields |= {"create_time": {"$ifNull": ["$create_time", now]}, "update_time": now}

        with translate_errors(), deadline():
            document: Any = await self._collection.find_one_and_update(
                {"_id": _key(client_id, user.id)},
                [{"$set": fields}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
            # After the user's own write: a crash in between leaves a token with two owners until it is registered
            # again, the other way round with none.
            await self._take_from_others(client_id, user.id, "push_tokens", "token", tokens, _TOKEN_INDEX)
            await self._take_from_others(
                client_id, user.id, "web_push_subscriptions", "endpoint", subscriptions, _ENDPOINT_INDEX
            )
        return _to_model(document)

    async def _take_from_others(
        self, client_id: str, user_id: str, field: str, identity: str, documents: list[dict[str, Any]], index: str
    ) -> None:
        """A device belongs to whom it was registered for last: the next person at it gets no messages of the last."""
        if not documents:
            return
        values = [document[identity] for document in documents]
        await self._collection.update_many(
            {"_id.e": client_id, f"{field}.{identity}": {"$in": values}, "_id.u": {"$ne": user_id}},
            {"$pull": {field: {identity: {"$in": values}}}},
            hint=index,
        )


def _key(client_id: str, user_id: str) -> dict[str, str]:
    return {"e": client_id, "u": user_id}


def _literal(value: Any) -> dict[str, Any]:
    # In a pipeline a text that begins with $ is a path.
    return {"$literal": value}


def _or_literal(name: str, value: Any) -> dict[str, Any]:
    return {"$ifNull": [f"${name}", _literal(value)]}


def _merged(field: str, identity: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The kept ones, then the given ones as the newest, cut to the newest 50."""
    given = [document[identity] for document in documents]
    kept = {
        "$filter": {
            "input": {"$ifNull": [f"${field}", []]},
            "cond": {"$not": [{"$in": [f"$$this.{identity}", _literal(given)]}]},
        }
    }
    return {"$slice": [{"$concatArrays": [kept, _literal(documents)]}, -MAX_TOKENS]}


def _token_to_document(token: PushToken, now: datetime) -> dict[str, Any]:
    return {
        "provider": token.provider,
        "token": token.token,
        "device": dict(token.device),
        "sandbox": token.sandbox,
        "register_time": now,
    }


def _subscription_to_document(subscription: WebPushSubscription, now: datetime) -> dict[str, Any]:
    return {
        "endpoint": subscription.endpoint,
        "p256dh": subscription.p256dh,
        "auth": subscription.auth,
        "register_time": now,
    }


def _to_model(document: dict[str, Any]) -> User:
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
    )
