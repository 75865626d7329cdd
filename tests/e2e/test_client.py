"""carillon.js in Chromium, on a page without anything else, against real services and a real gateway."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from carillon.v1 import sender_pb2, users_pb2
from tests.e2e.client_page import by_hash, http_url, open_client, open_client_page, socket_url
from tests.e2e.processes import free_port
from tests.e2e.stack import TITLE, order_tracking, retract_order_tracking
from tests.tokens import mint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from tests.contract.services.world import Caller
    from tests.e2e.client_page import ClientPage
    from tests.e2e.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOOK = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture
def user_id() -> str:
    """A user of the test's own."""
    return uuid.uuid4().hex


@pytest_asyncio.fixture(loop_scope="session")
async def backend(stack: Stack) -> AsyncIterator[Caller]:
    """Calls the services as a backend does."""
    async with stack.backend() as backend:
        yield backend


@pytest_asyncio.fixture(loop_scope="session")
async def client(browser: Browser, stack: Stack, user_id: str) -> AsyncIterator[ClientPage]:
    """A client that is live, with an empty inbox."""
    async with open_client(browser, stack, user_id) as client:
        yield client


async def test_arrives_and_is_retracted(client: ClientPage, backend: Caller, user_id: str) -> None:
    """What is sent is there at once, with the badge and one sound; what is taken back is gone."""
    await backend.sender.Send(order_tracking(user_id))
    await client.until("told.new.length === 1")
    assert await client.titles() == [TITLE]
    assert await client.run("client.unreadCount") == 1

    await backend.sender.Retract(retract_order_tracking(user_id))
    await client.until("titles().length === 0")
    assert await client.run("client.unreadCount") == 0
    assert await client.run("told.change.map(({ kind }) => kind)") == ["welcome", "created", "retracted"]


async def test_two_tabs_stay_in_step(
    browser: Browser, stack: Stack, client: ClientPage, backend: Caller, user_id: str
) -> None:
    """What one tab marks, archives and brings back, the other shows, badge and views alike."""
    first = (await backend.sender.Send(order_tracking(user_id))).item_id
    await backend.sender.Send(order_tracking(user_id))
    async with open_client(browser, stack, user_id) as other:
        await other.run("await client.view('archive').loadMore()")

        marked = await client.run("await client.mark([value], { set: ['SEEN'] })", first)
        assert marked == {"changed_count": 1, "unread_count": 1}
        await other.until("client.unreadCount === 1 && titles('unread').length === 1")

        await client.run("await client.archive(value)", first)
        await other.until("titles().length === 1 && titles('archive').length === 1")

        await other.run("await client.unarchive(value)", first)
        await client.until("titles().length === 2")
        await other.until("titles().length === 2 && titles('archive').length === 0")

        await other.run("await client.markAll()")
        for tab in (client, other):
            await tab.until("client.unreadCount === 0 && titles('unread').length === 0")


async def test_pages_while_the_inbox_changes(browser: Browser, stack: Stack, backend: Caller, user_id: str) -> None:
    """Over 500 items, while others arrive, go and are put away, every page follows on the one before."""
    sent = await send_many(backend, user_id, 520)
    gone = []
    async with open_client(browser, stack, user_id) as client:
        assert await client.run("ids()") == " ".join(reversed(sent[-50:]))
        for number in range(3):
            await client.run("void (window.loading = client.view().loadMore())")
            # Meanwhile: of what is held, and of what is not yet.
            retracted, archived = [sent[500 - number], sent[20 + number]], [sent[490 - number], sent[30 + number]]
            gone += [*retracted, *archived]
            await backend.sender.Retract(sender_pb2.RetractRequest(user_id=user_id, tracking_ids=retracted))
            await client.run("await client.archive(value)", archived)
            sent += await send_many(backend, user_id, 1)
            assert await client.run("await loading")
        await client.run("(async () => { while (client.view().hasMore) await client.view().loadMore(); })()")

        left = [item_id for item_id in reversed(sent) if item_id not in gone]
        await client.until("ids() === value.ids && client.unreadCount === value.count", told(left))
        await client.run("await client.view('archive').loadMore()")
        assert len(await client.titles("archive")) == 6
        assert await client.run("client.view('archive').hasMore") is False
        assert await client.run("told.new.length") == 3


