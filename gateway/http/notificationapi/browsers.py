"""What browsers and apps call, as one user: the inbox, the preferences, the profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from gateway.http.notificationapi import inbox, preferences, profiles

if TYPE_CHECKING:
    from gateway.http.notificationapi.services import Services


def create_router(services: Services) -> APIRouter:
    """Makes the routes."""
    router = APIRouter()
    router.include_router(inbox.create_router(services))
    router.include_router(preferences.create_router(services))
    # Last: a user's id may have slashes, so these take all that begins as theirs do.
    router.include_router(profiles.create_router(services))
    return router
