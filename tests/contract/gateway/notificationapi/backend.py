"""NotificationAPI's interface as its server SDKs call it, over real HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from carillon.v1 import messages_pb2
from tests.contract.gateway.notificationapi.declared import check_declared
from tests.contract.gateway.notificationapi.world import basic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.services.world import Tenant

USER = {"id": "userId_123abc", "email": "spongebob@squarepants.com", "number": "+15005550006"}
TAGS = {"item": "Krabby Patty Burger", "address": "124 Conch Street", "orderId": "1234567890"}
SEND: dict[str, Any] = {"notificationId": "order_tracking", "user": USER, "mergeTags": TAGS}
"""The seeds' own example."""


class Backend:
    """The routes of one environment, called with its secret."""

    def __init__(self, http: httpx.AsyncClient, tenant: Tenant) -> None:
        self.http = http
        self.tenant = tenant
        self.authorization = basic(tenant.client_id, tenant.secret)

    async def call(self, method: str, resource: str, **options: Any) -> httpx.Response:
        """Calls what is below the client's id, and gives whatever is answered with a status that is declared."""
        headers = {"Authorization": self.authorization} | options.pop("headers", {})
        path = f"/{self.tenant.client_id}/{resource}"
        response = await self.http.request(method, path, headers=headers, **options)
        await check_declared(self.http, response)
        return response

    async def done(self, method: str, resource: str, body: Any = None, *, status: int = 200, **options: Any) -> Any:
        """Calls what must succeed, and gives the body of the answer."""
        response = await self.call(method, resource, **options, **({} if body is None else {"json": body}))
        assert response.status_code == status, response.text
        return response.json() if response.content else None

    async def send(self, *, status: int = 200, **fields: Any) -> Any:
        """Sends the seeds' example with other fields; None takes one away."""
        body = {name: value for name, value in (SEND | fields).items() if value is not None}
        return await self.done("POST", "sender", body, status=status)

    async def refused(self, status: int, method: str, resource: str, body: Any = None, **options: Any) -> Any:
        """Calls what must be refused, and gives the error, after a look at its shape."""
        given = options if body is None else options | {"json": body}
        response = await self.call(method, resource, **given)
        assert response.status_code == status, response.text
        error = response.json()["error"]
        assert error["code"]
        assert error["message"]
        assert error["fix"]
        return error

    async def message(self, tracking_id: str) -> messages_pb2.Message:
        """Gives a message of the log, whole."""
        asked = messages_pb2.GetMessageRequest(tracking_id=tracking_id)
        answer = await self.tenant.backend.messages.GetMessage(asked)
        message: messages_pb2.Message = answer.message
        return message


def fields_of(error: Any) -> set[str]:
    """Gives the fields that an error names."""
    return {one["field"] for one in error["fields"]}


@asynccontextmanager
async def open_backend(url: str, tenant: Tenant) -> AsyncIterator[Backend]:
    """Gives the interface, called with the client's secret."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        yield Backend(http, tenant)
