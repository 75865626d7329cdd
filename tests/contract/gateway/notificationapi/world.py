"""NotificationAPI's interface as its browser SDKs call it, over real HTTP."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from services.kernel.auth import user_hash
from tests.contract.gateway.notificationapi.declared import check_declared

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.services.world import Tenant

USER_ID = "userId_123abc"
ITEMS = "notifications/INAPP_WEB"
UNREAD = "unread/INAPP_WEB"


class Api:
    """The routes of one environment, called with the credentials of one caller."""

    def __init__(self, http: httpx.AsyncClient, tenant: Tenant, user_id: str, authorization: str) -> None:
        self._http = http
        self._tenant = tenant
        self._user_id = user_id
        self._authorization = authorization

    def as_user(self, user_id: str) -> Api:
        """Gives the same, called as that user, about that user."""
        return Api(self._http, self._tenant, user_id, user_authorization(self._tenant, user_id))

    def about(self, user_id: str) -> Api:
        """Gives the same caller, about another user."""
        return Api(self._http, self._tenant, user_id, self._authorization)

    def as_account(self) -> Api:
        """Gives the same, called with the client's secret."""
        return self.by(basic(self._tenant.client_id, self._tenant.secret))

    def by(self, authorization: str) -> Api:
        """Gives the same with other credentials."""
        return Api(self._http, self._tenant, self._user_id, authorization)

    def path(self, resource: str) -> str:
        """Gives the path of what belongs to the user, as core makes it: of the user itself it ends in a slash."""
        return f"/{self._tenant.client_id}/users/{quote(self._user_id, safe='')}/{resource}"

    async def call(self, method: str, resource: str = "", **options: Any) -> httpx.Response:
        """Calls, and gives whatever is answered with a status that is declared."""
        headers = {"Authorization": self._authorization} | options.pop("headers", {})
        response = await self._http.request(method, self.path(resource), headers=headers, **options)
        await check_declared(self._http, response)
        return response

    async def get(self, resource: str = "", **params: Any) -> Any:
        """Gets what must be there."""
        response = await self.call("GET", resource, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    async def send(self, method: str, resource: str, body: Any) -> Any:
        """Sends what must be taken."""
        response = await self.call(method, resource, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    async def refused(self, status: int, method: str, resource: str = "", **options: Any) -> dict[str, Any]:
        """Calls, and gives the error that is answered."""
        response = await self.call(method, resource, **options)
        assert response.status_code == status, response.text
        error: dict[str, Any] = response.json()["error"]
        assert error["code"]
        assert error["message"]
        assert error["fix"]
        return error


def basic(*parts: str) -> str:
    """Makes credentials."""
    return f"Basic {base64.b64encode(':'.join(parts).encode()).decode()}"


def user_authorization(tenant: Tenant, user_id: str) -> str:
    """Makes the credentials of a user."""
    return basic(tenant.client_id, user_id, user_hash(tenant.secret, user_id))


@asynccontextmanager
async def open_api(url: str, tenant: Tenant, user_id: str = USER_ID) -> AsyncIterator[Api]:
    """Gives the interface, called as a user."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        yield Api(http, tenant, user_id, user_authorization(tenant, user_id))
