"""What the sockets of NotificationAPI's clients need of the services: to be let in, and what they ask for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from carillon.v1 import inbox_pb2, inbox_pb2_grpc, preferences_pb2_grpc
from gateway.notificationapi.handshake import (
    HandshakeRefusedError,
    credentials_refused,
    too_many_sessions,
    unavailable,
)
from gateway.notificationapi.paging import read_notifications, read_page
from gateway.notificationapi.preferences import user_preferences_to_json
from gateway.requests import GetPreferences, ListItems
from gateway.services_client import REFUSED, TRANSIENT, reason_of, refusals
from services.live.changes import UserKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.frames import Hello
    from gateway.protocol import Welcome
    from gateway.requests import Request
    from gateway.services_client import ServicesClient
    from services.live.hub import Hub

ADMIT_S = 5.0
"""How long the check of the credentials may take: less than a handshake may."""

LISTENS_S = 0.25
"""How long after it has asked for preferences js-client hears the answer, at the latest.

It asks as its socket opens, looks every 100 ms whether it is open, and only then listens: an answer that is there
before is lost, and its page waits for ever.
"""

_log = structlog.get_logger(__name__)


class SocketServices:
    """Answers for the user of a socket.

    Args:
        services: The channel to the services, and what is the same for our own sessions.
        hub: Knows who has how many sessions.
    """

    def __init__(self, services: ServicesClient, hub: Hub) -> None:
        self._services = services
        self._hub = hub
        self._inbox: inbox_pb2_grpc.InboxAsyncStub = inbox_pb2_grpc.InboxStub(services.channel)
        self._preferences: preferences_pb2_grpc.PreferencesAsyncStub = preferences_pb2_grpc.PreferencesStub(
            services.channel
        )

    async def admit(self, hello: Hello) -> None:
        """Checks the credentials, before there is a socket: once it is open, their clients notice nothing any more.

        Raises:
            HandshakeRefusedError: If they are wrong, or nobody can say, or the user has too many sessions.
        """
        options = self._services.options(hello) | {"timeout": ADMIT_S}
        try:
            # The cheapest call that a user may make.
            await self._inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=hello.user_id), **options)
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from None
        if self._hub.is_full(UserKey(hello.client_id, hello.user_id)):
            raise too_many_sessions()

    async def read_welcome(self, hello: Hello, *, min_position: int) -> Welcome:
        """Reads the state of an inbox at ``min_position`` or later; raises SessionRefusedError."""
        return await self._services.read_welcome(hello, min_position=min_position)

    async def ask(self, hello: Hello, request: Request) -> Mapping[str, Any]:
        """Gives the result of a request; raises RequestRefusedError, or SessionRefusedError for refused credentials.

        That of a list is ``items`` and ``has_more``, that of preferences in their words; of others as for our clients.
        """
        if isinstance(request, ListItems):
            with refusals(request):
                page = await read_page(
                    lambda asked: self._inbox.ListInbox(asked, **self._services.options(hello)),
                    hello.user_id,
                    count=request.limit,
                    before=request.before_time,
                    view=inbox_pb2.INBOX_VIEW_INBOX,
                )
            return {"items": page.items, "has_more": page.has_more}
        if isinstance(request, GetPreferences):
            await asyncio.sleep(LISTENS_S)
            with refusals(request):
                notifications = await read_notifications(
                    lambda asked: self._preferences.GetPreferences(asked, **self._services.options(hello)),
                    hello.user_id,
                )
            return {"userPreferences": user_preferences_to_json(notifications)}
        return await self._services.ask(hello, request)


def _refusal(error: grpc.aio.AioRpcError) -> HandshakeRefusedError:
    code = error.code()
    if code in REFUSED:
        return credentials_refused(reason_of(error))
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        fix = "Correct what the message names, in the address of the socket."
        return HandshakeRefusedError(400, reason_of(error), error.details() or code.name, fix=fix)
    if code not in TRANSIENT:
        _log.warning("admission_failed", code=code.name, details=error.details())
    return unavailable("the services or the database did not answer in time")
