"""The collection ``environments``: ``_id`` is the client_id; secrets are sealed under the master key.

``version`` is raised in one transaction with every write to the environment's secrets, notifications and
sub-notifications, so that whoever caches these knows by one number whether they are current.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from services.environments.model import Environment, Secret
from services.kernel.errors import AlreadyExists
from services.kernel.mongo import deadline, run_transaction, translate_errors
from services.kernel.vocabulary import Channel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.database import AsyncDatabase

    from services.kernel.crypto import SecretBox
    from services.kernel.mongo import Client

    T = TypeVar("T")


class EnvironmentStore:
    """Reads and writes environments."""

    def __init__(self, client: Client, database: AsyncDatabase[dict[str, Any]], secret_box: SecretBox) -> None:
        self._client = client
        self._collection = database.environments
        self._secret_box = secret_box

    async def get(self, client_id: str) -> Environment | None:
        """Gives an environment with its secrets opened, or None."""
        with translate_errors(), deadline():
            document = await self._collection.find_one({"_id": client_id})
        return self._to_model(document) if document else None

    async def create(self, environment: Environment) -> None:
        """Stores a new environment.

        Raises:
            AlreadyExists: If the client_id is taken.
        """
        try:
            with translate_errors(), deadline():
                await self._collection.insert_one(self._to_document(environment))
        except DuplicateKeyError:
            raise AlreadyExists(
                f"environment '{environment.client_id}' exists already; choose another client_id",
                reason="ENVIRONMENT_EXISTS",
                metadata={"resource_type": "environment", "resource_name": environment.client_id},
            ) from None

    async def raising_version(self, client_id: str, write: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
        """Runs a write to the environment's catalogue and raises its version, both or neither.

        Args:
            client_id: The environment, which exists: the caller was authenticated by it.
            write: Uses the session and nothing else; it may run several times.
        """

        async def run(session: AsyncClientSession) -> T:
            # First, so that two writers collide at once and not after all their work.
            await self._collection.update_one({"_id": client_id}, {"$inc": {"version": 1}}, session=session)
            return await write(session)

        return await run_transaction(self._client, run)

    def _to_model(self, document: dict[str, Any]) -> Environment:
        client_id = document["_id"]
        return Environment(
            client_id=client_id,
            secrets=tuple(
                Secret(
                    key_id=secret["key_id"],
                    text=self._secret_box.open(secret["sealed"], client_id=client_id, key_id=secret["key_id"]),
                    create_time=secret["create_time"],
                    expire_time=secret.get("expire_time"),
                )
                for secret in document["secrets"]
            ),
            version=document["version"],
            default_region=document["default_region"],
            default_language=document["default_language"],
            disabled_channels=frozenset(map(Channel, document["disabled_channels"])),
            retention=timedelta(days=document["retention_days"]),
        )

    def _to_document(self, environment: Environment) -> dict[str, Any]:
        client_id = environment.client_id
        return {
            "_id": client_id,
            "secrets": [
                {
                    "key_id": secret.key_id,
                    "sealed": self._secret_box.seal(secret.text, client_id=client_id, key_id=secret.key_id),
                    "create_time": secret.create_time,
                }
                | ({"expire_time": secret.expire_time} if secret.expire_time else {})
                for secret in environment.secrets
            ],
            "version": environment.version,
            "default_region": environment.default_region,
            "default_language": environment.default_language,
            "disabled_channels": sorted(environment.disabled_channels),
            "retention_days": environment.retention.days,
        }
