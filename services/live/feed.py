"""The one change stream of this process: what happened in MongoDB, in order, to the hub.

The stream is read by plain ``aggregate`` and ``getMore`` commands (the README says why): a batch is then seen as
a batch, and what is resumed, and when, is decided here alone.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NoReturn

import structlog
from pymongo.errors import OperationFailure, PyMongoError

from services.kernel.cluster_time import position_of
from services.kernel.mongo import open_client, raise_if_cancelled, wait_until_reachable
from services.live.changes import coalesce, deletes_user, event_of, key_of, needs_item, revokes_tokens
from services.live.hub import Ending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.database import AsyncDatabase

    from services.kernel.mongo import Client
    from services.live.changes import Change, Event, UserKey
    from services.live.hub import Hub

_log = structlog.get_logger(__name__)

SILENCE_S = 5.0
_AWAIT_MS = 500
_RETRY_S = 0.2
_REOPEN_S = 1.0
_TURN = 16

# ChangeStreamHistoryLost, ChangeStreamFatalError, InvalidResumeToken: the token does not lead anywhere any more.
_LOST_CODES = frozenset({286, 280, 260})

_MESSAGES = {"ns.coll": "messages"}
_PIPELINE: list[dict[str, Any]] = [
    {
        "$match": {
            "$or": [
                {"operationType": "insert", **_MESSAGES, "fullDocument.changed": {"$exists": True}},
                {"operationType": "update", **_MESSAGES, "updateDescription.updatedFields.changed": {"$exists": True}},
                {"operationType": "replace", **_MESSAGES, "fullDocument.changed": {"$exists": True}},
                {"operationType": "delete", "ns.coll": "users"},
                {"operationType": {"$in": ["insert", "update", "replace", "delete"]}, "ns.coll": "preferences"},
                {"operationType": {"$in": ["insert", "update", "replace"]}, "ns.coll": "revocations"},
            ]
        }
    },
    {
        "$project": {
            "operationType": 1,
            "ns": 1,
            "clusterTime": 1,
            "documentKey": 1,
            "updateDescription": 1,
            **{f"fullDocument.{name}": 1 for name in ("_id", "changed", "expire_time", "inapp", "not_before")},
        }
    },
]


class FeedLostError(Exception):
    """The stream cannot go on where it was."""


def open_feed_client(uri: str) -> Client:
    """Makes a client that notices within seconds that a host hangs; with the driver's defaults it takes 29 s."""
    return open_client(
        uri,
        app_name="carillon-feed",
        socketTimeoutMS=3000,
        heartbeatFrequencyMS=2000,
        maxPoolSize=4,
    )


