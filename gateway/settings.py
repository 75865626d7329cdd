"""What the gateway can be told by environment variables, with the prefix ``CARILLON_``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.origins import origin_error
from gateway.server import DRAIN_S, MAX_CONNECTIONS
from gateway.session import Limits
from services.kernel.crypto import parse_master_key
from services.kernel.links import PUBLIC_URL
from services.kernel.logging import LogLevel
from services.kernel.process import SettingsError
from services.live.feed import SILENCE_S
from services.live.hub import MAX_SESSIONS_PER_USER


def _origins(given: object) -> object:
    """Reads a list with commas; checks what any list holds."""
    origins = [one.strip() for one in given.split(",") if one.strip()] if isinstance(given, str) else given
    if isinstance(origins, list | tuple):
        for problem in map(origin_error, origins):
            if problem:
                raise ValueError(problem)
    return origins


class GatewaySettings(BaseSettings):
    """The settings of one gateway process."""

    model_config = SettingsConfigDict(
        env_prefix="CARILLON_", frozen=True, use_attribute_docstrings=True, populate_by_name=True
    )

    mongodb_uri: SecretStr | None = None
    """Where MongoDB is, a replica set. Required, except by `carillon dev`, which starts one of its own."""

    data_dir: Path = Path(".carillon")
    """Where `carillon dev` keeps its MongoDB."""

    master_key: SecretStr | None = None
    """The one that the services have: a key that is derived from it signs cursors. Required, as with them."""

    services_url: str = Field(default="grpc://127.0.0.1:50051", pattern=r"^grpc://[^/]+$")
    """Where the services are: grpc://host:port."""

    host: str = "127.0.0.1"
    """The address to listen on."""

    http_port: int = Field(default=8080, ge=0, le=65535)
    """The port of the HTTP side. 0 takes a free one."""

    ws_port: int = Field(default=8081, ge=0, le=65535)
    """The port of the websocket side. 0 takes a free one."""

    public_url: str = Field(default="", pattern=PUBLIC_URL)
    """Where the HTTP side is for the world, as the worker has it too: Twilio signs the address that it calls back."""

    twilio_auth_token: SecretStr | None = Field(default=None, validation_alias="CARILLON_TWILIO__AUTH_TOKEN")
    """The account's, as the worker has it: callbacks must be signed under it. Absent: signatures are not looked at."""

    log_level: LogLevel = "INFO"
    """The least level that is logged."""

    hello_timeout_s: float = Field(default=Limits().hello_timeout_s, gt=0)
    """How long a client may take for its first frame."""

    outbox_frames: int = Field(default=Limits().outbox_frames, ge=1)
    """How many frames may wait for a client to read before it is closed as slow."""

    outbox_bytes: int = Field(default=Limits().outbox_bytes, ge=1)
    """How many bytes those frames may have together."""

    close_timeout_s: float = Field(default=Limits().close_timeout_s, gt=0)
    """How long a client may take to read what is left and to answer the close, before it is cut."""

    max_sessions_per_user: int = Field(default=MAX_SESSIONS_PER_USER, ge=1)
    """How many sessions a user may have on this gateway."""

    frames_per_s: float = Field(default=Limits().frames_per_s, gt=0)
    """How many frames a second a client may send in the long run, before it is closed as too fast."""

    frames_burst: int = Field(default=Limits().frames_burst, ge=1)
    """How many frames a client may send at once."""

    ping_interval_s: float = Field(default=Limits().ping_interval_s, gt=0)
    """How long after the answer to a ping the next one is sent; proxies must let a connection be idle for longer."""

    ping_timeout_s: float = Field(default=Limits().ping_timeout_s, gt=0)
    """How long a client may take to answer a ping, before it is taken for gone."""

    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)] = ()
    """The origins of the pages that may connect, and call NotificationAPI's paths.

    With commas: https://app.example.com, https://*.example.com. Empty: any. A page proves its user in the hello, or
    with each call, and the browser adds nothing by itself, as it would a cookie: so a foreign page can do nothing here
    that it could not do without its visitor. What a list adds is that hashes or tokens that leaked are of no use to
    pages elsewhere. Clients that name no origin, as no browser does, are let in.
    """

    max_connections: int = Field(default=MAX_CONNECTIONS, ge=1)
    """How many connections this process holds; those over it are told by HTTP to come back."""

    drain_s: float = Field(default=DRAIN_S, ge=0)
    """How long a stop may take to tell all sessions to come back, so that they do not come back all at once."""

    reuse_port: bool = False
    """Whether other processes may listen on the same ports, as those of `carillon gateway --processes` do."""

    feed_silence_s: float = Field(default=SILENCE_S, gt=0)
    """How long MongoDB may be silent before sessions are told to come back."""

    def require_mongodb_uri(self) -> str:
        """Gives where MongoDB is.

        Raises:
            SettingsError: If nobody has said it.
        """
        if self.mongodb_uri is None:
            raise SettingsError(
                "CARILLON_MONGODB_URI is not set; set it, or run `carillon dev`, which has its own MongoDB"
            )
        return self.mongodb_uri.get_secret_value()

    def require_master_key(self) -> bytes:
        """Gives the master key.

        Raises:
            SettingsError: If nobody has said it.
            MasterKeyError: If it is none.
        """
        if self.master_key is None:
            raise SettingsError("CARILLON_MASTER_KEY is not set; give the gateway the one that the services have")
        return parse_master_key(self.master_key.get_secret_value())