async def test_a_killed_gateway_loses_nothing(browser: Browser, stack: Stack, backend: Caller, user_id: str) -> None:
    """A gateway that is killed and started again is come back to: nothing is lost, nothing rings twice."""
    own = replace(stack, ws_port=free_port(), http_port=free_port())
    async with AsyncExitStack() as gateways:
        gateway = await gateways.enter_async_context(own.gateway())
        async with open_client(browser, own, user_id) as client:
            [stays, goes] = await send_many(backend, user_id, 2)
            await client.until("told.new.length === 2")

            await gateway.kill()
            await client.until("client.state === 'reconnecting'")
            assert len(await client.titles()) == 2
            [missed] = await send_many(backend, user_id, 1)
            await backend.sender.Retract(sender_pb2.RetractRequest(user_id=user_id, tracking_ids=[goes]))
            await gateways.enter_async_context(own.gateway())

            await client.until("client.state === 'live' && told.new.length === 3")
            assert await client.run("ids()") == f"{missed} {stays}"
            assert await client.run("client.unreadCount") == 2
            assert await client.run("told.new.map(({ item }) => item.id)") == [stays, goes, missed]
            assert client.sent_of("hello")[-1]["cursor"]
            assert client.received_of("welcome")[-1]["resume"] == "full"


async def test_the_network_goes_and_comes_back(client: ClientPage, backend: Caller, user_id: str) -> None:
    """Without a network it says so and shows what it has; with it, it is at once up to date again."""
    await send_many(backend, user_id, 1)
    await client.until("titles().length === 1")

    await client.page.context.set_offline(True)
    await client.until("client.state === 'offline'")
    await send_many(backend, user_id, 1)
    assert len(await client.titles()) == 1

    await client.page.context.set_offline(False)
    await client.until("client.state === 'live' && titles().length === 2")
    assert client.received_of("welcome")[-1]["resume"] == "full"
    assert await client.run("told.new.length") == 2


async def test_a_cut_looks_like_a_lost_network(client: ClientPage, backend: Caller, user_id: str) -> None:
    """What a page cuts off itself is offline until it says otherwise, and resumes."""
    await client.run("client.cut()")
    assert await client.run("client.state") == "offline"
    await send_many(backend, user_id, 1)
    assert await client.titles() == []

    await client.run("client.restore()")
    await client.until("client.state === 'live' && titles().length === 1")
    assert client.sent_of("hello")[-1]["cursor"] == client.received_of("welcome")[0]["cursor"]
    assert client.received_of("welcome")[-1]["resume"] == "full"


async def test_a_new_page_goes_on_where_the_last_one_was(
    browser: Browser, stack: Stack, backend: Caller, user_id: str
) -> None:
    """What a tab keeps is shown before there is a connection, and resumed by its cursor; another user's is not."""
    await send_many(backend, user_id, 3)
    async with open_client(browser, stack, user_id, keeps=True) as client:
        await client.run("client.close()")
        await send_many(backend, user_id, 1)

        await client.start(http_url(stack), **by_hash(stack, user_id), keeps=True)
        assert len(await client.titles()) >= 3
        await client.until("client.state === 'live' && titles().length === 4")
        assert await client.run("told.new.length") == 1
        assert [frame["resume"] for frame in client.received_of("welcome")] == ["snapshot", "full"]

        await client.start(http_url(stack), **by_hash(stack, f"{user_id}-other"), keeps=True)
        await client.until("client.state === 'live'")
        assert await client.titles() == []
        assert "cursor" not in client.sent_of("hello")[-1]


@pytest_asyncio.fixture(loop_scope="session")
async def still(browser: Browser, stack: Stack, user_id: str) -> AsyncIterator[ClientPage]:
    """A client that is live, for which time stands still, and so does every wait."""
    async with open_client_page(browser) as client:
        await client.page.clock.install(time=0)
        await client.page.clock.pause_at(1000)
        await client.start(http_url(stack), **by_hash(stack, user_id))
        await client.until("client.state === 'live'")
        yield client


@pytest.mark.parametrize("event", ["window.dispatchEvent(new Event('online'))", LOOK])
async def test_comes_back_at_once(still: ClientPage, event: str) -> None:
    """It does not wait any longer when the network is back, or somebody looks."""
    await still.run("window.dispatchEvent(new Event('offline'))")
    assert await still.run("client.state") == "reconnecting"

    await still.run(event)
    await still.until("client.state === 'live'")


async def test_somebody_who_looks_has_the_connection_checked(still: ClientPage) -> None:
    """A tab that becomes visible pings, as the machine may have slept."""
    async with still.sockets[-1].expect_event("framereceived", lambda payload: "pong" in payload):
        await still.run(LOOK)


