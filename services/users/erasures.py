"""The collection ``erasures``: users who were deleted, ``_id`` is ``{e: client_id, u: user_id}``.

A deletion takes the profile first (that event closes the user's sessions), then everything else under their prefix. A
call that began before it may still write after it, so the same is done again a minute later: then for what was written
until the deletion was answered, since who sends to the id after that sends to somebody new. An entry holds this down
before anything is deleted, so that a crash in between is made up for too. While the deletion is under way it is
``running``, and nobody is to be shown what is left of the user; after a crash the second pass ends that, too.

Each pass first revokes the user's tokens that were made before, so that they do not open what a new user of that id
gets. The revocation is no part of what is deleted: it goes by itself, once no such token can live.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import structlog
from bson import MaxKey, MinKey

from services.kernel.errors import Unavailable
from services.kernel.mongo import SLICE, deadline, raise_if_cancelled, translate_errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

    from services.kernel.clock import Clock
    from services.messages.files import FileStore
    from services.users.revocations import Revocations

    Document = dict[str, Any]

AGAIN_AFTER = timedelta(minutes=1)
"""Longer than any call that could still write lasts."""

_INTERVAL_S = 2.0
_AT_ONCE = 20
_INDEX = "due"

_log = structlog.get_logger(__name__)


class Erasures:
    """Deletes users with everything of theirs."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], revocations: Revocations, files: FileStore) -> None:
        self._revocations = revocations
        self._files = files
        self._erasures = database.erasures
        self._users = database.users
        self._preferences = database.preferences
        self._messages = database.messages

    async def ensure_indexes(self) -> None:
        """Creates what finds the erasures that are due."""
        await self._erasures.create_index("due_time", name=_INDEX)

    async def erase(self, client_id: str, user_id: str, clock: Clock) -> None:
        """Deletes a user; repeating it is harmless, and so is a user who is not there."""
        entry = {"_id": {"e": client_id, "u": user_id}}
        now = clock()
        await self._note(entry, now, {"$set": {"running": True}})
        await self._revocations.revoke(client_id, user_id, now)
        await self._delete(client_id, user_id)
        await self._note(entry, clock(), {"$unset": {"running": ""}})

    async def erase_again(self, now: datetime) -> int:
        """Deletes what came late of up to 20 users; tells of how many.

        Several processes may do the same at the same time: what one has deleted another does not find.
        """
        with translate_errors(), deadline():
            found = self._erasures.find({"due_time": {"$lte": now}}).sort("due_time", 1).limit(_AT_ONCE).hint(_INDEX)
            entries = await found.to_list()
        for entry in entries:
            client_id, user_id, until = entry["_id"]["e"], entry["_id"]["u"], entry["until"]
            await self._revocations.revoke(client_id, user_id, until)
            await self._delete(client_id, user_id, until=until)
            with translate_errors(), deadline():
                # The entry as it was read: the user may have been deleted once more meanwhile.
                await self._erasures.delete_one(entry)
        return len(entries)

    async def run(self, clock: Clock, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> NoReturn:
        """Erases again what is due, until it is cancelled."""
        while True:
            raise_if_cancelled()
            try:
                while await self.erase_again(clock()) == _AT_ONCE:
                    raise_if_cancelled()
            except Unavailable:
                _log.warning("erasures_delayed")
            await sleep(_INTERVAL_S)

    async def _note(self, entry: Document, until: datetime, change: Document) -> None:
        times = {"$max": {"until": until, "due_time": until + AGAIN_AFTER}}
        with translate_errors(), deadline():
            await self._erasures.update_one(entry, times | change, upsert=True)

    async def _delete(self, client_id: str, user_id: str, *, until: datetime | None = None) -> None:
        """Deletes all of a user, or what was written until a time."""
        key = {"e": client_id, "u": user_id}
        late: Document = {"update_time": {"$lte": until}} if until else {}
        for collection in (self._users, self._preferences):
            with translate_errors(), deadline():
                await collection.delete_one({"_id": key, **late})

        # By `_id`, in which all of a user lies together. What is left of a deleted message has no time but that of its
        # deletion: one of the new user's own tells browsers that were away, and stays.
        of_user = {"_id": {"$gt": key | {"m": MinKey()}, "$lt": key | {"m": MaxKey()}}}
        if until:
            remains = {"create_time": {"$exists": False}, "inapp.retract_time": {"$not": {"$gt": until}}}
            late = {"$or": [{"create_time": {"$lte": until}}, remains]}
        is_done = False
        while not is_done:
            # Each slice under a deadline of its own: a user may have more than one deadline's worth.
            with translate_errors(), deadline():
                found = self._messages.find(of_user | late, {"_id": 1}).limit(SLICE).hint("_id_")
                ids = [document["_id"] async for document in found]
                await self._messages.delete_many({"_id": {"$in": ids}})
            raise_if_cancelled()
            is_done = len(ids) < SLICE
        # After the messages, of which a worker makes sure before it stores a file.
        await self._files.delete_of_user(client_id, user_id, until=until)
