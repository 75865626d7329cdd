"""What each provider can be told, under a prefix of its own, as ``CARILLON_SMTP__URL``.

One of which nothing is set is not configured.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, FilePath, SecretStr, field_validator

from services.delivery.provider_token import read_signing_key
from services.users.model import is_email

# Of mail that is handed in; port 25 is between servers.
_PORTS = {"smtp": 587, "smtps": 465}
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

    starttls: Literal["if_offered", "required", "never"] = "if_offered"
    """Whether a connection of smtp:// must become an encrypted one, is if the server offers it, or stays as it is."""

    plain_auth: bool = False
    """Whether a password may go over a connection that is not encrypted. To this machine it always may."""

    ca_file: FilePath | None = None
    """The certificates that the server's is checked against. Absent: those that the system trusts."""

    hello_name: str = Field(default="", pattern=r"^[A-Za-z0-9.:\[\]-]*$")
    """What the worker calls itself to the server, a host name. Absent: its address."""

    max_connections: int = Field(default=10, ge=1, le=100)
    """How many connections a worker has at once at most."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        MailServer.of(url.get_secret_value())
        return url

    @field_validator("from_address")
    @classmethod
    def _check_address(cls, address: str) -> str:
        if not is_email(address):
            raise ValueError("must be a mail address, for instance notifications@example.com")
        return address

    @field_validator("ca_file")
    @classmethod
    def _check_ca_file(cls, file: Path | None) -> Path | None:
        try:
            ssl.create_default_context(cafile=file)
        except OSError:
            raise ValueError("must be a file of certificates in PEM") from None
        return file

    @property
    def server(self) -> MailServer:
        """The server that the URL names."""
        return MailServer.of(self.url.get_secret_value())


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where a mail server is, and who we are to it."""

    host: str
    port: int
    is_tls: bool
    """Whether it speaks TLS from the start."""

    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> Self:
        """Reads a URL.

        Raises:
            ValueError: If it names no mail server; without what is in it.
        """
        wanted = "must be smtp://user:password@host:587 or smtps://user:password@host:465"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(wanted) from None
        rest = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in _PORTS or not parts.hostname or rest or bool(parts.username) != bool(parts.password):
            raise ValueError(f"{wanted}; what is special in user and password is percent-encoded")
        user, password = (unquote(one or "") for one in (parts.username, parts.password))
        return cls(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "smtps", user, password)

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


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

    project_id: str = ""
    """The Firebase project. Empty: the service account's."""

    connect_to: str = Field(default="", pattern=r"^(.+:\d+)?$")
    """Where connections to FCM go, host:port, in a network that lets nobody out; it must pass TLS on. Empty: to FCM."""
