"""The collection ``environments``: ``_id`` is the client_id; secrets and VAPID keys are sealed under the master key.

``version`` is raised in one transaction with every write to the environment's secrets, settings, notifications and
sub-notifications, so that whoever caches these knows by one number whether they are current.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from services.environments.model import DEFAULTS, Environment, Secret, VapidKeys
from services.kernel.errors import AlreadyExists
from services.kernel.mongo import deadline, run_transaction, translate_errors
from services.kernel.vocabulary import Channel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from typing import TypeVar

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.database import AsyncDatabase

    from services.kernel.crypto import SecretBox
    from services.kernel.mongo import Client

    T = TypeVar("T")

# Where the private key is sealed; the ids of secrets are UUIDs.
_VAPID_KEY_ID = "vapid"


class EnvironmentStore:
    """Reads and writes environments."""

    def __init__(self, client: Client, database: AsyncDatabase[dict[str, Any]], secret_box: SecretBox) -> None:
        self._client = client
        self._collection = database.environments
        self._secret_box = secret_box

    async def get_many(self, client_ids: Collection[str]) -> list[Environment]:
        """Gives those environments that exist, with their secrets opened."""
        with translate_errors(), deadline():
            found = self._collection.find({"_id": {"$in": sorted(client_ids)}})
            return [self._to_model(document) async for document in found]

    async def all(self) -> list[Environment]:
        """Gives every environment by its client_id: for the command line, no caller of the services sees two."""
        with translate_errors(), deadline():
            return [self._to_model(document) async for document in self._collection.find().sort("_id", 1)]

    async def change(self, client_id: str, change: Callable[[Environment], Environment]) -> Environment | None:
        """Writes what ``change`` makes of an environment's secrets and settings, and gives it; None if there is none.

        Args:
            client_id: The environment.
            change: Is called again where somebody else wrote in between; it leaves client_id and version alone.
        """

        async def write(session: AsyncClientSession) -> Environment | None:
            document = await self._collection.find_one({"_id": client_id}, session=session)
            if document is None:
                return None
            # Has the raised version: this transaction did that.
            changed = change(self._to_model(document))
            await self._collection.replace_one({"_id": client_id}, self._to_document(changed), session=session)
            return changed

        return await self.raising_version(client_id, write)

    async def versions(self, client_ids: Collection[str]) -> dict[str, int]:
        """Gives the versions of those environments that exist."""
        with translate_errors(), deadline():
            found = self._collection.find({"_id": {"$in": sorted(client_ids)}}, {"version": 1})
            return {document["_id"]: document["version"] async for document in found}

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
            name=document.get("name", ""),
            logo_url=document.get("logo_url", ""),
            secure_mode=document.get("secure_mode", DEFAULTS.secure_mode),
            default_region=document["default_region"],
            default_language=document["default_language"],
            disabled_channels=frozenset(map(Channel, document["disabled_channels"])),
            default_timezone=document.get("default_timezone", DEFAULTS.default_timezone),
            retention=timedelta(days=document["retention_days"]),
            vapid=self._to_vapid(document["vapid"], client_id) if "vapid" in document else None,
            create_time=document.get("create_time"),
            update_time=document.get("update_time"),
        )

    def _to_vapid(self, document: dict[str, Any], client_id: str) -> VapidKeys:
        return VapidKeys(
            public_key=document["public_key"],
            subject=document["subject"],
            private_key=self._secret_box.open(document["sealed"], client_id=client_id, key_id=_VAPID_KEY_ID),
        )

    def _to_document(self, environment: Environment) -> dict[str, Any]:
        client_id = environment.client_id
        document = {
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
            "name": environment.name,
            "logo_url": environment.logo_url,
            "secure_mode": environment.secure_mode,
            "default_region": environment.default_region,
            "default_language": environment.default_language,
            "disabled_channels": sorted(environment.disabled_channels),
            "default_timezone": environment.default_timezone,
            "retention_days": environment.retention / timedelta(days=1),
            "create_time": environment.create_time,
            "update_time": environment.update_time,
        }
        if vapid := environment.vapid:
            sealed = self._secret_box.seal(vapid.private_key, client_id=client_id, key_id=_VAPID_KEY_ID)
            document["vapid"] = {"public_key": vapid.public_key, "subject": vapid.subject, "sealed": sealed}
        return document
