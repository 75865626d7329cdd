"""What MongoDB says about the very commands that the stores send, at the moment when they send them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient
from pymongo.monitoring import CommandListener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

_EXPLAINED = frozenset({"find", "aggregate", "update", "delete", "count", "distinct", "findAndModify"})
_COLLECTIONS = ("messages", "notifications", "users")
# What belongs to the session and the transport, not to the query; a snapshot cannot be explained.
_LEFT_OUT = frozenset({"lsid", "txnNumber", "$db", "$clusterTime", "$readPreference", "readConcern", "writeConcern"})


@dataclass(frozen=True, slots=True)
class Plan:
    """How one command is answered, and what that costs."""

    command: str
    accesses: frozenset[str]
    """The ways into the collection, as in ``IXSCAN inbox`` or ``COLLSCAN``."""

    sorts: bool
    """Whether what is found is sorted in memory."""

    keys: int
    docs: int
    returned: int
    milliseconds: int


class Explainer(CommandListener):
    """Explains what a client is about to do, before it does it: afterwards the same may find nothing.

    Args:
        uri: The database that the client uses; explained through a connection of its own.
    """

    def __init__(self, uri: str) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri)
        self._plans: list[Plan] | None = None

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    @contextmanager
    def recording(self) -> Iterator[list[Plan]]:
        """Gives the plans of what is done inside of the block."""
        plans: list[Plan] = []
        self._plans = plans
        try:
            yield plans
        finally:
            self._plans = None

    def started(self, event: CommandStartedEvent) -> None:
        """Explains a command; the driver calls this before it sends it."""
        name = event.command_name
        if self._plans is None or name not in _EXPLAINED or event.command[name] not in _COLLECTIONS:
            return
        # Of several statements in one command MongoDB explains one.
        for command in _statements(event.command, name):
            answer = self._client[event.database_name].command({"explain": command, "verbosity": "executionStats"})
            self._plans.append(_plan(name, answer))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Is not of interest."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Is not of interest: the store raises."""


def _statements(command: Any, name: str) -> list[dict[str, Any]]:
    bare = {key: value for key, value in command.items() if key not in _LEFT_OUT}
    inner = {"update": "updates", "delete": "deletes"}.get(name)
    return [{**bare, inner: [one]} for one in bare[inner]] if inner else [bare]


def _plan(name: str, answer: dict[str, Any]) -> Plan:
    # An aggregate has one for each collection that it reads, wherever in its pipeline.
    explained = [one for one in _dicts(answer) if "executionStats" in one]
    stages = [stage for one in explained for stage in _dicts(one["queryPlanner"]["winningPlan"]) if "stage" in stage]
    stats = [one["executionStats"] for one in explained]
    return Plan(
        command=name,
        accesses=frozenset(
            f"{stage['stage']} {stage.get('indexName', '')}".strip() for stage in stages if _is_access(stage)
        ),
        sorts=any(stage["stage"].startswith("SORT") and stage["stage"] != "SORT_MERGE" for stage in stages),
        keys=sum(one["totalKeysExamined"] for one in stats),
        docs=sum(one["totalDocsExamined"] for one in stats),
        returned=sum(max(one["nReturned"], one["executionStages"].get("nMatched", 0)) for one in stats),
        milliseconds=sum(one["executionTimeMillis"] for one in stats),
    )


def _is_access(stage: dict[str, Any]) -> bool:
    return stage["stage"] not in ("EOF", "FETCH") and not any(key in stage for key in ("inputStage", "inputStages"))


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _dicts(child)
