"""The log over NotificationAPI's interface: asked once, and asked again by the query's id."""

from __future__ import annotations

import asyncio
import time
import zlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.contract.gateway.notificationapi.backend import SEND, USER, fields_of, open_backend
from tests.contract.services.requests import definition, inapp

if TYPE_CHECKING:
    from tests.contract.gateway.notificationapi.backend import Backend
    from tests.contract.live.world import Live

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUERY = "logs/query"


@pytest_asyncio.fixture(loop_scope="session")
async def sent(backend: Backend) -> dict[str, str]:
    """Sends three times, and gives the tracking ids."""
    await backend.tenant.put(definition("note", inapp()))
    return {
        "order": (await backend.send(status=202))["trackingId"],
        "note": (await backend.send(notificationId="note"))["trackingId"],
        "anna": (await backend.send(notificationId="note", user={"id": "anna"}))["trackingId"],
    }


async def found(backend: Backend, **query: Any) -> list[str]:
    """Gives the tracking ids that a query finds, the newest first; both ways of asking must agree."""
    asked = await backend.done("POST", QUERY, query)
    again = await backend.done("GET", f"{QUERY}/{asked.pop('queryId')}")
    assert again == asked
    assert asked["status"] == "Complete"
    return [entry["trackingId"] for entry in asked["logs"]]


