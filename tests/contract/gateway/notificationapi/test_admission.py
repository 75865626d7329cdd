"""Who is not let in is told that, and nothing else, whatever else is wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from services.kernel.auth import user_hash
from tests.contract.gateway.notificationapi.world import basic

if TYPE_CHECKING:
    from tests.contract.gateway.notificationapi.backend import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"type": 7}', b'{"schedule": "soon", "type": "x"}'])
async def test_a_stranger_is_not_told_what_is_wrong_with_a_body(backend: Backend, body: bytes) -> None:
    """A wrong secret is 401; with the right one the same body is 400."""
    stranger = {"Authorization": basic(backend.tenant.client_id, "nobody-knows")}
    error = await backend.refused(401, "POST", "sender", content=body, headers=stranger)
    assert error["code"] == "CREDENTIALS_INVALID"
    await backend.refused(400, "POST", "sender", content=body)


async def test_a_large_body_is_read_for_who_is_let_in(backend: Backend) -> None:
    """A stranger has the answer before anything of it is sent."""
    place = urlsplit(str(backend.http.base_url))
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        head = (
            f"POST /{backend.tenant.client_id}/sender HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
            f"Authorization: {basic(backend.tenant.client_id, 'nobody-knows')}\r\n\r\n"
        )
        writer.write(head.encode())
        async with asyncio.timeout(20):
            assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    finally:
        writer.close()


async def test_a_user_is_told_what_is_wrong(backend: Backend) -> None:
    """Not only an account is let in."""
    tenant = backend.tenant
    wrong = {"Authorization": basic(tenant.client_id, "anna", "bm8=")}
    await backend.refused(401, "PATCH", "users/anna/notifications/INAPP_WEB", content=b"{", headers=wrong)
    right = {"Authorization": basic(tenant.client_id, "anna", user_hash(tenant.secret, "anna"))}
    await backend.refused(400, "PATCH", "users/anna/notifications/INAPP_WEB", content=b"{", headers=right)
