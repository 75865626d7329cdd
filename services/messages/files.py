"""The bytes of attachments, in GridFS, bucket ``attachments``, until the mail of their message is done.

A file's ``_id`` is ``{e: client_id, u: user_id, m: tracking_id, i: number}``, so all of a user lies under one prefix. A
send stores its bytes before its message, and either may be all that is stored when a process ends. So the collection
``attachments`` has an entry for each message, ``_id`` is ``{e, u, m}``, written before the first byte: a sweep an hour
later finds by it what nobody else has deleted, halves of files included. Nothing but the sweep and the second pass of a
deletion takes an entry away, since an upload may be under way while the files are deleted.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bson import MaxKey, MinKey
from gridfs import AsyncGridFSBucket
from gridfs.errors import CorruptGridFile, FileExists, NoFile

from services.kernel.mongo import SLICE, deadline, raise_if_cancelled, translate_errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

    Document = dict[str, Any]

MessageKey = tuple[str, str, str]
"""Which message it is: client_id, user_id, tracking_id."""

CHECK_AFTER = timedelta(hours=1)
"""How long files are left alone after one was stored; much longer than storing them may take."""

_AT_ONCE = 100
_BUCKET = "attachments"
_DUE_INDEX = "due"
# The one that GridFS makes for itself.
_CHUNKS_INDEX = "files_id_1_n_1"


class FileStore:
    """Keeps files of mails, and forgets them."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._entries = database[_BUCKET]
        self._files = database[_BUCKET].files
        self._chunks = database[_BUCKET].chunks
        self._bucket = AsyncGridFSBucket(database, bucket_name=_BUCKET)

    async def ensure_indexes(self) -> None:
        """Creates what finds the entries to look at, and a file's parts."""
        await self._entries.create_index("check_time", name=_DUE_INDEX)
        await self._chunks.create_index([("files_id", 1), ("n", 1)], name=_CHUNKS_INDEX, unique=True)

    async def store(self, message: MessageKey, contents: Mapping[int, bytes], now: datetime) -> None:
        """Stores files of a message by their numbers, one that is there already is replaced; a majority has them then.

        Raises:
            Unavailable: If nobody knows whether all are stored.
        """
        with translate_errors(), deadline():
            await self._entries.update_one(
                {"_id": _message_id(message)},
                {"$setOnInsert": {"create_time": now}, "$max": {"check_time": now + CHECK_AFTER}},
                upsert=True,
            )
        for number, content in contents.items():
            file_id = _message_id(message) | {"i": number}
            with translate_errors(), deadline():
                try:
                    await self._bucket.upload_from_stream_with_id(file_id, "", content)
                except FileExists:
                    # All or a part of it, by somebody who ended before they could tell.
                    with contextlib.suppress(NoFile):
                        await self._bucket.delete(file_id)
                    await self._bucket.upload_from_stream_with_id(file_id, "", content)

    async def load(self, message: MessageKey, number: int) -> bytes | None:
        """Gives a file of a message, or None where it is not there, or not whole."""
        with translate_errors(), deadline():
            try:
                async with await self._bucket.open_download_stream(_message_id(message) | {"i": number}) as stream:
                    return bytes(await stream.read())
            except (NoFile, CorruptGridFile):
                return None

    async def delete(self, message: MessageKey) -> None:
        """Deletes all files of a message; repeating it is harmless."""
        await self._delete_all(_message_id(message))

    async def delete_of_user(self, client_id: str, user_id: str, *, until: datetime | None = None) -> None:
        """Deletes all files of a user, or those of messages that were sent until a time, their entries with them."""
        user = {"e": client_id, "u": user_id}
        last: Any = user | {"m": MinKey()}
        late: Document = {"create_time": {"$lte": until}} if until else {}
        while True:
            raise_if_cancelled()
            with translate_errors(), deadline():
                of_user = {"_id": {"$gt": last, "$lt": user | {"m": MaxKey()}}, **late}
                found = await self._entries.find(of_user, {"_id": 1}).sort("_id", 1).limit(SLICE).hint("_id_").to_list()
            for entry in found:
                last = entry["_id"]
                await self._delete_all(last)
                if until:
                    with translate_errors(), deadline():
                        await self._entries.delete_one({"_id": last})
            if len(found) < SLICE:
                return

    async def sweep(
        self, now: datetime, find_needed: Callable[[Sequence[MessageKey]], Awaitable[set[MessageKey]]]
    ) -> int:
        """Deletes the files of up to 100 messages that need none any more; tells how many messages it looked at.

        Several processes may do the same at the same time.

        Args:
            now: The time.
            find_needed: Tells which of some messages still need their files.
        """
        with translate_errors(), deadline():
            due = self._entries.find({"check_time": {"$lte": now}}).sort("check_time", 1).limit(_AT_ONCE)
            entries = await due.hint(_DUE_INDEX).to_list()
        keys = {_key(entry): entry for entry in entries}
        needed = await find_needed(list(keys)) if keys else set()
        for key, entry in keys.items():
            raise_if_cancelled()
            if key not in needed:
                await self._delete_all(entry["_id"])
            # The entry as it was read: something may have been stored meanwhile.
            with translate_errors(), deadline():
                if key in needed:
                    await self._entries.update_one(entry, {"$set": {"check_time": now + CHECK_AFTER}})
                else:
                    await self._entries.delete_one(entry)
        return len(entries)

    async def _delete_all(self, message_id: Document) -> None:
        of_message = {"$gte": message_id | {"i": MinKey()}, "$lte": message_id | {"i": MaxKey()}}
        with translate_errors(), deadline():
            # Files before their parts: what is found is whole, but for the moment between the two.
            await self._files.delete_many({"_id": of_message}, hint="_id_")
            await self._chunks.delete_many({"files_id": of_message}, hint=_CHUNKS_INDEX)


def _message_id(message: MessageKey) -> Document:
    client_id, user_id, tracking_id = message
    return {"e": client_id, "u": user_id, "m": tracking_id}


def _key(entry: Document) -> MessageKey:
    return entry["_id"]["e"], entry["_id"]["u"], entry["_id"]["m"]
