"""What browsers may do differently and mean the same: a test for each line of the checklist that is about them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from carillon.v1 import environments_pb2
from gateway.http.app import create_app
from gateway.items import iso
from services.environments.vapid import new_vapid_keys
from services.kernel.auth import user_hash
from services.kernel.clock import new_id
from tests.contract.gateway.notificationapi.world import ITEMS, UNREAD, USER_ID, basic, open_api
from tests.contract.services.requests import send_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.contract.gateway.notificationapi.world import Api
    from tests.contract.live.world import Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOON = datetime(2026, 1, 2, 12, 0, 0, 678_000, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)
PAGE = "https://app.example.com"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization,content-type",
}


async def fill(live: Live, tenant: Tenant, dates: Sequence[datetime]) -> list[str]:
    """Puts items of these dates into the user's inbox, and gives their ids in the same order."""
    (sent,) = await tenant.send(send_request())
    messages = live.world.database.messages
    one = await messages.find_one_and_delete({"_id.e": tenant.client_id, "_id.m": sent.tracking_id})
    copies = [one | {"_id": one["_id"] | {"m": new_id()}, "inapp": one["inapp"] | {"date": date}} for date in dates]
    await messages.insert_many(copies)
    return [copy["_id"]["m"] for copy in copies]


def ids(answer: dict[str, Any]) -> list[str]:
    """Gives which items an answer holds."""
    return [item["id"] for item in answer["notifications"]]


# Line 4: slashes, percent-encoding, plus.


