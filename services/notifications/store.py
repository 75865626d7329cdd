"""The collection ``notifications``: ``_id`` is ``{e: client_id, n: notification_id}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.kernel.errors import Conflict
from services.kernel.mongo import deadline, translate_errors
from services.kernel.vocabulary import Channel, DeliveryOption, Priority
from services.notifications.model import (
    NO_ETAG,
    Action,
    ChannelSettings,
    Content,
    Notification,
    Template,
    notification_not_found,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.database import AsyncDatabase

    from services.environments.store import EnvironmentStore
    from services.kernel.paging import PositionValue
    from services.sub_notifications.store import SubNotificationStore

_INDEX = "catalogue"


class NotificationStore:
    """Reads and writes definitions."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        environments: EnvironmentStore,
        sub_notifications: SubNotificationStore,
    ) -> None:
        self._collection = database.notifications
        self._environments = environments
        self._sub_notifications = sub_notifications

    async def ensure_indexes(self) -> None:
        """Creates what `page` reads by."""
        await self._collection.create_index([("_id.e", 1), ("_id.n", 1)], name=_INDEX)

    async def get(self, client_id: str, notification_id: str) -> Notification | None:
        """Gives a definition, or None."""
        with translate_errors(), deadline():
            document = await self._collection.find_one({"_id": _key(client_id, notification_id)})
        return _to_model(document) if document else None

    async def get_many(self, client_id: str, notification_ids: Iterable[str]) -> dict[str, Notification]:
        """Gives those definitions that exist, by id."""
        keys = [_key(client_id, notification_id) for notification_id in sorted(set(notification_ids))]
        with translate_errors(), deadline():
            documents = await self._collection.find({"_id": {"$in": keys}}).to_list() if keys else []
        return {document["_id"]["n"]: _to_model(document) for document in documents}

    async def page(
        self, client_id: str, *, after: PositionValue | None, limit: int, only: Collection[str] | None = None
    ) -> list[Notification]:
        """Gives up to ``limit`` definitions by id, without their templates.

        Args:
            client_id: The environment.
            after: Those after this id.
            limit: How many at most.
            only: Those of them that have one of these ids. Absent: all.
        """
        if only is None:
            query: dict[str, Any] = {"_id.e": client_id}
            if after is not None:
                query["_id.n"] = {"$gt": after}
            hint, order = _INDEX, [("_id.e", 1), ("_id.n", 1)]
        else:
            ids = [one for one in sorted(only) if after is None or one > str(after)]
            query = {"_id": {"$in": [_key(client_id, one) for one in ids]}}
            hint, order = "_id_", [("_id", 1)]
        with translate_errors(), deadline():
            found = self._collection.find(query, {"templates": 0}).sort(order).limit(limit).hint(hint)
            return [_to_model(document) async for document in found]

    async def put(self, client_id: str, notification: Notification, *, expected_etag: str) -> Notification:
        """Creates or replaces a definition, and keeps when it was created.

        Args:
            client_id: The environment.
            notification: The definition as it shall be stored, with its new etag and times.
            expected_etag: The etag that is replaced; empty: whatever is there; NO_ETAG: nothing, as none is there.

        Raises:
            Conflict: If another definition is there than the one expected.
        """
        key = _key(client_id, notification.id)
        document = _to_document(notification)

        async def write(session: AsyncClientSession) -> dict[str, Any]:
            stored = await self._collection.find_one({"_id": key}, {"etag": 1, "create_time": 1}, session=session)
            if expected_etag == NO_ETAG:
                _check_absent(stored)
            else:
                _check_etag(expected_etag, stored)
            create_time = stored["create_time"] if stored else notification.update_time
            replacement = {"_id": key, **document, "create_time": create_time}
            await self._collection.replace_one({"_id": key}, replacement, upsert=True, session=session)
            return replacement

        return _to_model(await self._environments.raising_version(client_id, write))

    async def delete(self, client_id: str, notification_id: str, *, expected_etag: str) -> None:
        """Deletes a definition with its parts.

        Args:
            client_id: The environment.
            notification_id: The definition.
            expected_etag: The etag that is deleted; empty: whatever is there.

        Raises:
            NotFound: If it is not there.
            Conflict: If another definition is there than the one expected.
        """
        key = _key(client_id, notification_id)

        async def write(session: AsyncClientSession) -> None:
            stored = await self._collection.find_one_and_delete({"_id": key}, {"etag": 1}, session=session)
            if stored is None:
                raise notification_not_found(notification_id)
            # What is raised here takes the deletion back.
            _check_etag(expected_etag, stored)
            await self._sub_notifications.delete_all(client_id, notification_id, session)

        await self._environments.raising_version(client_id, write)


def _key(client_id: str, notification_id: str) -> dict[str, str]:
    return {"e": client_id, "n": notification_id}


def _check_absent(stored: dict[str, Any] | None) -> None:
    if stored:
        raise Conflict(
            "there is such a definition already; get it, and repeat the call with its etag if it is to be replaced",
            reason="ETAG_MISMATCH",
            metadata={"etag": stored["etag"]},
        )


def _check_etag(expected: str, stored: dict[str, Any] | None) -> None:
    etag = stored["etag"] if stored else ""
    if expected and expected != etag:
        raise Conflict(
            "the definition was changed or deleted in between; get it again, and repeat the call with its new etag",
            reason="ETAG_MISMATCH",
            metadata={"etag": etag},
        )


def _to_document(notification: Notification) -> dict[str, Any]:
    return {
        "title": notification.title,
        "channels": [
            {
                "channel": settings.channel.value,
                "default": settings.default_delivery_option.value,
                "offered": [option.value for option in settings.offered_delivery_options],
                "template": settings.default_template_id,
            }
            for settings in notification.channels
        ],
        "templates": [
            {"id": template.id, "language": template.language, **content_to_document(template.content)}
            for template in notification.templates
        ],
        "disabled": notification.disabled,
        "category": notification.category,
        "section": notification.section,
        "label": notification.label,
        "priority": notification.priority.value,
        "etag": notification.etag,
        "update_time": notification.update_time,
    }


def _to_model(document: dict[str, Any]) -> Notification:
    return Notification(
        id=document["_id"]["n"],
        title=document["title"],
        channels=tuple(
            ChannelSettings(
                Channel(settings["channel"]),
                DeliveryOption(settings["default"]),
                tuple(map(DeliveryOption, settings["offered"])),
                settings["template"],
            )
            for settings in document["channels"]
        ),
        templates=tuple(
            Template(template["id"], template["language"], content_from_document(template))
            for template in document.get("templates", ())
        ),
        disabled=document["disabled"],
        category=document["category"],
        section=document["section"],
        label=document["label"],
        priority=Priority(document["priority"]),
        etag=document["etag"],
        create_time=document["create_time"],
        update_time=document["update_time"],
    )


def content_to_document(content: Content) -> dict[str, Any]:
    """Gives content as it is stored, in a template and in a delivery."""
    document: dict[str, Any] = {"channel": content.channel.value, "texts": dict(content.texts)}
    if content.html:
        document["html"] = True
    if content.actions:
        document["actions"] = [{"label": action.label, "url": action.url} for action in content.actions]
    return document


def content_from_document(document: dict[str, Any]) -> Content:
    """Gives content as it was stored."""
    return Content(
        Channel(document["channel"]),
        document["texts"],
        html=document.get("html", False),
        actions=tuple(Action(action["label"], action["url"]) for action in document.get("actions", ())),
    )
