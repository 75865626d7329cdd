"""Sessions that are opened by a user token: how they begin, go on by a new one, and end."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from websockets.exceptions import ConnectionClosed

from carillon.v1 import inbox_pb2, inbox_pb2_grpc, users_pb2
from gateway.closes import CloseCode
from services.environments.model import Secret
from services.kernel.auth import bearer_authorization
from tests.contract.live.world import USER_ID, a_send
from tests.contract.services.requests import send_request
from tests.contract.services.world import Caller, reason
from tests.tokens import mint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.live.world import Browser, Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


def short(tenant: Tenant, life: timedelta, user_id: str = USER_ID) -> str:
    """Makes a token that is over soon, or already."""
    return mint(tenant.secret, tenant.client_id, user_id, now=datetime.now(UTC) - HOUR, ttl=HOUR + life)


async def created(tenant: Tenant, user_id: str = USER_ID) -> users_pb2.CreateUserTokenResponse:
    """Makes a token as a backend asks for it."""
    request = users_pb2.CreateUserTokenRequest(user_id=user_id)
    answer: users_pb2.CreateUserTokenResponse = await tenant.backend.users.CreateUserToken(request)
    return answer


async def revoke(tenant: Tenant) -> None:
    """Revokes the user's tokens."""
    await tenant.backend.users.RevokeUserTokens(users_pb2.RevokeUserTokensRequest(user_id=USER_ID))


async def closed_by_asking(browser: Browser) -> int | None:
    """Asks for something and gives the code that the connection is closed with; it may have been closed before."""
    with suppress(ConnectionClosed):
        await browser.send("list")
    return await browser.closed()


async def test_a_token_opens_the_inbox_of_its_user(live: Live, tenant: Tenant) -> None:
    """With nothing but a token a browser gets the user's items and events, and may list and mark them."""
    first = await tenant.backend.sender.Send(a_send())
    async with (
        live.hello(token=(await created(tenant)).user_token) as browser,
        live.hello(token=(await created(tenant, "another")).user_token) as stranger,
        live.browser(tenant) as by_hash,
    ):
        for one, items in ((browser, [first.item_id]), (stranger, [])):
            assert (await one.take())["type"] == "welcome"
            assert list(one.items) == items
        second = await tenant.backend.sender.Send(a_send())
        for one in (browser, by_hash):
            await one.take_until(second.item_id)

        assert browser.items == by_hash.items
        assert (await browser.ask("list"))["unread_count"] == 2
        assert (await browser.ask("mark", ids=[first.item_id], set=["SEEN"]))["changed_count"] == 1
        assert (await stranger.ask("list"))["items"] == []


async def test_what_is_no_right_token_is_refused(live: Live, tenant: Tenant) -> None:
    """A wrong signature, one of another environment and a token for nobody are refused as wrong hashes are."""
    stranger = await live.world.tenant()
    for token in (
        mint("wrong" * 8, tenant.client_id, USER_ID),
        mint(stranger.secret, tenant.client_id, USER_ID),
        mint(tenant.secret, "nobody", USER_ID),
    ):
        async with live.hello(token=token) as browser:
            assert await browser.closed() == CloseCode.REFUSED.code
            assert browser.items == {}


async def test_a_token_that_is_over_or_revoked_opens_nothing(live: Live, tenant: Tenant) -> None:
    """A client learns whether a new token from its backend is enough, or the user has to sign in."""
    revoked, over = mint(tenant.secret, tenant.client_id, USER_ID, now=datetime.now(UTC) - HOUR / 2), -SECOND
    await revoke(tenant)

    async with live.hello(token=short(tenant, over)) as browser:
        assert await browser.closed() == CloseCode.TOKEN_EXPIRED.code
    async with live.hello(token=revoked) as browser:
        assert await browser.closed() == CloseCode.TOKEN_REVOKED.code
    async with live.hello(token=(await created(tenant)).user_token) as browser:
        assert (await browser.take())["type"] == "welcome"


async def test_an_open_session_ends_with_its_token_unless_it_is_renewed(live: Live, tenant: Tenant) -> None:
    """At the end of a token its session is closed, to come back with another; one that was renewed goes on."""
    token = short(tenant, 5 * SECOND)
    new = await created(tenant)
    async with live.hello(token=token) as renewed, live.hello(token=token) as old:
        for browser in (renewed, old):
            assert (await browser.take())["type"] == "welcome"
        answer = await renewed.ask("renew", token=new.user_token)
        assert answer["type"] == "result"
        assert (answer["unread_count"], datetime.fromisoformat(answer["expire_time"])) == (
            0,
            new.expire_time.ToDatetime(tzinfo=UTC),
        )

        assert await old.closed() == CloseCode.TOKEN_EXPIRED.code
        sent = await tenant.backend.sender.Send(a_send())
        await renewed.take_until(sent.item_id)
        assert (await renewed.ask("list"))["unread_count"] == 1


async def test_a_renewal_that_is_refused_leaves_the_session_as_it_is(live: Live, tenant: Tenant) -> None:
    """Somebody else's token, a wrong one and one that is over are told with their reason, and the session goes on."""
    stranger = await live.world.tenant()
    async with live.hello(token=(await created(tenant)).user_token) as browser:
        assert (await browser.take())["type"] == "welcome"
        for token, code in (
            ((await created(tenant, "another")).user_token, "INVALID_FIELD"),
            (mint(stranger.secret, stranger.client_id, USER_ID), "INVALID_FIELD"),
            (mint(stranger.secret, tenant.client_id, USER_ID), "CREDENTIALS_INVALID"),
            (short(tenant, -SECOND), "TOKEN_EXPIRED"),
        ):
            answer = await browser.ask("renew", token=token)
            assert (answer["type"], answer["code"], answer["field"]) == ("error", code, "token")

        assert (await browser.ask("list"))["type"] == "result"


