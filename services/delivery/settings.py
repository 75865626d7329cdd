"""What each provider can be told, under a prefix of its own, as ``CARILLON_SMTP__URL``.

One of which nothing is set is not configured.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from services.delivery.provider_token import read_signing_key

_PROXY_URL = re.compile(r"http://([^/?#@\s]+@)?[^/?#@:\s]+(:\d{1,5})?/?")


class ProviderSettings(BaseModel):
    """What the settings of all providers have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SmtpSettings(ProviderSettings):
    """The mail server."""

    url: SecretStr
    """Where it is: smtp://user:password@host:587 with STARTTLS if offered, or smtps://… with TLS from the start."""

    from_address: str
    """The sender's address where template and send name none."""


class TwilioSettings(ProviderSettings):
    """Text messages and calls over Twilio."""

    account_sid: str
    """The account: AC and 32 hex digits."""

    auth_token: SecretStr
    """The account's auth token."""

    from_number: str
    """The number that texts and calls come from, in E.164."""


class ApnsSettings(ProviderSettings):
    """Pushes to Apple's devices over APNs, with a provider token."""

    key_file: Path
    """The signing key that Apple gave, AuthKey_KEYID.p8."""

    key_id: str = Field(pattern=r"^[A-Za-z0-9]{1,64}$")
    """The id of that key: 10 characters."""

    team_id: str = Field(pattern=r"^[A-Za-z0-9]{1,64}$")
    """The team that it belongs to: 10 characters."""

    topic: str = Field(pattern=r"^[A-Za-z0-9.-]{1,255}$")
    """The bundle id of the app, where a token names no other."""

    proxy_url: SecretStr | None = None
    """The HTTP proxy to Apple, as http://user:password@proxy:3128. Absent: none."""

    ca_file: Path | None = None
    """The authorities to trust, where the proxy opens TLS. Absent: the system's, or those of SSL_CERT_FILE."""

    @field_validator("key_file")
    @classmethod
    def _check_key_file(cls, path: Path) -> Path:
        read_signing_key(path)
        return path

    @field_validator("proxy_url")
    @classmethod
    def _check_proxy_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not _PROXY_URL.fullmatch(url.get_secret_value()):
            raise ValueError("must be as http://user:password@proxy:3128")
        return url


class FcmSettings(ProviderSettings):
    """Pushes over Firebase Cloud Messaging."""

    credentials_file: Path
    """The service account's key, as Google gives it: a JSON file."""
