"""What a send reads of its user, for all sends in flight at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.kernel.coalesce import Bounds, Coalescer
from services.preferences.model import Choices

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from services.environments.store import EnvironmentStore
    from services.preferences.store import PreferenceStore
    from services.users.model import User
    from services.users.store import UserStore

Key = tuple[str, str]
"""client_id and user_id."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """What decides a send besides its definition, read by a majority while the send was under way."""

    profile: User | None
    """None: nobody knows them yet."""

    choices: Choices
    version: int | None
    """The version of the environment. None: it is gone."""


class RecipientReads:
    """Reads recipients: three queries for everybody who asks at the same moment; works inside of ``async with``."""

    def __init__(self, users: UserStore, preferences: PreferenceStore, environments: EnvironmentStore) -> None:
        self._users = users
        self._preferences = preferences
        self._environments = environments
        self._reads = Coalescer[Key, Recipient](self._read, Bounds(flush_items=1000))

    async def __aenter__(self) -> Self:
        await self._reads.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._reads.__aexit__(kind, error, traceback)

    async def read(self, client_id: str, user_id: str) -> Recipient:
        """Reads one recipient."""
        return await self._reads.submit((client_id, user_id))

    async def _read(self, keys: Sequence[Key]) -> list[Recipient | Exception]:
        distinct = set(keys)
        profiles, preferences, versions = await asyncio.gather(
            self._users.get_many(distinct),
            self._preferences.get_many(distinct),
            self._environments.versions({client_id for client_id, _ in distinct}),
        )
        return [Recipient(profiles.get(key), Choices(preferences.get(key, ())), versions.get(key[0])) for key in keys]