async def test_requests_wait_for_the_connection(client: ClientPage, backend: Caller, user_id: str) -> None:
    """What is asked while it is away is answered once it is back, or refused in the end."""
    [item_id] = await send_many(backend, user_id, 1)
    await client.until("client.unreadCount === 1")
    await client.run("client.cut()")
    await client.run("void (window.marked = client.open(value))", item_id)
    await client.run("client.restore()")
    assert (await client.run("await marked"))["changed_count"] == 1

    await client.run("client.cut()")
    assert await client.run("await client.open(value).catch(({ code }) => code)", item_id) == "NOT_CONNECTED"


async def test_a_token_is_renewed_unnoticed(browser: Browser, stack: Stack, backend: Caller, user_id: str) -> None:
    """Before its token is over the client has a new one, and what it shows is live all the time."""
    async with open_client_page(browser) as client:
        await client.page.expose_function("newToken", lambda: token(stack, user_id, seconds=8))
        await client.start(http_url(stack), url=socket_url(stack), asksForTokens=True)
        await client.until("client.state === 'live'")
        # Each comes when half of the time is over; at the third the first token is not valid any more.
        for _ in range(3):
            await client.sockets[0].wait_for_event("framereceived", predicate=lambda payload: '"result"' in payload)
        await send_many(backend, user_id, 1)
        await client.until("titles().length === 1")

        assert len(client.sockets) == 1
        assert await client.run("told.state.map(({ state }) => state)") == ["connecting", "live"]
        assert await client.run("told.problem") == []


async def test_a_token_that_is_over_is_replaced(browser: Browser, stack: Stack, backend: Caller, user_id: str) -> None:
    """Where there was no new token in time, the session ends, and goes on with the next one."""
    async with open_client_page(browser) as client:
        answers = [token(stack, user_id, seconds=4), "", token(stack, user_id, seconds=3600)]

        await client.page.expose_function("newToken", lambda: answers.pop(0))
        await client.start(http_url(stack), url=socket_url(stack), asksForTokens=True)
        await client.until("client.state === 'reconnecting'")
        await client.until("client.state === 'live'")

        assert [told["code"] for told in await client.run("told.state") if told["state"] == "reconnecting"] == [4003]
        assert client.received_of("welcome")[-1]["resume"] == "full"
        await send_many(backend, user_id, 1)
        await client.until("titles().length === 1")


async def test_a_revoked_token_is_signed_out(browser: Browser, stack: Stack, backend: Caller, user_id: str) -> None:
    """A token that is revoked ends it for good, and what was kept is forgotten."""
    async with open_client_page(browser) as client:
        given = token(stack, user_id, seconds=3600)
        await client.start(http_url(stack), url=socket_url(stack), token=given, keeps=True)
        await send_many(backend, user_id, 1)
        await client.until("client.state === 'live' && titles().length === 1")

        await backend.users.RevokeUserTokens(users_pb2.RevokeUserTokensRequest(user_id=user_id))
        await client.until("client.state === 'signed-out'")
        assert (await client.run("told.state.at(-1)"))["code"] == 4502
        assert await client.run("sessionStorage.length") == 0
        assert await client.run("await client.open('x').catch(({ code }) => code)") == "NOT_CONNECTED"


async def test_preferences(client: ClientPage, user_id: str) -> None:
    """Choices are read, changed and forgotten, and every tab is told."""
    choice = {"notification_id": "order_tracking", "channel": "INAPP_WEB", "delivery_option": "OFF"}
    assert (await client.run("await client.patchPreferences([value])", choice))["preferences"] == [choice]
    await client.until("told.preferences.length === 2")

    page = await client.run("await client.getPreferences()")
    assert page["preferences"] == [choice]
    assert [one["notification_id"] for one in page["notifications"]] == ["hello_world", "new_order", "order_tracking"]
    assert await client.run("await client.deletePreferences('order_tracking')") == {"preferences": []}


async def test_a_refusal_is_an_error(client: ClientPage) -> None:
    """What the services refuse is an error with its code and field."""
    refused = "await client.list({ pageToken: 'x' }).catch(({ name, code, field }) => [name, code, field])"

    assert await client.run(refused) == ["CarillonError", "PAGE_TOKEN_INVALID", "page_token"]


async def send_many(backend: Caller, user_id: str, count: int) -> list[str]:
    """Sends one after the other, and gives the ids of the items, oldest first."""
    return [(await backend.sender.Send(order_tracking(user_id))).item_id for _ in range(count)]


def told(item_ids: list[str]) -> dict[str, object]:
    """Gives what a client shows and counts when it has these items, all unread."""
    return {"ids": " ".join(item_ids), "count": len(item_ids)}


def token(stack: Stack, user_id: str, *, seconds: float) -> str:
    """Makes a user token."""
    return mint(stack.client_secret, stack.client_id, user_id, ttl=timedelta(seconds=seconds))
