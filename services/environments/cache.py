"""Environments and their definitions in memory, each under the version that it was read at.

Every write to an environment's secrets, notifications and sub-notifications raises its version in the same
transaction. So what is held under a version is current exactly as long as that version is, and whoever learns a newer
one (a send reads it with its user) gets it read again. Where nobody asks, versions are polled.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from services.kernel.coalesce import Bounds, Coalescer
from services.kernel.errors import Unavailable
from services.kernel.mongo import raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from services.environments.model import Environment
    from services.environments.store import EnvironmentStore
    from services.notifications.model import Notification
    from services.notifications.store import NotificationStore

POLL_S = 1.0
MAX_ENVIRONMENTS = 10_000
MAX_TEXT_BYTES = 256 * 1024 * 1024
"""How much the held definitions may have together; those unused the longest go first."""


@dataclass(slots=True)
class _Held:
    environment: Environment
    definitions: dict[str, Notification] = field(default_factory=dict)
    parts: set[tuple[str, str]] = field(default_factory=set)
    size: int = 0


class Catalogue:
    """What sends and authentication read all the time; works inside of ``async with``.

    Args:
        environments: Where environments are read.
        notifications: Where definitions are read.
    """

    def __init__(self, environments: EnvironmentStore, notifications: NotificationStore) -> None:
        self._environments = environments
        self._notifications = notifications
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._size = 0
        # One read for all who miss the same thing at the same moment, as after a start or a change.
        self._loads = Coalescer[str, "Environment | None"](self._load, Bounds(flush_items=100))

    async def __aenter__(self) -> Self:
        await self._loads.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._loads.__aexit__(kind, error, traceback)

    async def environment(self, client_id: str, *, version: int | None = None) -> Environment | None:
        """Gives an environment, or None where there is none.

        Args:
            client_id: Which.
            version: The version that is known to be there: one that is held under another is read again.
        """
        held = self._held.get(client_id)
        if held and version in (None, held.environment.version):
            self._held.move_to_end(client_id)
            return held.environment
        return await self.reload(client_id)

    async def reload(self, client_id: str) -> Environment | None:
        """Gives an environment as it is stored now; one read for all who ask at the same moment."""
        return await self._loads.submit(client_id)

    async def definition(self, environment: Environment, notification_id: str) -> Notification | None:
        """Gives a definition, as it was at the environment's version or later; None where there is none."""
        held = self._held.get(environment.client_id)
        if held and (definition := held.definitions.get(notification_id)):
            return definition

        definition = await self._notifications.get(environment.client_id, notification_id)
        held = self._held.get(environment.client_id)
        # Read after that version was, so it is at least as new; kept only if nobody has learned of a newer one.
        if definition and held and held.environment.version == environment.version:
            held.definitions[notification_id] = definition
            held.size += _size(definition)
            self._size += _size(definition)
            self._evict()
        return definition

    def knows_part(self, environment: Environment, notification_id: str, sub_notification_id: str) -> bool:
        """Tells whether a sub-notification is known to be there, at this version."""
        held = self._held.get(environment.client_id)
        return held is not None and (notification_id, sub_notification_id) in held.parts

    def learn_part(self, environment: Environment, notification_id: str, sub_notification_id: str) -> None:
        """Remembers that a sub-notification is there, for as long as the version is."""
        held = self._held.get(environment.client_id)
        if held and held.environment.version == environment.version and len(held.parts) < MAX_ENVIRONMENTS:
            held.parts.add((notification_id, sub_notification_id))

    async def run(self) -> NoReturn:
        """Polls versions until it is cancelled, for those who read the catalogue without reading a version."""
        while True:
            await asyncio.sleep(POLL_S)
            raise_if_cancelled()
            held = {client_id: one.environment.version for client_id, one in self._held.items()}
            try:
                versions = await self._environments.versions(list(held)) if held else {}
            except Unavailable:
                continue
            for client_id, version in held.items():
                if versions.get(client_id) != version:
                    self._forget(client_id, version)

    async def _load(self, client_ids: Sequence[str]) -> list[Environment | Exception | None]:
        found = {one.client_id: one for one in await self._environments.get_many(set(client_ids))}
        for environment in found.values():
            held = self._held.get(environment.client_id)
            # Two reads may cross: the newer stays.
            if held is None or held.environment.version < environment.version:
                self._forget(environment.client_id)
                self._held[environment.client_id] = _Held(environment)
        for client_id in client_ids:
            if client_id not in found:
                self._forget(client_id)
        self._evict()
        return [found.get(client_id) for client_id in client_ids]

    def _forget(self, client_id: str, version: int | None = None) -> None:
        held = self._held.get(client_id)
        if held and version in (None, held.environment.version):
            self._size -= held.size
            del self._held[client_id]

    def _evict(self) -> None:
        while self._held and (len(self._held) > MAX_ENVIRONMENTS or self._size > MAX_TEXT_BYTES):
            self._forget(next(iter(self._held)))


def _size(definition: Notification) -> int:
    return sum(len(text) for template in definition.templates for text in template.content.texts.values())
