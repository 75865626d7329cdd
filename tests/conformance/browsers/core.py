"""NotificationAPI's core, in Node and over TLS, and what a program does with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.kernel.auth import user_hash

if TYPE_CHECKING:
    from tests.conformance.browsers.sdks import Node
    from tests.e2e.stack import Stack


@dataclass(frozen=True)
class Core:
    """The SDK, which holds one user at a time."""

    node: Node
    stack: Stack
    host: str
    websocket_host: str

    async def become(self, user_id: str, hash_: str | None = None) -> None:
        """Begins anew, as that user.

        Args:
            user_id: Who.
            hash_: The proof; None: the right one.
        """
        config = {
            "clientId": self.stack.client_id,
            "userId": user_id,
            "hashedUserId": user_hash(self.stack.client_secret, user_id) if hash_ is None else hash_,
            "host": self.host,
            "websocketHost": self.websocket_host,
        }
        await self.node.evaluate(
            """config => {
              core.websocket.disconnect();
              heard.length = 0;
              core.init({ ...config, onNewInAppNotifications: (items) => heard.push(...items) });
            }""",
            config,
        )

    async def call(self, function: str, argument: Any = None) -> Any:
        """Calls one of its functions."""
        return await self.node.evaluate(f"argument => core.{function}(argument)", argument)

    async def listen(self) -> None:
        """Opens its socket.

        Raises:
            SdkError: If it is refused.
        """
        await self.node.evaluate(
            """() => new Promise((resolve, reject) => {
              const socket = core.openWebSocket();
              socket.addEventListener("open", () => resolve());
              socket.addEventListener("error", ({ message }) => reject(new Error(message)));
            })"""
        )

    async def heard(self) -> list[str]:
        """Gives the ids of the items that came by the socket."""
        found: list[str] = await self.node.evaluate("() => heard.map(({ id }) => id)")
        return found

    async def items(self, **asked: Any) -> list[dict[str, Any]]:
        """Gives the items that it gets, the newest first."""
        return list((await self.inbox(**asked))["items"])

    async def inbox(self, **asked: Any) -> dict[str, Any]:
        """Gives all that it says of the inbox, up to now where nothing else is asked."""
        found: dict[str, Any] = await self.node.evaluate(
            "asked => core.getInAppNotifications({ before: new Date().toISOString(), ...asked })", asked
        )
        return found
