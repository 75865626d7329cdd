"""The updates that write users, as documents: what `store.py` sends.

Each is a pipeline: texts are set or filled and tokens are merged by the server, on what it holds at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.users.model import (
    MAX_RECEIVED,
    MAX_TOKENS,
    PROFILE_TEXTS,
    PushToken,
    User,
    WebPushSubscription,
    fold_email,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Devices:
    """Where one kind of a user's devices is stored, and what finds the other owners of one."""

    field: str
    identity: str
    index: str

    @property
    def path(self) -> str:
        """Where the identities are, as a query names it."""
        return f"{self.field}.{self.identity}"


TOKENS = Devices("push_tokens", "token", "push_token")
BROWSERS = Devices("web_push_subscriptions", "endpoint", "web_push_endpoint")


def key(client_id: str, user_id: object) -> Document:
    """Gives the ``_id`` of a user; with MinKey or MaxKey, the bounds of an environment."""
    return {"e": client_id, "u": user_id}


def written(user: User) -> Document:
    """Gives what sets the fields that are given."""
    fields: Document = {name: _literal(text) for name in PROFILE_TEXTS if (text := getattr(user, name))}
    if user.email:
        fields["email_folded"] = _literal(fold_email(user.email))
    if user.properties is not None:
        fields["properties"] = _literal(dict(user.properties))
    return fields


def filled(user: User) -> Document:
    """Gives what sets those of the given fields that are not there."""
    given: Document = {name: text for name in PROFILE_TEXTS if (text := getattr(user, name))}
    if user.email:
        given["email_folded"] = fold_email(user.email)
    if user.properties:
        given["properties"] = dict(user.properties)
    return {name: {"$ifNull": [f"${name}", _literal(value)]} for name, value in given.items()}


def noted(notification_id: str) -> Document:
    """Gives what adds a notification to those that the user has received, of which the oldest leaves."""
    received = {"$ifNull": ["$received", []]}
    added = {"$slice": [{"$concatArrays": [received, [_literal(notification_id)]]}, -MAX_RECEIVED]}
    return {"received": {"$cond": [{"$in": [_literal(notification_id), received]}, received, added]}}


def pipeline(
    user: User,
    now: datetime,
    fields: Document,
    removed_tokens: Collection[str] = (),
    removed_endpoints: Collection[str] = (),
) -> list[Document]:
    """Gives the update that writes a user; what is removed is not given too."""
    tokens = [_token_to_document(token, now) for token in user.push_tokens]
    subscriptions = [_subscription_to_document(one, now) for one in user.web_push_subscriptions]
    for devices, given, removed in (
        (TOKENS, tokens, removed_tokens),
        (BROWSERS, subscriptions, removed_endpoints),
    ):
        if given or removed:
            fields = fields | {devices.field: _merged(devices, given, removed)}
    return [{"$set": fields | {"create_time": {"$ifNull": ["$create_time", now]}, "update_time": now}}]


def takings(client_id: str, user: User) -> list[tuple[Document, Document, str]]:
    """Gives the updates that take the user's devices from all others, each with its index.

    A device belongs to whom it was registered for last: the next person at it gets no messages of the last.
    """
    return [
        (
            {"_id.e": client_id, devices.path: {"$in": values}, "_id.u": {"$ne": user.id}},
            {"$pull": {devices.field: {devices.identity: {"$in": values}}}},
            devices.index,
        )
        for devices, values in (
            (TOKENS, [token.token for token in user.push_tokens]),
            (BROWSERS, [subscription.endpoint for subscription in user.web_push_subscriptions]),
        )
        if values
    ]


def _literal(value: Any) -> Document:
    # In a pipeline a text that begins with $ is a path.
    return {"$literal": value}


def _merged(devices: Devices, given: list[Document], removed: Collection[str]) -> Document:
    """The kept ones, then the given ones as the newest, cut to the newest 50."""
    gone = [*(document[devices.identity] for document in given), *removed]
    kept = {
        "$filter": {
            "input": {"$ifNull": [f"${devices.field}", []]},
            "cond": {"$not": [{"$in": [f"$$this.{devices.identity}", _literal(gone)]}]},
        }
    }
    return {"$slice": [{"$concatArrays": [kept, _literal(given)]}, -MAX_TOKENS]}


def _token_to_document(token: PushToken, now: datetime) -> Document:
    return {
        "provider": token.provider,
        "token": token.token,
        "device": dict(token.device),
        "sandbox": token.sandbox,
        "register_time": now,
    }


def _subscription_to_document(subscription: WebPushSubscription, now: datetime) -> Document:
    return {
        "endpoint": subscription.endpoint,
        "p256dh": subscription.p256dh,
        "auth": subscription.auth,
        "register_time": now,
        **({"worker": subscription.worker} if subscription.worker else {}),
    }
