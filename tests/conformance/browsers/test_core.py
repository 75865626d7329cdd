"""core 1.2.8, as it is published, in Node and through TLS, as its schemes are fixed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from carillon.v1 import inbox_pb2, users_pb2
from tests.conformance.browsers.inbox import items, send
from tests.conformance.browsers.sdks import SdkError, comes_to

if TYPE_CHECKING:
    from tests.conformance.browsers.core import Core
    from tests.contract.services.world import Caller

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


async def test_a_long_inbox(core: Core, backend: Caller, user_id: str) -> None:
    """Of 250 items all are held, each once and the newest first; 100 at a time they are the same."""
    sent = await asyncio.gather(*(send(backend, user_id, f"Note {number}") for number in range(250)))
    await core.become(user_id)

    whole = await core.inbox(maxCountNeeded=300)
    ids = [item["id"] for item in whole["items"]]
    assert sorted(ids) == sorted(sent)
    assert whole["hasMore"] is False
    dates = [item["date"] for item in whole["items"]]
    assert dates == sorted(dates, reverse=True)

    page = await core.inbox(maxCountNeeded=100)
    held = [item["id"] for item in page["items"]]
    assert (len(held), page["hasMore"]) == (100, True)
    while page["hasMore"]:
        page = await core.inbox(maxCountNeeded=100, before=page["oldestReceived"])
        held += [item["id"] for item in page["items"] if item["id"] not in held]
    assert held == ids


async def test_a_send_arrives_live(core: Core, backend: Caller, user_id: str) -> None:
    """What is sent comes by the socket, as it comes by REST."""
    await core.become(user_id)
    await core.listen()
    sent = await send(backend, user_id, "Live", sub_notification_id="family")

    await comes_to([sent], core.heard)
    (live,) = await core.node.evaluate("() => heard")
    assert live == (await core.items())[0]
    assert live["title"] == "Live"
    assert (live["notificationId"], live["subNotificationId"], live["seen"]) == ("note", "family", False)


@pytest.mark.parametrize(
    ("state", "field"), [("opened", "opened_time"), ("clicked", "clicked_time"), ("archived", "archive_time")]
)
async def test_a_state_and_back(core: Core, backend: Caller, user_id: str, state: str, field: str) -> None:
    """An item is marked, which makes it read, and unmarked: in the inbox that others see, and in what core gets."""
    other, sent = await send(backend, user_id, "Other"), await send(backend, user_id, "Marked")
    await core.become(user_id)

    await core.call("updateInAppNotifications", {"ids": [sent], state: True})
    marked, untouched = await items(backend, user_id, inbox_pb2.INBOX_VIEW_ALL)
    assert (marked.id, marked.HasField(field), marked.unread) == (sent, True, False)  # type: ignore[arg-type] # a field
    assert (untouched.id, untouched.HasField(field), untouched.unread) == (other, False, True)  # type: ignore[arg-type] # a field
    got, got_other = await core.items()
    assert (got["id"], got["seen"], got[state][-1]) == (sent, True, "Z")
    assert (got_other["seen"], got_other.get(state)) == (False, None)

    await core.call("updateInAppNotifications", {"ids": [sent], state: False})
    (unmarked, _) = await items(backend, user_id)
    assert (unmarked.id, unmarked.HasField(field)) == (sent, False)  # type: ignore[arg-type] # a field
    assert (await core.items())[0].get(state) is None


async def test_unopened_is_unread(core: Core, backend: Caller, user_id: str) -> None:
    """An item that is opened no more is unread again."""
    sent = await send(backend, user_id, "Later")
    await core.become(user_id)
    for is_opened in (True, False):
        await core.call("updateInAppNotifications", {"ids": [sent], "opened": is_opened})

    (item,) = await items(backend, user_id)
    assert item.unread
    assert not (await core.items())[0]["seen"]


@pytest.mark.parametrize("part", ["", "family"])
async def test_preferences(core: Core, backend: Caller, user_id: str, part: str) -> None:
    """What the user has received has its record, of each channel; "off" keeps the next item away."""
    await send(backend, user_id, "First", sub_notification_id=part)
    await core.become(user_id)
    named = {"notificationId": "note", **({"subNotificationId": part} if part else {})}
    inapp = {**named, "channel": "INAPP_WEB"}

    told = await core.call("getPreferences")
    (shown,) = told["notifications"]
    assert (shown["notificationId"], shown["title"]) == ("note", "Notes")
    assert sorted(shown["channels"]) == sorted(shown["options"]) == ["EMAIL", "INAPP_WEB"]
    assert {"notificationId": "note", "subNotificationId": "family", "title": "Notes of the family"} in told[
        "subNotifications"
    ]
    assert {**inapp, "delivery": "instant"} in told["preferences"]

    await core.call("updateDeliveryOption", {**inapp, "delivery": "off"})
    changed = (await core.call("getPreferences"))["preferences"]
    assert {**inapp, "delivery": "off"} in changed
    assert len(changed) == len(told["preferences"])
    await send(backend, user_id, "Kept away", sub_notification_id=part)
    await send(backend, user_id, "Still there", "news")
    assert [item["title"] for item in await core.items()] == ["Still there", "First"]


@pytest.mark.parametrize("name", ["plain", "Größe 1/2: Plankton & Söhne"])
async def test_who_the_user_is(core: Core, backend: Caller, user_id: str, name: str) -> None:
    """A profile is written and read, and the inbox is there, whatever letters the user's id has."""
    user_id = f"{name} {user_id}"
    await core.become(user_id)
    assert (await core.call("user.get"))["id"] == user_id

    await core.call("identify", {"id": user_id, "email": "spongebob@squarepants.com"})
    stored = await backend.users.GetUser(users_pb2.GetUserRequest(user_id=user_id))
    assert stored.user.email == "spongebob@squarepants.com"
    told = await core.call("user.get")
    assert (told["id"], told["email"]) == (user_id, "spongebob@squarepants.com")

    await core.listen()
    sent = await send(backend, user_id, "Live")
    await comes_to([sent], core.heard)
    assert [item["id"] for item in await core.items()] == [sent]


async def test_account_metadata(core: Core, user_id: str) -> None:
    """The account is described, without web push too."""
    await core.become(user_id)
    told = await core.call("getUserAccountMetadata")
    assert told == {"userAccountMetadata": {"logo": "", "environmentVapidPublicKey": "", "hasWebPushEnabled": False}}


@pytest.mark.parametrize("proof", ["d3Jvbmc=", ""])
async def test_a_wrong_hash(core: Core, backend: Caller, user_id: str, proof: str) -> None:
    """Without the right proof there is no data, no socket, and nothing is stored."""
    sent = await send(backend, user_id, "Secret")
    await core.become(user_id, proof)

    with pytest.raises(SdkError, match="TypeError"):
        await core.inbox()
    for told in (await core.call("getPreferences"), await core.call("user.get")):
        assert list(told) == ["error"]
    with pytest.raises(SdkError, match="401"):
        await core.listen()
    await core.call("updateInAppNotifications", {"ids": [sent], "opened": True})
    await core.call("identify", {"email": "plankton@chumbucket.com"})
    (item,) = await items(backend, user_id)
    assert item.unread
    assert (await backend.users.GetUser(users_pb2.GetUserRequest(user_id=user_id))).user.email == ""