async def test_every_filter_narrows(backend: Backend, sent: dict[str, str]) -> None:
    """Values of one filter widen each other, filters narrow each other; null and empty ones do nothing."""
    order, note, anna = sent["order"], sent["note"], sent["anna"]
    everything = [anna, note, order]
    now = int(time.time() * 1000)
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, everything),
        ({"userFilter": None, "notificationFilter": [], "customFilter": "", "requestFilter": []}, everything),
        ({"envIdFilter": [backend.tenant.client_id]}, everything),
        ({"notificationFilter": ["note"]}, [anna, note]),
        ({"notificationFilter": ["note", "order_tracking"]}, everything),
        ({"userFilter": ["anna"]}, [anna]),
        ({"userFilter": ["anna"], "notificationFilter": ["order_tracking"]}, []),
        ({"trackingIds": [note, order]}, [note, order]),
        ({"channelFilter": ["inapp_web"]}, everything),
        ({"channelFilter": ["SMS"]}, [order]),
        ({"statusFilter": ["SUCCESS"]}, everything),
        ({"statusFilter": ["success", "FAILURE"]}, everything),
        ({"statusFilter": ["FAILURE"]}, []),
        ({"statusFilter": ["skipped"]}, [order]),
        ({"statusFilter": ["DELIVERED"], "channelFilter": ["SMS"]}, []),
        ({"dateRangeFilter": {"startTime": now - 600_000, "endTime": now + 600_000}}, everything),
        ({"dateRangeFilter": {"startTime": now // 1000 - 600, "endTime": str(now // 1000 + 600)}}, everything),
        ({"dateRangeFilter": {"startTime": now + 600_000}}, []),
        ({"dateRangeFilter": {"endTime": now - 600_000}}, []),
        ({"dateRangeFilter": {}}, everything),
    ]
    for query, ids in cases:
        assert await found(backend, **query) == ids, query


async def test_an_entry_says_what_became_of_a_send(backend: Backend) -> None:
    """With the send as it came, and of each channel how it was routed, when it arrived, or why it did not."""
    await backend.done(
        "POST",
        f"user_preferences/{USER['id']}",
        [{"notificationId": "order_tracking", "channel": "SMS", "delivery": "off"}],
    )
    body = SEND | {
        "forceChannels": ["EMAIL", "INAPP_WEB", "SMS", "PUSH"],
        "secondaryId": "42",
        "options": {"email": {"ccAddresses": ["c@example.com"]}},
    }
    headers = {"User-Agent": "python-httpx/1"}
    response = await backend.call("POST", "sender", json=body, headers=headers)
    tracking_id = response.json()["trackingId"]
    (entry,) = (await backend.done("POST", QUERY, {"trackingIds": [tracking_id]}))["logs"]
    assert entry["request"] == body
    client_id = backend.tenant.client_id
    assert {name: entry[name] for name in ("type", "envId", "clientId", "agent", "trackingId", "user_id")} == {
        "type": "order_tracking",
        "envId": client_id,
        "clientId": client_id,
        "agent": "python-httpx/1",
        "trackingId": tracking_id,
        "user_id": USER["id"],
    }
    assert entry["received_at"].endswith("Z")
    assert entry["inapp_web_routing"] == entry["email_routing"] == "SEND"
    assert entry["inapp_web_delivered_at"] == entry["received_at"]
    assert (entry["sms_routing"], entry["sms_routing_reason"]) == ("OFF", "IGNORE_BY_PREFERENCES")
    assert (entry["push_routing"], entry["push_failed_code"]) == ("IGNORE", "NO_ADDRESS")
    assert entry["call_routing"] == "IGNORE"
    assert not {"call_failed_code", "sms_failed_code", "email_failed_code", "scheduled_for"} & entry.keys()


async def test_an_entry_has_the_time_of_a_send_for_later(backend: Backend) -> None:
    """As the send, and as what it is scheduled for."""
    await backend.tenant.put(definition("note", inapp()))
    tracking_id = (await backend.send(notificationId="note", schedule="2027-06-01T09:00:00+02:00"))["trackingId"]
    (entry,) = (await backend.done("POST", QUERY, {"trackingIds": [tracking_id]}))["logs"]
    assert entry["scheduled_for"] == entry["request"]["schedule"] == "2027-06-01T07:00:00.000Z"
    assert entry["inapp_web_routing"] == "SCHEDULE"


async def test_a_long_result_comes_in_pages(backend: Backend) -> None:
    """A hundred at most, and the token of the page leads to the next one, until there is none."""
    await backend.tenant.put(definition("note", inapp()))
    await asyncio.gather(*(backend.send(notificationId="note", user={"id": f"u{i}"}) for i in range(105)))
    page = await backend.done("POST", QUERY, {"notificationFilter": ["note"]})
    query_id = page["queryId"]
    ids = [entry["trackingId"] for entry in page["logs"]]
    assert len(ids) == 100
    response = await backend.call("GET", f"{QUERY}/{query_id}", params={"pageToken": page["nextPageToken"]})
    rest = response.json()
    assert "nextPageToken" not in rest
    ids += [entry["trackingId"] for entry in rest["logs"]]
    assert len(set(ids)) == 105
    assert ids == sorted(ids, reverse=True)


async def test_what_cannot_be_asked_for_is_refused(backend: Backend) -> None:
    """By name, and with what to use instead."""
    for query, field, words in (
        ({"customFilter": "fields @message"}, "customFilter", "userFilter"),
        ({"requestFilter": ["request.mergeTags.item=1"]}, "requestFilter", "notificationFilter"),
        ({"envIdFilter": [backend.tenant.client_id, "other"]}, "envIdFilter[1]", "credentials"),
        ({"statusFilter": ["SUCCESS", "fine"]}, "statusFilter[1]", "FAILURE"),
        ({"channelFilter": ["FAX"]}, "channelFilter[0]", "EMAIL"),
        ({"dateRangeFilter": {"startTime": "yesterday"}}, "dateRangeFilter.startTime", "number"),
        ({"dateRangeFilter": {"endTime": 1e15}}, "dateRangeFilter.endTime", "9999"),
        ({"userFilter": "anna"}, "userFilter", "list"),
        ({"userFilter": ["u"] * 101}, "userFilter", "100"),
        ({"trackingIds": [f"{i}-{i * 7919}" for i in range(1000)]}, "body", "narrow"),
    ):
        error = await backend.refused(400, "POST", QUERY, query)
        assert field in fields_of(error), error
        assert words in error["message"]


async def test_what_is_no_query_is_not_found(backend: Backend) -> None:
    """A word, a cut id, and what nobody could have got; a wrong page is 400."""
    query_id = (await backend.done("POST", QUERY, {"userFilter": ["anna"]}))["queryId"]
    half = urlsafe_b64encode(zlib.compress(b'{"userFilter": ["\\ud800"]}')).decode()
    for bad in ("x", query_id[:-4], f"{query_id}AAAA", "A" * 5000, "%F0%9F%91%8B", "eJwDAAAAAAE", half):
        assert (await backend.refused(404, "GET", f"{QUERY}/{bad}"))["code"] == "QUERY_NOT_FOUND"
    error = await backend.refused(400, "GET", f"{QUERY}/{query_id}", params={"pageToken": "x"})
    assert error["message"]


async def test_a_query_shows_nothing_of_another_environment(live: Live, backend: Backend, sent: dict[str, str]) -> None:
    """An id of a query is no credential: asked with others it finds theirs."""
    query_id = (await backend.done("POST", QUERY, {"trackingIds": list(sent.values())}))["queryId"]
    other = await live.world.tenant()
    async with open_backend(live.url, other) as theirs:
        assert (await theirs.done("GET", f"{QUERY}/{query_id}"))["logs"] == []
