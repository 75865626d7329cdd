"""Every method of the contract, from the descriptors, so that no test forgets one."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import carillon.v1

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    import grpc


@dataclass(frozen=True)
class Method:
    """One method, callable without its stub."""

    name: str
    """As in ``Sender/Send``."""

    client_streaming: bool
    server_streaming: bool

    async def call(self, channel: grpc.aio.Channel, request: bytes, metadata: Sequence[tuple[str, str]] = ()) -> bytes:
        """Sends the bytes of one request and gives those of the first answer."""
        kind = f"{_kind(self.client_streaming)}_{_kind(self.server_streaming)}"
        start: Any = getattr(channel, kind)(f"/carillon.v1.{self.name}")
        call = start([request] if self.client_streaming else request, metadata=metadata, timeout=15)
        answer: Awaitable[bytes] = anext(aiter(call)) if self.server_streaming else call
        return await answer


def _kind(streaming: bool) -> str:
    return "stream" if streaming else "unary"


def _methods() -> list[Method]:
    modules = (
        importlib.import_module(f"carillon.v1.{module.name}")
        for module in pkgutil.iter_modules(carillon.v1.__path__)
        if module.name.endswith("_pb2")
    )
    return [
        Method(f"{service.name}/{method.name}", method.client_streaming, method.server_streaming)
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]


METHODS = _methods()

BUILT = {
    "Environments/GetEnvironment",
    "Environments/UpdateEnvironment",
    "Inbox/CountUnread",
    "Inbox/ListInbox",
    "Inbox/MarkInbox",
    "Inbox/SyncInbox",
    "Inbox/WatchInbox",
    "Messages/DeleteMessage",
    "Messages/GetMessage",
    "Messages/ListMessages",
    "Messages/ReportDelivery",
    "Notifications/DeleteNotification",
    "Notifications/GetNotification",
    "Notifications/ListNotifications",
    "Notifications/PreviewNotification",
    "Notifications/PutNotification",
    "Preferences/DeletePreferences",
    "Preferences/GetPreferences",
    "Preferences/PatchPreferences",
    "Preferences/SetPreferences",
    "Preferences/Unsubscribe",
    "Sender/CancelSchedule",
    "Sender/Retract",
    "Sender/Send",
    "Sender/UpdateSchedule",
    "SubNotifications/DeleteSubNotification",
    "SubNotifications/GetSubNotification",
    "SubNotifications/ListSubNotifications",
    "SubNotifications/PutSubNotification",
    "Users/BatchUpsertUsers",
    "Users/CreateUserToken",
    "Users/DeleteUser",
    "Users/GetUser",
    "Users/IdentifyUser",
    "Users/ListUsers",
    "Users/RevokeUserTokens",
}

# Whose request may be empty.
NEED_NOTHING = {
    "Environments/GetEnvironment",
    "Environments/UpdateEnvironment",
    "Messages/ListMessages",
    "Notifications/ListNotifications",
    "Users/ListUsers",
}

# What the contract lets a user call; all else is for backends.
FOR_USERS = {
    "Environments/GetEnvironment",
    "Inbox/CountUnread",
    "Inbox/ListInbox",
    "Inbox/MarkInbox",
    "Inbox/SyncInbox",
    "Inbox/WatchInbox",
    "Preferences/DeletePreferences",
    "Preferences/GetPreferences",
    "Preferences/PatchPreferences",
    "Preferences/SetPreferences",
    "Users/GetUser",
    "Users/IdentifyUser",
}

# Whose request is its own credential, with the reason why an empty one is refused: anybody may call them.
OPEN = {
    "Messages/ReportDelivery": "REPORT_TOKEN_INVALID",
    "Preferences/Unsubscribe": "UNSUBSCRIBE_TOKEN_INVALID",
}
