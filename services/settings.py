"""What the services can be told by environment variables, with the prefix ``CARILLON_``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.delivery.settings import ApnsSettings, FcmSettings, SmtpSettings, TwilioSettings
from services.kernel.links import PUBLIC_URL
from services.kernel.logging import LogLevel


class StorageSettings(BaseSettings):
    """The settings of a process that reads and writes MongoDB."""

    model_config = SettingsConfigDict(
        env_prefix="CARILLON_", env_nested_delimiter="__", frozen=True, use_attribute_docstrings=True
    )

    mongodb_uri: SecretStr | None = None
    """Where MongoDB is, a replica set; its path names the database, else `carillon`. Absent: one in data_dir."""

    data_dir: Path = Path(".carillon")
    """Where the private MongoDB and the master key that goes with it are kept."""

    mongod: str | None = None
    """The mongod to run as the private MongoDB. Absent: the one on PATH, else the one of the extra `local`."""

    mongod_port: int = Field(default=0, ge=0, le=65535)
    """The port of the private MongoDB. 0 takes a free one."""

    master_key: SecretStr | None = None
    """What secrets are encrypted under at rest: base64 of 32 bytes. Required with mongodb_uri; else in data_dir."""

    host: str = "127.0.0.1"
    """The address to listen on."""

    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """The port where Prometheus reads what is counted, at /metrics. 0 takes a free one. Absent: nowhere."""

    log_level: LogLevel = "INFO"
    """The least level that is logged."""


class ServicesSettings(StorageSettings):
    """The settings of one services process."""

    grpc_port: int = Field(default=50051, ge=0, le=65535)
    """The port of the gRPC services. 0 takes a free one."""

    reflection: bool = True
    """Whether grpcurl and the like may ask what services there are."""

    accept_sha256_hashes: bool = True
    """Whether base64 of SHA-256 of client secret and user id proves a user of NotificationAPI's HTTP routes too.

    Its Python SDK signs so. A bare hash can be extended to that of a longer id, but only of one that holds a bare
    0x80, which is no UTF-8, and NULs: no id with control characters is taken anywhere.
    """

    rate_limit_per_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    """How many calls a second an environment may make of this process in the long run. 0: as many as it likes."""

    rate_limit_burst: int = Field(default=1000, ge=1)
    """How many it may make at once, where there is a limit."""


class WorkerSettings(StorageSettings):
    """The settings of one worker: what it reads messages from, and the providers that carry them."""

    smtp: SmtpSettings | None = None
    """The mail server. Absent: EMAIL is not configured."""

    twilio: TwilioSettings | None = None
    """Twilio. Absent: SMS and CALL are not configured."""

    apns: ApnsSettings | None = None
    """APNs. Absent: PUSH to Apple's devices is not configured."""

    fcm: FcmSettings | None = None
    """FCM. Absent: PUSH to other devices is not configured."""

    public_url: str = Field(default="", pattern=PUBLIC_URL)
    """Where the gateway's HTTP side is for the world: what links in mails and callbacks of providers begin with."""

    private_networks: bool = False
    """Whether attachments and browser pushes may go to private, loopback and link-local addresses."""


class ClientSettings(BaseSettings):
    """The settings of the commands that call a running Carillon."""

    model_config = SettingsConfigDict(env_prefix="CARILLON_", frozen=True, use_attribute_docstrings=True)

    services_url: str = Field(default="grpc://127.0.0.1:50051", pattern=r"^grpc://[^/]+$")
    """Where the services are: grpc://host:port."""

    client_id: str = "dev"
    """The environment to act in; `dev` is the one that `carillon dev` makes."""

    client_secret: SecretStr = SecretStr("dev-secret")
    """The secret of that environment."""

    ws_url: str = Field(default="ws://127.0.0.1:8081/v1/inbox", pattern=r"^wss?://[^/]+")
    """Where the gateway's socket is, for `carillon watch`."""
