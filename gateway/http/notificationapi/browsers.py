"""What browsers and apps call, as one user: the inbox, the preferences, the profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from carillon.v1 import inbox_pb2
from gateway.http.notificationapi.callers import CallerOf  # noqa: TC001 # FastAPI reads it at run time
from gateway.services_client import DEADLINE_S

if TYPE_CHECKING:
    from gateway.http.notificationapi.services import Services


def create_router(services: Services) -> APIRouter:
    """Makes the routes."""
    router = APIRouter()

    @router.get("/{client_id}/users/{user_id:path}/unread/INAPP_WEB")
    async def count_unread(caller: CallerOf) -> dict[str, Any]:
        """Counts the unread items."""
        asked = inbox_pb2.CountUnreadRequest(user_id=caller.user_id)
        answer = await services.inbox.CountUnread(asked, metadata=caller.metadata, timeout=DEADLINE_S)
        return {"count": answer.unread_count}

    return router
