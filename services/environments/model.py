"""Environments: one tenant each, with its secrets and the defaults that hold for everything in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from services.kernel.vocabulary import Channel


_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_client_id(text: str) -> bool:
    """Tells whether a text can be a client_id: 1 to 64 of ``[A-Za-z0-9_-]``."""
    return _CLIENT_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Secret:
    """One of the secrets of an environment; two that live at once are how a secret is rotated."""

    key_id: str
    text: str = field(repr=False)
    create_time: datetime
    expire_time: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Tells whether the secret opens anything now."""
        return self.expire_time is None or now < self.expire_time


@dataclass(frozen=True, slots=True)
class Environment:
    """A tenant: everything belongs to one, and no query crosses two."""

    client_id: str
    secrets: tuple[Secret, ...]
    version: int = 0
    """Raised with every write to the environment's secrets, notifications and sub-notifications."""

    default_region: str = "US"
    """What a phone number without a country code is read in, as ISO 3166-1 alpha-2."""

    default_language: str = "en"
    disabled_channels: frozenset[Channel] = frozenset()
    retention: timedelta = timedelta(days=90)

    def live_secrets(self, now: datetime) -> list[str]:
        """Gives the secrets that are valid now."""
        return [secret.text for secret in self.secrets if secret.is_live(now)]