async def test_a_session_by_a_hash_may_go_on_by_a_token(live: Live, tenant: Tenant) -> None:
    """After a renewal the token is what counts: once it is revoked, so is the session."""
    async with live.browser(tenant) as renewed, live.browser(tenant) as by_hash:
        token = mint(tenant.secret, tenant.client_id, USER_ID, now=datetime.now(UTC) - SECOND)
        assert (await renewed.ask("renew", token=token))["type"] == "result"
        await revoke(tenant)

        assert await closed_by_asking(renewed) == CloseCode.TOKEN_REVOKED.code
        assert (await by_hash.ask("list"))["type"] == "result"


async def test_a_request_after_a_revocation_ends_the_session(live: Live, tenant: Tenant) -> None:
    """Whether or not the event has come: what is asked with a revoked token ends the session for good."""
    async with live.hello(token=short(tenant, HOUR)) as browser:
        assert (await browser.take())["type"] == "welcome"
        await revoke(tenant)

        assert await closed_by_asking(browser) == CloseCode.TOKEN_REVOKED.code


async def test_gateway_and_services_mean_the_same_user(live: Live, tenant: Tenant) -> None:
    """An id with colons, which would split a hash's credentials otherwise, is the same user on both sides."""
    user_id = f"{tenant.client_id}:{USER_ID}:x"
    async with live.hello(token=(await created(tenant, user_id)).user_token) as browser:
        assert (await browser.take())["type"] == "welcome"
        (sent,) = await tenant.send(send_request(user={"id": user_id}))
        await browser.take_until(sent.item_id)


async def test_a_revocation_closes_what_older_tokens_opened(live: Live, tenant: Tenant) -> None:
    """Nobody has to ask for anything: it reaches all sessions of the user's tokens, and those of a hash go on."""
    token = (await created(tenant)).user_token
    async with (
        live.hello(token=token) as one,
        live.hello(token=token) as other,
        live.hello(token=(await created(tenant, "another")).user_token) as stranger,
        live.browser(tenant) as by_hash,
    ):
        for browser in (one, other, stranger):
            assert (await browser.take())["type"] == "welcome"
        stream = watch(tenant, token)
        await anext(stream)

        await revoke(tenant)

        for browser in (one, other):
            assert await browser.closed() == CloseCode.TOKEN_REVOKED.code
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(stream)
        assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")
        for browser in (stranger, by_hash):
            assert (await browser.ask("list"))["type"] == "result"


async def test_a_stream_ends_with_its_token(live: Live, tenant: Tenant) -> None:
    """WatchInbox says that a new token is needed, as a close code does."""
    stream = watch(tenant, short(tenant, 2 * SECOND))
    assert (await anext(stream)).HasField("welcome")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        # A sign of life may come before.
        assert [response async for response in stream] == [inbox_pb2.WatchInboxResponse()]

    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")


def watch(tenant: Tenant, token: str) -> AsyncIterator[inbox_pb2.WatchInboxResponse]:
    """Opens a stream by a token."""
    stub: Any = inbox_pb2_grpc.InboxStub(tenant.channel)
    call = stub.WatchInbox(inbox_pb2.WatchInboxRequest(), metadata=[bearer_authorization(token)], timeout=30)
    return aiter(call)


async def test_a_rotation_drops_no_session(live: Live, tenant: Tenant) -> None:
    """While two secrets live, sessions of both go on; once the old one has ended, those that were renewed do."""
    (stored,) = await live.world.stores.environments.get_many([tenant.client_id])
    now = datetime.now(UTC)
    newer = Secret("newer", "a newer secret", now)
    # A backend of the new secret, as the old one will be refused.
    key = [("api-token", f"{tenant.client_id}.{newer.text}")]
    async with (
        live.browser(tenant) as by_hash,
        live.hello(token=(await created(tenant)).user_token) as by_token,
        live.hello(token=(await created(tenant)).user_token) as renewed,
    ):
        for browser in (by_token, renewed):
            assert (await browser.take())["type"] == "welcome"
        await live.world.change_secrets(tenant.client_id, *stored.rotated(newer, expire_time=now + HOUR))
        sent = await Caller(tenant.channel, key).sender.Send(a_send())
        new = mint(newer.text, tenant.client_id, USER_ID)
        async with live.hello(token=new) as newcomer:
            assert [item["id"] for item in (await newcomer.take())["items"]] == [sent.item_id]
        for browser in (by_hash, by_token, renewed):
            await browser.take_until(sent.item_id)
            assert (await browser.ask("list"))["type"] == "result"
        assert (await renewed.ask("renew", token=new))["type"] == "result"

        await live.world.change_secrets(tenant.client_id, newer)
        # Through the new secret the services learn of the change, as they would by themselves within a second.
        sent = await Caller(tenant.channel, key).sender.Send(a_send())
        for browser in (by_hash, by_token, renewed):
            await browser.take_until(sent.item_id)
        assert (await renewed.ask("list"))["type"] == "result"
        assert await closed_by_asking(by_token) == CloseCode.REFUSED.code
        assert await closed_by_asking(by_hash) == CloseCode.REFUSED.code
