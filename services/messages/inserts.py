"""One flush of messages: many documents, one ``insert_many``, and for each the truth about it.

Each rule here was earned by an experiment: MongoDB tells of single documents in some errors, of the whole batch in
others, and in the worst of nothing at all.
"""

from __future__ import annotations

import asyncio
import enum
import random
from typing import TYPE_CHECKING, Any

from pymongo.errors import BulkWriteError, PyMongoError

from services.kernel.errors import Unavailable
from services.kernel.mongo import deadline, is_unavailable, raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bson.raw_bson import RawBSONDocument
    from pymongo.asynchronous.collection import AsyncCollection

PATIENCE_S = 20.0
"""How long a flush is repeated; then its callers are told to repeat their calls, which finds what was stored."""

_DUPLICATE_KEY = 11000
_FLUSH_DEADLINE_S = 10.0
_MAX_PAUSE_S = 0.5
_REFUSALS_BEFORE_SINGLE = 2


class Inserted(enum.Enum):
    """What became of one document."""

    STORED = "stored"
    DUPLICATE_REQUEST = "duplicate_request"
    """A message with the same request_id is there, and a majority has it."""


Outcome = Inserted | Exception


async def insert_all(
    collection: AsyncCollection[Any],
    documents: Sequence[RawBSONDocument],
    *,
    request_index: str,
    patience_s: float = PATIENCE_S,
) -> list[Outcome]:
    """Inserts documents whose ids are new, and does not rest before it knows of each, or ``patience_s`` is over.

    Args:
        collection: Where to.
        documents: What; a second message with the request_id of another is refused by the index.
        request_index: The name of that index.
        patience_s: How long an error that says nothing is answered by a repetition, with the same ids.

    Returns:
        One outcome for each document, in their order; Unavailable where nobody knows.
    """
    flush = _Flush(collection, documents, request_index, asyncio.get_running_loop().time() + patience_s)
    return await flush.run()


class _Flush:
    def __init__(
        self, collection: AsyncCollection[Any], documents: Sequence[RawBSONDocument], request_index: str, give_up: float
    ) -> None:
        self._collection = collection
        self._documents = documents
        self._request_index = request_index
        self._give_up = give_up
        self._outcomes: dict[int, Outcome] = {}
        self._is_repeat = False
        self._refusals = 0

    async def run(self) -> list[Outcome]:
        pause_s = 0.02
        while open_ := [i for i in range(len(self._documents)) if i not in self._outcomes]:
            left_s = self._left_s()
            if left_s <= 0:
                return [self._outcomes.get(i) or Unavailable() for i in range(len(self._documents))]
            if self._is_repeat:
                await asyncio.sleep(min(left_s, random.uniform(pause_s / 2, pause_s)))
                pause_s = min(pause_s * 2, _MAX_PAUSE_S)

            raise_if_cancelled()
            size = 1 if self._refusals >= _REFUSALS_BEFORE_SINGLE else len(open_)
            for start in range(0, len(open_), size):
                await self._insert(open_[start : start + size])
            self._is_repeat = True
        return [self._outcomes[i] for i in range(len(self._documents))]

    def _left_s(self) -> float:
        return self._give_up - asyncio.get_running_loop().time()

    async def _insert(self, numbers: list[int]) -> None:
        if (left_s := self._left_s()) <= 0:
            return
        try:
            with deadline(min(_FLUSH_DEADLINE_S, left_s)):
                # Unordered: one that is refused must not keep back those behind it.
                await self._collection.insert_many([self._documents[i] for i in numbers], ordered=False)
        except BulkWriteError as error:
            self._read_bulk_error(numbers, error.details or {})
        except PyMongoError as error:
            # Nothing is known of any document: some may be stored.
            if not is_unavailable(error):
                self._refuse(numbers, error)
        else:
            self._outcomes |= dict.fromkeys(numbers, Inserted.STORED)

    def _read_bulk_error(self, numbers: list[int], details: Mapping[str, Any]) -> None:
        # Without the majority nothing holds yet, neither what was stored nor what a duplicate points at.
        if details.get("writeConcernErrors"):
            return
        refused = {error["index"]: error for error in details.get("writeErrors", ())}
        for position, number in enumerate(numbers):
            error = refused.get(position)
            if error is None:
                self._outcomes[number] = Inserted.STORED
            elif error["code"] == _DUPLICATE_KEY and _index_name(error["errmsg"]) == self._request_index:
                self._outcomes[number] = Inserted.DUPLICATE_REQUEST
            elif error["code"] == _DUPLICATE_KEY and self._is_repeat:
                # The id was made for this message: what is there is what an earlier try has stored.
                self._outcomes[number] = Inserted.STORED
            else:
                self._outcomes[number] = PyMongoError(f"insert refused: {error['errmsg']}")

    def _refuse(self, numbers: list[int], error: PyMongoError) -> None:
        """Takes the refusal of a whole batch: after the second they go one by one, so that each costs only itself."""
        if len(numbers) == 1 and self._refusals >= _REFUSALS_BEFORE_SINGLE:
            self._outcomes[numbers[0]] = error
        self._refusals += 1


def _index_name(problem: str) -> str:
    """Gives the index that a duplicate key is in; what follows its name are values, which may hold any text."""
    return problem.partition(" index: ")[2].partition(" dup key: ")[0]
