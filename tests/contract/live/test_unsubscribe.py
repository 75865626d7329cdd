"""The link of a mail over HTTP: what looks, what unsubscribes, and what a person is told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
import pytest_asyncio

from carillon.v1 import preferences_pb2, users_pb2
from gateway.http.app import create_app
from gateway.http.forms import MAX_BODY_BYTES
from services.delivery.links import Links
from services.delivery.model import Outgoing
from services.environments.model import Environment
from services.kernel.clock import utc_now
from services.kernel.links import LinkTokens, ReportLink
from services.kernel.vocabulary import Channel
from services.notifications.model import Content
from tests.contract.live.world import USER_ID
from tests.contract.services.requests import EMAIL, INSTANT, OFF, definition, outcomes, send_request
from tests.contract.services.test_preferences import choices, settings
from tests.contract.services.world import MASTER_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.live.world import Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest_asyncio.fixture(loop_scope="session")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Gives a client that keeps nothing and follows no redirect."""
    async with httpx.AsyncClient() as client:
        yield client


def link(live: Live, tenant: Tenant, *, notification_id: str = "order_tracking", part: str = "") -> str:
    """Gives the link that the mail of a send has."""
    outgoing = Outgoing(
        environment=Environment(tenant.client_id, ()),
        user_id=USER_ID,
        tracking_id="01a2",
        notification_id=notification_id,
        content=Content(Channel.EMAIL, {}),
        target="anna@example.com",
        expire_time=utc_now(),
        sub_notification_id=part,
    )
    url = Links(live.url, LinkTokens(MASTER_KEY)).unsubscribe_url(outgoing)
    assert url
    return url


async def mail(tenant: Tenant, **fields: Any) -> str:
    """Sends and gives what becomes of the mail."""
    (sent,) = await tenant.send(send_request(user={"email": "anna@example.com"}, **fields))
    return outcomes(sent)["EMAIL"]


def heading(response: httpx.Response) -> str:
    """Gives what a page says first, after a look at what every page must have."""
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-robots-tag"] == "noindex"
    assert response.headers["referrer-policy"] == "no-referrer"
    policy = response.headers["content-security-policy"]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'; form-action 'self'; "
        r"frame-ancestors 'none'",
        policy,
    )
    assert not re.search(r"\b(src|href|action|on[a-z]+)=|<script|url\(|@import", response.text)
    (found,) = re.findall(r"<h1>(.*)</h1>", response.text)
    return str(found)


