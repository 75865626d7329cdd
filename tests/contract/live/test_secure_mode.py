"""Sockets of users who give no proof."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import pytest
from websockets.exceptions import ConnectionClosed

from carillon.v1 import inbox_pb2
from gateway.closes import CloseCode
from services.kernel.auth import basic_authorization, user_hash
from tests.contract.live.world import USER_ID, a_send
from tests.contract.services.bad_users import INVISIBLE
from tests.contract.services.test_environments import update
from tests.contract.services.world import Caller

if TYPE_CHECKING:
    from tests.contract.live.world import Browser, Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

OVER_S = 30
"""How long a test waits for what takes a second."""


async def closed_by_asking(browser: Browser) -> int | None:
    """Asks for something until the session is closed for it, and gives the code."""
    with suppress(ConnectionClosed):
        while True:
            await browser.ask("list")
    return await browser.closed()


async def test_a_bare_user_id_opens_where_that_is_allowed(live: Live, tenant: Tenant) -> None:
    """Without a hash, and with any, a browser gets its items and events, and asks; a secure environment closes it."""
    bare = {"client_id": tenant.client_id, "user_id": USER_ID}
    for given in ({}, {"user_hash": ""}):
        async with live.hello(**bare, **given) as refused:
            assert await refused.closed() == CloseCode.REFUSED.code
            assert refused.items == {}

    await update(tenant, ["secure_mode"])
    for given in ({}, {"user_hash": ""}, {"user_hash": "undefined"}):
        async with live.hello(**bare, **given) as browser:
            assert (await browser.take())["type"] == "welcome"
            sent = await tenant.backend.sender.Send(a_send())
            await browser.take_until(sent.item_id)
            assert (await browser.ask("mark", ids=[sent.item_id], set=["SEEN"]))["changed_count"] == 1


async def test_what_is_open_stays_open_and_asks_no_more(live: Live, tenant: Tenant) -> None:
    """After secure mode is switched on a session without a proof gets events until it asks for something."""
    await update(tenant, ["secure_mode"])
    bare = {"client_id": tenant.client_id, "user_id": USER_ID}
    stranger = Caller(tenant.channel, [basic_authorization(tenant.client_id, USER_ID, "")])
    watching = stranger.inbox.WatchInbox(inbox_pb2.WatchInboxRequest(), timeout=60)
    assert (await watching.read()).HasField("welcome")
    async with live.hello(**bare) as browser, live.browser(tenant) as proven:
        assert (await browser.take())["type"] == "welcome"

        await update(tenant, secure_mode=True)

        sent = await tenant.backend.sender.Send(a_send())
        await browser.take_until(sent.item_id)
        await proven.take_until(sent.item_id)
        assert (await watching.read()).created.item.id == sent.item_id
        async with asyncio.timeout(OVER_S):
            assert await closed_by_asking(browser) == CloseCode.REFUSED.code
        assert (await proven.ask("list"))["unread_count"] == 1
    watching.cancel()
    async with live.hello(**bare) as browser:
        assert await browser.closed() == CloseCode.REFUSED.code
    with pytest.raises(grpc.aio.AioRpcError):
        await stranger.inbox.CountUnread(inbox_pb2.CountUnreadRequest())


@pytest.mark.parametrize("character", INVISIBLE)
@pytest.mark.parametrize("secure", [True, False])
async def test_no_session_is_anybodys_who_cannot_be(live: Live, tenant: Tenant, character: str, secure: bool) -> None:
    """An id with characters that nobody sees is a bad frame, with its right hash and with none."""
    await update(tenant, ["secure_mode"], secure_mode=secure)
    user_id = INVISIBLE[character]
    for given in ({}, {"user_hash": user_hash(tenant.secret, user_id)}):
        async with live.hello(client_id=tenant.client_id, user_id=user_id, **given) as browser:
            assert await browser.closed() == CloseCode.BAD_FRAME.code
            (error,) = browser.answers.values()
            assert (error["code"], error["field"]) == ("INVALID_FIELD", "user_id")
