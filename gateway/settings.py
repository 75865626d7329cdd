"""What the gateway can be told by environment variables, with the prefix ``CARILLON_``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.session import Limits
from services.kernel.logging import LogLevel
from services.live.feed import SILENCE_S
from services.live.hub import MAX_SESSIONS_PER_USER


class GatewaySettings(BaseSettings):
    """The settings of one gateway process."""

    model_config = SettingsConfigDict(env_prefix="CARILLON_", frozen=True, use_attribute_docstrings=True)

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

    feed_silence_s: float = Field(default=SILENCE_S, gt=0)
    """How long MongoDB may be silent before sessions are told to come back."""