@pytest.mark.parametrize("resource", ["", ITEMS, UNREAD, "preferences", "account_metadata", "validateUser"])
async def test_line_04_a_slash_at_the_end_is_none(api: Api, resource: str) -> None:
    """A path that ends in a slash, as core's do, is the one without it."""
    answers = [
        await api.call("GET", resource.removesuffix("/") + slashes, headers={"Connection": "close"})
        for slashes in ("", "/", "//")
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json() == answers[1].json() == answers[2].json()


@pytest.mark.parametrize(
    "user_id",
    [
        "a b",
        "a+b",
        "a/b",
        "a//b",
        "/",
        "a%2Fb",
        "ümläut@x.de",
        "日本",
        "a:b:c",
        "a/preferences",
        "unread/INAPP_WEB",
        "?#&",
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_line_04_a_user_may_have_any_id(api: Api, tenant: Tenant, user_id: str, slash: str) -> None:
    """Whatever is in an id, its percent-encoded form reaches that user and their things, and nobody else's."""
    await tenant.send(send_request(user={"id": user_id}))
    user = api.as_user(user_id)

    assert (await user.send("POST", slash, {"timezone": "Europe/Berlin"}))["id"] == user_id
    assert (await user.get(slash))["timezone"] == "Europe/Berlin"
    assert len((await user.get(ITEMS + slash))["notifications"]) == 1
    assert await user.get(UNREAD + slash) == {"count": 1}
    assert (await user.get("preferences" + slash))["notifications"]
    assert await api.get(UNREAD) == {"count": 0}


async def test_line_04_python_leaves_slashes_of_an_id_as_they_are(api: Api, tenant: Tenant, live: Live) -> None:
    """The Python SDK encodes all but slashes."""
    authorization = basic(tenant.client_id, "a b/c", user_hash(tenant.secret, "a b/c"))
    async with httpx.AsyncClient(base_url=live.url, trust_env=False) as http:
        url = f"/{tenant.client_id}/users/{quote('a b/c')}"
        response = await http.post(url, json={}, headers={"Authorization": authorization})

    assert (response.status_code, response.json()["id"]) == (200, "a b/c")
    assert (await api.as_account().about("a b/c").get())["id"] == "a b/c"


@pytest.mark.parametrize(("written", "user_id"), [("a+b", "a b"), ("a+b", "a+b"), ("a%2Bb", "a+b"), ("a%20b", "a b")])
async def test_line_04_a_plus_is_what_the_credentials_say(
    live: Live, tenant: Tenant, written: str, user_id: str
) -> None:
    """A user with a plus in the path is the one of the credentials: with a plus, or with a space as PHP and Go mean."""
    authorization = basic(tenant.client_id, user_id, user_hash(tenant.secret, user_id))
    async with httpx.AsyncClient(base_url=live.url, trust_env=False) as http:
        url = f"/{tenant.client_id}/users/{written}"
        response = await http.post(url, json={}, headers={"Authorization": authorization})

    assert (response.status_code, response.json()["id"]) == (200, user_id)


async def test_line_04_a_plus_of_an_account_is_a_space_where_nobody_has_the_plus(live: Live, tenant: Tenant) -> None:
    """An account does not say which of the two it means: who has a plus goes first, else it is a space."""
    await tenant.send(send_request(user={"id": "a b"}), send_request(user={"id": "a b"}))
    async with httpx.AsyncClient(base_url=live.url, trust_env=False) as http:
        url = f"/{tenant.client_id}/users/a+b/{UNREAD}"
        headers = {"Authorization": basic(tenant.client_id, tenant.secret)}
        assert (await http.get(url, headers=headers)).json() == {"count": 2}
        assert (await http.patch(url, headers=headers)).json() == {"success": True}
        assert (await http.get(url, headers=headers)).json() == {"count": 0}
        await tenant.send(send_request(user={"id": "a+b"}))
        assert (await http.get(url, headers=headers)).json() == {"count": 1}


@pytest.mark.parametrize(
    ("method", "written"),
    [
        ("POST", "users/%FF"),
        ("POST", "users/a%ED%A0%80"),
        ("GET", f"%75sers/anna/{UNREAD}"),
        ("GET", "users/anna/%75nread/INAPP_WEB"),
        ("DELETE", "users/%FF/preferences?notificationId=order_tracking"),
    ],
)
async def test_line_04_what_names_nobody_is_refused(live: Live, tenant: Tenant, method: str, written: str) -> None:
    """Bytes that are no text, and words of the path that are encoded: 400 for whoever calls, and nobody is stored."""
    before = await tenant.stored()
    async with httpx.AsyncClient(base_url=live.url, trust_env=False) as http:
        for parts in ((tenant.secret,), (USER_ID, user_hash(tenant.secret, USER_ID))):
            headers = {"Authorization": basic(tenant.client_id, *parts)}
            response = await http.request(method, f"/{tenant.client_id}/{written}", headers=headers)
            assert response.status_code == 400, response.text
    assert await tenant.stored() == before


async def test_line_04_what_is_behind_a_user_belongs_to_the_id_where_the_route_has_nothing(api: Api) -> None:
    """A method that a resource does not know is not one for its user: that is somebody else, whose id has slashes."""
    for resource in (ITEMS, UNREAD, "account_metadata"):
        await api.refused(403, "POST", resource, json={"email": "a@example.com"})
    assert "email" not in await api.get()


# Line 10: the items and their pages.


async def test_line_10_items_are_as_core_and_js_client_read_them(api: Api, tenant: Tenant) -> None:
    """An item has every field that they read, and its date is UTC with milliseconds and a Z."""
    (sent,) = await tenant.send(send_request())

    answer = await api.get(ITEMS, count=100)

    (item,) = answer["notifications"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", item["date"])
    assert isinstance(item.pop("expDate"), int)
    assert answer == {
        "notifications": [
            {
                "id": sent.tracking_id,
                "notificationId": "order_tracking",
                "seen": False,
                "title": "Your Krabby Patty Burger is on its way<br>It will be delivered to 124 Conch Street.",
                "redirectURL": "/orders/1234567890",
                "date": item["date"],
            }
        ],
        "oldestReceived": item["date"],
        "couldLoadMore": False,
    }


async def test_line_10_pages_go_down_from_the_newest(api: Api, live: Live, tenant: Tenant) -> None:
    """Newest first; `before` is inclusive; who goes on with oldestReceived as long as couldLoadMore gets all."""
    there = await fill(live, tenant, [NOON - MOMENT * i for i in range(25)])

    first = await api.get(ITEMS, count=10)
    assert ids(first) == there[:10]
    assert (first["oldestReceived"], first["couldLoadMore"]) == (iso(NOON - 9 * MOMENT), True)
    second = await api.get(ITEMS, count=10, before=first["oldestReceived"])
    assert ids(second) == there[9:19]
    assert second["couldLoadMore"]
    third = await api.get(ITEMS, count=10, before=second["oldestReceived"])
    assert ids(third) == there[18:]
    assert (third["oldestReceived"], third["couldLoadMore"]) == (iso(NOON - 24 * MOMENT), False)


async def test_line_10_an_empty_page_says_that_there_is_no_more(api: Api) -> None:
    """Where there is nothing, oldestReceived is what was asked for, or the beginning of time."""
    before = iso(NOON)
    assert await api.get(ITEMS) == {
        "notifications": [],
        "oldestReceived": "1970-01-01T00:00:00.000Z",
        "couldLoadMore": False,
    }
    assert await api.get(ITEMS, before=before) == {
        "notifications": [],
        "oldestReceived": before,
        "couldLoadMore": False,
    }


@pytest.mark.parametrize(
    "before",
    [
        "2026-01-02T12:00:00.678Z",
        "2026-01-02T12:00:00.678%2B00:00",
        # What core sends, which encodes nothing.
        "2026-01-02T12:00:00.678+00:00",
        "2026-01-02T14:00:00.678+02:00",
        "1767355200678",
        "1767355200.678",
    ],
)
async def test_line_10_before_is_a_time_or_a_number(api: Api, live: Live, tenant: Tenant, before: str) -> None:
    """ISO with any offset, encoded or not, and seconds or milliseconds since 1970 are the same moment."""
    there = await fill(live, tenant, [NOON + MOMENT, NOON, NOON - MOMENT])

    response = await api.call("GET", f"{ITEMS}?count=10&before={before}")

    assert ids(response.json()) == there[1:]


async def test_line_10_without_a_count_ten_come(api: Api, live: Live, tenant: Tenant) -> None:
    """A missing count is ten."""
    there = await fill(live, tenant, [NOON - MOMENT * i for i in range(11)])

    assert ids(await api.get(ITEMS)) == there[:10]


async def test_line_10_items_of_one_moment_do_not_stop_core(api: Api, live: Live, tenant: Tenant) -> None:
    """Core goes on with the oldest date until nothing is new: it gets past a moment with more items than a page."""
    there = await fill(live, tenant, [NOON + MOMENT, *[NOON] * 130, NOON - MOMENT])
    held: set[str] = set()
    before = iso(NOON + timedelta(days=1))

    for _ in range(10):
        answer = await api.get(ITEMS, count=50, before=before)
        if held.issuperset(ids(answer)):
            break
        held.update(ids(answer))
        before = answer["notifications"][-1]["date"]

    assert held == set(there)


async def test_line_10_archived_items_are_told(api: Api, tenant: Tenant) -> None:
    """The client decides which it shows: archived ones come too, in their place."""
    sent = await tenant.send(send_request(), send_request())
    await api.send("PATCH", ITEMS, {"trackingIds": [sent[1].tracking_id], "archived": iso(NOON)})

    (newer, older) = (await api.get(ITEMS))["notifications"]

    assert (newer["id"], newer["archived"], newer["seen"]) == (sent[1].tracking_id, iso(NOON), True)
    assert "archived" not in older


# Line 11: seen.


@pytest.mark.parametrize("name", ["opened", "clicked", "archived", "actioned1", "actioned2", "reply"])
async def test_line_11_seen_is_true_whenever_opened_is_set(api: Api, tenant: Tenant, name: str) -> None:
    """React asks for ever where opened and seen do not agree: whatever marks an item, it is seen."""
    (sent,) = await tenant.send(send_request())
    value = {"message": "ok", "date": iso(NOON)} if name == "reply" else iso(NOON)

    assert await api.send("PATCH", ITEMS, {"trackingIds": [sent.tracking_id], name: value}) == {"success": True}

    (item,) = (await api.get(ITEMS))["notifications"]
    assert item["seen"] is True
    assert ("opened" in item) == (name != "archived")
    assert await api.get(UNREAD) == {"count": 0}


async def test_line_11_what_is_not_opened_any_more_is_unread(api: Api, tenant: Tenant) -> None:
    """Null takes opened back, and seen and clicked with it."""
    (sent,) = await tenant.send(send_request())
    await api.send("PATCH", ITEMS, {"trackingIds": [sent.tracking_id], "clicked": iso(NOON)})

    await api.send("PATCH", ITEMS, {"trackingIds": [sent.tracking_id], "opened": None})

    (item,) = (await api.get(ITEMS))["notifications"]
    assert item["seen"] is False
    assert not item.keys() & {"opened", "clicked"}
    assert await api.get(UNREAD) == {"count": 1}


# Line 13: CORS.


@pytest.mark.parametrize(
    "path",
    [
        f"/dev/users/{USER_ID}/{ITEMS}",
        f"/dev/users/{USER_ID}/",
        f"//dev/users/{USER_ID}/preferences",
        f"/dev/users/{quote('a/b', safe='')}/account_metadata",
        "/dev/sender",
        "/dev/sender/retract",
        "/dev/user_preferences/u",
        "/dev/notifications/n/subNotifications/s",
        "/dev/schedule/t",
        "/dev/logs/query",
    ],
)
async def test_line_13_a_preflight_is_answered(live: Live, path: str) -> None:
    """Every path of theirs may be called from every page, with every method and the headers that they send."""
    async with httpx.AsyncClient(trust_env=False) as http:
        response = await http.options(live.url + path, headers=PREFLIGHT)

    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == "*"
    methods = response.headers["access-control-allow-methods"].split(", ")
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(methods)
    headers = response.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "idempotency-key"} <= set(headers)
    assert int(response.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in response.headers


async def test_line_13_every_answer_is_readable(api: Api, tenant: Tenant) -> None:
    """A page's script may read what succeeded and what was refused, whoever refuses it, and when to come back."""
    other = api.about("somebody else")
    answers = [
        (200, await api.call("GET", ITEMS, headers={"Origin": PAGE})),
        (400, await api.call("GET", f"{ITEMS}?before=never")),
        (401, await api.by("").call("GET", ITEMS)),
        (401, await api.by(basic(tenant.client_id, USER_ID, "wrong")).call("GET", ITEMS)),
        (403, await other.call("GET", ITEMS)),
        (404, await api.call("GET", "slack/channels")),
        (405, await api.call("DELETE", UNREAD)),
        (413, await api.call("POST", "", content=b" " * (6 * 1024 * 1024 + 1))),
    ]

    assert [answer.status_code for _, answer in answers] == [status for status, _ in answers]
    for status, answer in answers:
        assert answer.headers["access-control-allow-origin"] == "*", status
        assert answer.headers["access-control-expose-headers"] == "Retry-After"
        assert status == 200 or answer.json()["error"]["code"]


async def test_line_13_a_defect_is_readable_too() -> None:
    """A 500 has the header as well: what makes it stands around all else."""
    app = create_app(ws_port=1)

    async def fail() -> None:
        raise RuntimeError("a secret")

    app.router.routes.clear()
    app.add_api_route("/{client_id}/users/{user_id}", fail)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        response = await http.get("/dev/users/u")

    assert response.status_code == 500
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "path", ["/", "/index.html", "/healthz", "/v1/gateway", "/dev/session", "/dev/send", "/unsubscribe/x", "/docs"]
)
async def test_line_13_our_own_paths_are_for_our_own_page(live: Live, path: str) -> None:
    """No other site may read the rest, or ask whether it may: the page, its routes, links, callbacks, docs."""
    async with httpx.AsyncClient(base_url=live.url, trust_env=False) as http:
        answers = [
            await http.get(path, headers={"Origin": PAGE}),
            await http.options(path, headers=PREFLIGHT),
        ]

    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")]


# Line 14: what JavaScript writes where there is nothing.


@pytest.mark.parametrize("query", ["before=undefined", "before=null", "before=NaN", "before=", ""])
async def test_line_14_no_before_is_no_bound(api: Api, tenant: Tenant, query: str) -> None:
    """A `before` that is none gives the newest."""
    (sent,) = await tenant.send(send_request())

    response = await api.call("GET", f"{ITEMS}?{query}")

    assert ids(response.json()) == [sent.tracking_id]


@pytest.mark.parametrize("before", ["yesterday", "2026-13-01", "1e400", "99999999999999999999"])
async def test_line_14_any_other_before_is_refused(api: Api, before: str) -> None:
    """What cannot be read is a 400 that names the field."""
    error = await api.refused(400, "GET", ITEMS, params={"before": before})

    assert [one["field"] for one in error["fields"]] == ["before"]


@pytest.mark.parametrize("count", ["", "0", "-5", "ten", "NaN", "undefined", "1e400", "2.5.1"])
async def test_line_14_a_count_that_is_none_is_ten(api: Api, live: Live, tenant: Tenant, count: str) -> None:
    """A count is never an error."""
    there = await fill(live, tenant, [NOON - MOMENT * i for i in range(11)])

    assert ids((await api.call("GET", f"{ITEMS}?count={count}")).json()) == there[:10]


async def test_line_14_a_count_that_is_too_large_is_a_thousand(api: Api, live: Live, tenant: Tenant) -> None:
    """More than a thousand do not come at once, and the answer says that there are more."""
    there = await fill(live, tenant, [NOON - MOMENT * i for i in range(1005)])

    answer = await api.get(ITEMS, count=1_000_000)

    assert ids(answer) == there[:1000]
    assert answer["couldLoadMore"]
    assert ids(await api.get(ITEMS, count=1000, before=answer["oldestReceived"])) == there[999:]


# Line 17: account_metadata.


async def test_line_17_account_metadata_is_always_there(api: Api) -> None:
    """Where there is no web push and no logo, both are empty, and nobody is asked for a permission."""
    assert await api.get("account_metadata") == {
        "userAccountMetadata": {"logo": "", "environmentVapidPublicKey": "", "hasWebPushEnabled": False}
    }


async def test_line_17_account_metadata_has_logo_and_key(live: Live, tenant: Tenant, api: Api) -> None:
    """The logo is the environment's, and so is the key that a browser subscribes with."""
    environment = environments_pb2.Environment(logo_url="https://example.com/logo.png")
    await tenant.backend.environments.UpdateEnvironment(
        environments_pb2.UpdateEnvironmentRequest(environment=environment)
    )
    keys = new_vapid_keys("mailto:ops@example.com")
    await live.world.stores.environments.change(tenant.client_id, lambda stored: replace(stored, vapid=keys))

    assert await api.get("account_metadata") == {
        "userAccountMetadata": {
            "logo": "https://example.com/logo.png",
            "environmentVapidPublicKey": keys.public_key,
            "hasWebPushEnabled": True,
        }
    }


async def test_line_17_account_metadata_is_for_the_user_of_the_path(api: Api, live: Live, tenant: Tenant) -> None:
    """A user asks for themselves here, too."""
    await api.about("somebody else").refused(403, "GET", "account_metadata")
    async with open_api(live.url, tenant) as other:
        await other.by("").refused(401, "GET", "account_metadata")
