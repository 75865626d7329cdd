"""What each provider can be told, under a prefix of its own, as ``CARILLON_SMTP__URL``.

One of which nothing is set is not configured.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr


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

    api_url: str = Field(default="https://api.twilio.com", pattern=r"^https?://[^/?#]+(/[^?#]*)?$")
    """Where Twilio's API is: another region's, as https://api.dublin.ie1.twilio.com, or a gateway's."""


class ApnsSettings(ProviderSettings):
    """Pushes to Apple's devices over APNs, with a provider token."""

    key_file: Path
    """The signing key that Apple gave, AuthKey_KEYID.p8."""

    key_id: str
    """The id of that key: 10 characters."""

    team_id: str
    """The team that it belongs to: 10 characters."""

    topic: str
    """The bundle id of the app, where a token names no other."""


class FcmSettings(ProviderSettings):
    """Pushes over Firebase Cloud Messaging."""

    credentials_file: Path
    """The service account's key, as Google gives it: a JSON file."""