class Feed:
    """Follows the changes of one database and publishes them.

    Args:
        database: The database, on a client of the feed's own.
        hub: Where the events go.
        silence_s: How long MongoDB may be silent before the feed gives up what it missed and begins anew.
    """

    def __init__(self, database: AsyncDatabase[dict[str, Any]], hub: Hub, *, silence_s: float = SILENCE_S) -> None:
        self.live = asyncio.Event()
        """Set while events come, or are sure to be caught up with."""

        self._database = database
        self._hub = hub
        self._silence_s = silence_s
        self._token: Mapping[str, Any] | None = None
        self._deadline = 0.0

    async def run(self) -> NoReturn:
        """Follows until it is cancelled, whatever MongoDB does."""
        while True:
            if self._token is None:
                await wait_until_reachable(self._database.client)
                self._grant_silence()
            try:
                async with asyncio.timeout_at(self._deadline) as patience:
                    await self._follow(patience)
            except TimeoutError:
                self._lose(f"MongoDB did not answer for {self._silence_s:g} s")
            except FeedLostError as error:
                self._lose(str(error))
            except PyMongoError as error:
                if isinstance(error, OperationFailure) and error.code in _LOST_CODES:
                    self._lose("the stream's place is not in MongoDB's log any more")
                else:
                    _log.warning("feed_interrupted", problem=_one_line(error))

            await asyncio.sleep(_RETRY_S if self.live.is_set() else _REOPEN_S)

    async def _follow(self, patience: asyncio.Timeout) -> NoReturn:
        # A getMore must come from the session that opened the cursor.
        async with self._database.client.start_session(causal_consistency=False) as session:
            stage = {"resumeAfter": self._token} if self._token else {}
            command = {"aggregate": 1, "pipeline": [{"$changeStream": stage}, *_PIPELINE], "cursor": {}}
            reply = await self._command(command | {"readConcern": {"level": "majority"}}, session)
            if self._token is None:
                # The stream begins at or before this moment, and nobody is subscribed yet.
                self._hub.restart(position_of(reply["operationTime"]))
                _log.info("feed_opened")

            batch = reply["cursor"]["firstBatch"]
            while True:
                patience.reschedule(self._grant_silence())
                if batch:
                    await self._dispatch(batch)

                self._token = reply["cursor"]["postBatchResumeToken"]
                self.live.set()
                cursor_id = reply["cursor"]["id"]
                if cursor_id == 0:
                    # After an invalidate, as when the database was dropped, there would be no events for ever.
                    raise FeedLostError("the stream was ended by MongoDB")

                _, _, collection = reply["cursor"]["ns"].partition(".")
                more = {"getMore": cursor_id, "collection": collection, "maxTimeMS": _AWAIT_MS}
                reply = await self._command(more, session)
                batch = reply["cursor"]["nextBatch"]

    async def _dispatch(self, changes: Sequence[Change]) -> None:
        # First of all: who subscribes while items are read is then sure to read at or after these changes.
        self._hub.advance(position_of(changes[-1]["clusterTime"]))
        watched = [change for change in changes if self._hub.is_watched(key_of(change))]
        documents = await self._read_documents([change for change in watched if needs_item(change)])

        # From here on nothing fails: a batch is published whole, or not at all and again after an error.
        events: dict[UserKey, list[Event]] = defaultdict(list)
        for change in watched:
            if deletes_user(change):
                continue
            if not_before := revokes_tokens(change):
                self._hub.revoke(key_of(change), not_before)
            elif event := event_of(change, document=documents.get(_id_of(change))):
                events[key_of(change)].append(event)

        frames = ((key, event) for key, of_user in events.items() for event in coalesce(of_user))
        for number, (key, event) in enumerate(frames, start=1):
            self._hub.publish(key, event)
            if number % _TURN == 0:
                # A large batch would fill the outbox of a reader that is not slow, but had no turn to send.
                await asyncio.sleep(0)

        for change in filter(deletes_user, watched):
            self._hub.end_user(key_of(change), Ending.USER_DELETED)

    async def _read_documents(self, changes: Sequence[Change]) -> dict[tuple[str, ...], Mapping[str, Any]]:
        """Reads the messages of changes, as of the last change or later."""
        if not changes:
            return {}

        # By command too: only so can the read be told not to be older than the event.
        command = {
            "find": "messages",
            "filter": {"_id": {"$in": [change["documentKey"]["_id"] for change in changes]}},
            "projection": {"changed": 1, "expire_time": 1, "inapp": 1},
            "batchSize": len(changes),
            "singleBatch": True,
            "readConcern": {"level": "majority", "afterClusterTime": changes[-1]["clusterTime"]},
        }
        reply = await self._command(command)
        return {tuple(document["_id"].values()): document for document in reply["cursor"]["firstBatch"]}

    async def _command(self, command: dict[str, Any], session: AsyncClientSession | None = None) -> dict[str, Any]:
        reply: dict[str, Any] = await self._database.command(
            command, session=session, codec_options=self._database.codec_options
        )
        raise_if_cancelled()
        return reply

    def _grant_silence(self) -> float:
        self._deadline = asyncio.get_running_loop().time() + self._silence_s
        return self._deadline

    def _lose(self, problem: str) -> None:
        """Gives up what was missed: the sessions come back, and their welcomes have it."""
        _log.warning("feed_lost", problem=problem)
        self._token = None
        self.live.clear()
        self._hub.end_all(Ending.EVENTS_MISSED)


def _one_line(error: PyMongoError) -> str:
    # The driver appends its settings, its view of the topology, and the server's whole answer.
    return str(error).split(" (configured timeouts:")[0].split(", Timeout:")[0].split(", full error:")[0]


def _id_of(change: Change) -> tuple[str, ...]:
    return tuple(change["documentKey"]["_id"].values())
