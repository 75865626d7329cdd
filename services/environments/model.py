"""Environments: one tenant each, with its secrets and the defaults that hold for everything in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
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
class VapidKeys:
    """What pushes to browsers are signed with (RFC 8292): a browser subscribes to one public key and takes no other."""

    public_key: str
    """The uncompressed point on P-256, base64url: what a browser subscribes with."""

    subject: str
    """Whom a push service asks when something is wrong with the pushes: a ``mailto:`` or an https URL."""

    private_key: str = field(repr=False)
    """The 32 bytes of the private number, base64url."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A tenant: everything belongs to one, and no query crosses two."""

    client_id: str
    secrets: tuple[Secret, ...]
    version: int = 0
    """Raised with every write to the environment's secrets, settings, notifications and sub-notifications."""

    name: str = ""
    """What mails and pages call the sender; empty: the client_id."""

    logo_url: str = ""
    secure_mode: bool = True
    """Whether a user must prove who they are: with False anybody who knows a user's id is that user."""

    default_region: str = "US"
    """What a phone number without a country code is read in, as ISO 3166-1 alpha-2."""

    default_language: str = "en"
    default_timezone: str = "UTC"
    disabled_channels: frozenset[Channel] = frozenset()
    retention: timedelta = timedelta(days=90)
    vapid: VapidKeys | None = None
    """None: WEB_PUSH is not configured."""

    create_time: datetime | None = None
    update_time: datetime | None = None
    """When the settings last changed."""

    def live_secrets(self, now: datetime, *, key_id: str = "") -> dict[str, str]:
        """Gives the secrets that are valid now, by key_id: the one that is named, if it is valid, and else all."""
        live = {secret.key_id: secret.text for secret in self.secrets if secret.is_live(now)}
        return {key_id: live[key_id]} if key_id in live else live

    def newest_secret(self, now: datetime) -> Secret | None:
        """Gives the secret that was made last of those that are valid now."""
        live = (secret for secret in self.secrets if secret.is_live(now))
        return max(live, key=lambda secret: secret.create_time, default=None)

    def rotated(self, secret: Secret, *, expire_time: datetime) -> tuple[Secret, ...]:
        """Gives the secrets with a new one, made now: those that live end at ``expire_time``, the dead are gone."""
        kept = [
            replace(old, expire_time=min(old.expire_time or expire_time, expire_time))
            for old in self.secrets
            if old.is_live(secret.create_time)
        ]
        return (*(old for old in kept if old.is_live(secret.create_time)), secret)


DEFAULTS = Environment("", ())
"""What the settings of an environment are where nobody has said anything else."""