async def test_to_look_changes_nothing(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """A scanner that opens the link, however often and with whatever method that only looks, ends nothing."""
    await mail(tenant)
    for method in ("GET", "HEAD", "OPTIONS", "GET"):
        for query in ("", "?List-Unsubscribe=One-Click", "?resubscribe=1"):
            response = await client.request(method, link(live, tenant) + query)
            assert response.status_code == (204 if method == "OPTIONS" else 200)
            assert "set-cookie" not in response.headers

    assert (await tenant.stored())["preferences"] == 0
    assert await mail(tenant) == "PENDING"
    assert heading(await client.get(link(live, tenant))) == "Unsubscribe?"


@pytest.mark.parametrize(
    "body",
    [{"data": ONE_CLICK}, {"files": {"List-Unsubscribe": (None, "One-Click")}}, {}],
    ids=["urlencoded", "multipart", "nothing"],
)
async def test_one_click_needs_nothing_else(
    live: Live, tenant: Tenant, client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    """A mail program's POST unsubscribes at once, in either encoding: no cookie, no login, no redirect; again too."""
    await mail(tenant)
    for _ in range(2):
        response = await client.post(link(live, tenant), **body)

        assert response.status_code == 200
        assert "set-cookie" not in response.headers
        assert heading(response) == "You are unsubscribed"
        assert "Order tracking" in response.text
        assert len(await choices(tenant, USER_ID)) == 1

    assert await mail(tenant) == "PREFERENCE_OFF"


async def test_an_undo_is_a_post_of_its_own(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """The page's undo brings the mails back; the page says what holds, before and after."""
    await mail(tenant)
    await client.post(link(live, tenant), data=ONE_CLICK)
    assert heading(await client.get(link(live, tenant))) == "You are unsubscribed"

    undone = await client.post(link(live, tenant), data={"resubscribe": "1"})

    assert (undone.status_code, heading(undone)) == (200, "You are subscribed again")
    assert heading(await client.get(link(live, tenant))) == "Unsubscribe?"
    assert await choices(tenant, USER_ID) == []
    assert await mail(tenant) == "PENDING"


async def test_an_undo_that_does_nothing_says_so(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """Who turned more off than the link did is not told that the mails come again, and is offered no button."""
    await mail(tenant)
    await tenant.backend.preferences.SetPreferences(
        preferences_pb2.SetPreferencesRequest(
            user_id=USER_ID,
            preferences=[preferences_pb2.Preference(notification_id="order_tracking", delivery_option=OFF)],
        )
    )

    undone = await client.post(link(live, tenant), data={"resubscribe": "1"})

    assert heading(undone) == "Still unsubscribed"
    assert "<form" not in undone.text


async def test_a_link_of_a_part_names_it(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """A mail about a part ends those about it, and the page says which; titles are text, whatever is in them."""
    await tenant.put(definition("n", channels=(EMAIL,), title="<script>alert(1)</script> & more"))
    await tenant.send(send_request("n", user={"email": "anna@example.com"}, sub_notification_id="p"))

    response = await client.post(link(live, tenant, notification_id="n", part="p"), data=ONE_CLICK)

    assert heading(response) == "You are unsubscribed"
    assert "<strong>p</strong> (&lt;script&gt;alert(1)&lt;/script&gt; &amp; more)" in response.text
    assert [one.sub_notification_id for one in await choices(tenant, USER_ID)] == ["p"]


async def test_a_wrong_link_says_so(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """A link that was cut, changed or made for something else is a page that says so; it changes nothing."""
    await mail(tenant)
    right = link(live, tenant)
    base = right.rpartition("/")[0]
    report = LinkTokens(MASTER_KEY).write(ReportLink(tenant.client_id, USER_ID, "01a2", Channel.EMAIL))
    wrong = [right[:-1], right + "A", right + "/x", f"{base}/", f"{base}/%00%FF%E2%80", f"{base}/{report}"]

    for url in wrong:
        for response in (await client.get(url), await client.post(url, data=ONE_CLICK)):
            assert response.status_code == 404
            assert heading(response) == "This link does not work"
    assert await choices(tenant, USER_ID) == []


async def test_mails_that_nobody_can_turn_off(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """A link of such a mail says so, without a button; one click is refused, so that no program says that it worked."""
    await tenant.put(definition("n", channels=(settings(EMAIL, offered=[INSTANT]),)))
    await tenant.send(send_request("n", user={"email": "anna@example.com"}))
    url = link(live, tenant, notification_id="n")

    for response in (await client.get(url), await client.post(url, data=ONE_CLICK)):
        assert response.status_code == 400
        assert heading(response) == "These mails cannot be turned off"
        assert "<form" not in response.text


async def test_a_link_of_a_deleted_user(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """It says that no more mails come, and brings nothing of the user back."""
    await mail(tenant)
    await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=USER_ID))

    response = await client.post(link(live, tenant), data=ONE_CLICK)

    assert (response.status_code, heading(response)) == (200, "You are unsubscribed")
    stored = await tenant.stored()
    assert (stored["users"], stored["preferences"]) == (0, 0)


async def test_a_large_body_is_refused(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """A body has 16 KiB at most, said or not how large it is; more of it changes nothing."""
    await mail(tenant)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 1024

    for content in (b"x" * (MAX_BODY_BYTES + 1), chunks()):
        response = await client.post(link(live, tenant), content=content)
        assert response.status_code == 413
    assert await choices(tenant, USER_ID) == []

    assert (await client.post(link(live, tenant), content=b"x" * MAX_BODY_BYTES)).status_code == 200


async def test_other_methods(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """What else may be asked is said, to nobody's pages; all other methods are refused."""
    await mail(tenant)
    url = link(live, tenant)

    options = await client.options(url, headers={"Origin": "https://evil.example"})
    assert options.headers["allow"] == "GET, HEAD, POST, OPTIONS"
    assert not [name for name in options.headers if name.startswith("access-control")]
    head = await client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await client.request(method, url)).status_code == 405
    assert await choices(tenant, USER_ID) == []


async def test_a_link_is_told_to_open_sockets(live: Live, tenant: Tenant, client: httpx.AsyncClient) -> None:
    """A page that shows the user's choices is told, and asks for them: the mails are off there too."""
    await mail(tenant)
    async with live.browser(tenant) as browser:
        await client.get(link(live, tenant))
        await client.post(link(live, tenant), data=ONE_CLICK)
        while not browser.choice_changes:
            await browser.take()
        shown = await browser.ask("get_preferences")

    off = {"notification_id": "order_tracking", "channel": "EMAIL", "delivery_option": "OFF"}
    assert shown["preferences"] == [off]
    assert browser.choice_changes == 1


async def test_without_services_nothing_is_said_to_be_done(live: Live, tenant: Tenant) -> None:
    """Where the services are away a page says so, and when to come back: a mail program then tries again."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as away:
        app = create_app(ws_port=0, services=away)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            path = httpx.URL(link(live, tenant)).path
            for response in (await client.get(path), await client.post(path, data=ONE_CLICK)):
                assert response.status_code == 503
                assert response.headers["retry-after"] == "5"
                assert heading(response) == "This is not possible right now"


async def test_without_a_public_url_there_are_no_links() -> None:
    """Where nobody has said where the gateway is, mails get no link and providers no address."""
    outgoing: Any = None
    links = Links("", LinkTokens(MASTER_KEY))

    assert links.unsubscribe_url(outgoing) is None
    assert links.report_url(outgoing) is None
    # What `carillon dev` has, whose mails are read on this machine.
    assert Links("http://localhost:8080", LinkTokens(MASTER_KEY)).report_url(outgoing) is None
