"""All routes of NotificationAPI's REST interface; every path begins with the client's id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends

from gateway.http.notificationapi import accounts, browsers, logs, schedules, sending
from gateway.http.notificationapi.admission import admission
from gateway.http.notificationapi.documented import CREDENTIALS
from gateway.http.notificationapi.services import Services

if TYPE_CHECKING:
    import grpc


def create_router(channel: grpc.aio.Channel) -> APIRouter:
    """Makes the routes."""
    services = Services(channel)
    router = APIRouter(tags=["NotificationAPI"], dependencies=[CREDENTIALS, Depends(admission(services))])
    for part in (sending, schedules, logs, accounts, browsers):
        router.include_router(part.create_router(services))
    return router
