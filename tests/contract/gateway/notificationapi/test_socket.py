"""The socket of NotificationAPI's clients: who is let in, what is answered, and what other sessions see of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from google.protobuf.field_mask_pb2 import FieldMask
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from carillon.v1 import environments_pb2, preferences_pb2, sender_pb2, users_pb2
from gateway.closes import CloseCode
from tests.contract.gateway.notificationapi.sockets import (
    ANSWER_S,
    USER_ID,
    error_of,
    open_page,
    query,
    refused,
    run_gateway_of,
)
from tests.contract.services.requests import INAPP_WEB, OFF, definition, inapp, send_request

if TYPE_CHECKING:
    from tests.contract.live.world import Live
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("hash_of_user", ["d3Jvbmc=", "", "undefined", "a:b"])
async def test_wrong_credentials_are_refused_at_the_handshake(live: Live, tenant: Tenant, hash_of_user: str) -> None:
    """A socket that opened and closed again would leave a promise of js-client waiting for ever."""
    refusal = await refused(live.ws_port, query(tenant, hash_of_user=hash_of_user))

    assert refusal.response.status_code == 401
    assert "credentials" in error_of(refusal)["message"] or "hash" in error_of(refusal)["message"]


async def test_an_unknown_client_is_refused_as_a_wrong_hash_is(live: Live, tenant: Tenant) -> None:
    """Nobody learns which clients exist."""
    unknown = await refused(live.ws_port, query(tenant) | {"envId": "nobody"})
    wrong = await refused(live.ws_port, query(tenant, hash_of_user="d3Jvbmc="))

    assert (unknown.response.status_code, error_of(unknown)) == (401, error_of(wrong))


async def test_without_secure_mode_nobody_needs_a_hash(live: Live, tenant: Tenant) -> None:
    """Neither none, nor an empty one, nor what JavaScript writes for none keeps anybody out."""
    asked = environments_pb2.UpdateEnvironmentRequest(update_mask=FieldMask(paths=["secure_mode"]))
    await tenant.backend.environments.UpdateEnvironment(asked)
    for hash_of_user in ("", "undefined", "null", None):
        async with open_page(live.ws_port, query(tenant, hash_of_user=hash_of_user)) as page:
            assert await page.count() == 0
    async with open_page(live.ws_port, query(tenant, hash_of_user="") | {"userIdHash": ""}) as page:
        assert await page.items(count=50) == []


async def test_who_cannot_be_a_user_is_told_why(live: Live, tenant: Tenant) -> None:
    """The same checks as of every user's id, with the field as it stands in the address."""
    for fields in (query(tenant, "a\x00b"), query(tenant, "a" * 257), query(tenant) | {"userId": ""}):
        refusal = await refused(live.ws_port, fields)
        assert refusal.response.status_code == 400
        assert "userId" in error_of(refusal)["message"]


async def test_an_address_that_names_nobody_is_nowhere(live: Live) -> None:
    """Also where only one of the two is named."""
    for fields in ({}, {"envId": "dev"}, {"userId": "anna"}):
        assert (await refused(live.ws_port, fields)).response.status_code == 404


async def test_the_path_of_our_own_protocol_is_ours(live: Live, tenant: Tenant) -> None:
    """Whatever its query says."""
    with pytest.raises(InvalidStatus) as caught:
        async with open_page(live.ws_port, query(tenant), "/v1/inbox"):
            pass

    assert caught.value.response.status_code == 400
    assert b"carillon.v1" in caught.value.response.body


async def test_a_user_has_so_many_sockets(live: Live, tenant: Tenant) -> None:
    """One more is refused at the handshake; one that is closed makes room."""
    async with (
        run_gateway_of(live.world, live.mongodb_uri, max_sessions_per_user=1) as gateway,
        open_page(gateway.ws_port, query(tenant)) as page,
        open_page(gateway.ws_port, query(tenant, "somebody else")) as other,
    ):
        assert await page.count() == 0
        refusal = await refused(gateway.ws_port, query(tenant))
        assert refusal.response.status_code == 429
        assert refusal.response.headers["Retry-After"] == "5"
        assert error_of(refusal)["code"] == "TOO_MANY_SESSIONS"
        assert await page.count() == 0
        await page.socket.close()
        async with asyncio.timeout(ANSWER_S):
            while not await is_let_in(gateway.ws_port, query(tenant)):
                assert await other.count() == 0


async def test_pages_of_other_origins_are_refused(live: Live, tenant: Tenant) -> None:
    """The list of origins holds for these sockets too."""
    async with run_gateway_of(live.world, live.mongodb_uri, allowed_origins="https://app.example.com") as gateway:
        refusal = await refused(gateway.ws_port, query(tenant), origin=Origin("https://evil.com"))
        assert refusal.response.status_code == 403
        async with open_page(gateway.ws_port, query(tenant), origin=Origin("https://app.example.com")) as page:
            assert await page.count() == 0


async def test_a_user_id_of_any_letters_is_taken(live: Live, tenant: Tenant) -> None:
    """It is the one of the credentials, whose hash is checked, and the one whose events come."""
    for user_id in ("a:b", "anna@example.com", "zoë/ü+1 2", "%41"):
        async with open_page(live.ws_port, query(tenant, user_id)) as page:
            (sent,) = await tenant.send(send_request(user={"id": user_id}))
            assert await page.pushed() == [sent.tracking_id]


async def test_the_environment_is_told(live: Live, tenant: Tenant) -> None:
    """Its logo, and its key for web push, by which a page knows whether to ask its user for that."""
    environment = environments_pb2.Environment(logo_url="https://example.com/l.png")
    await tenant.backend.environments.UpdateEnvironment(
        environments_pb2.UpdateEnvironmentRequest(environment=environment)
    )
    async with open_page(live.ws_port, query(tenant)) as page:
        told = await page.ask("environment/data")

    assert told == {
        "logo": "https://example.com/l.png",
        "applicationServerKey": told["applicationServerKey"],
        "askForWebPushPermission": bool(told["applicationServerKey"]),
    }


async def test_an_item_is_the_same_pushed_and_listed(live: Live, tenant: Tenant) -> None:
    """Its id is the tracking id, and the badge follows who asks."""
    async with open_page(live.ws_port, query(tenant)) as page:
        assert await page.count() == 0
        (sent,) = await tenant.send(send_request())
        route, payload = await page.take()
        assert await page.take() == ("inapp_web/unread_count", {"count": 1})
        listed = await page.items(count=50)

    assert (route, payload) == ("inapp_web/new_notifications", {"notifications": listed})
    assert (listed[0]["id"], listed[0]["seen"]) == (sent.tracking_id, False)


async def test_one_item_or_all_are_read(live: Live, tenant: Tenant) -> None:
    """They are seen and opened; the other tabs get the badge, and a session of ours the marks."""
    sent = [one.tracking_id for one in await tenant.send(*[send_request() for _ in range(3)])]
    async with (
        open_page(live.ws_port, query(tenant)) as page,
        open_page(live.ws_port, query(tenant)) as tab,
        live.browser(tenant) as ours,
    ):
        assert await tab.count() == 3
        await page.send("inapp_web/unread_clear", {"notificationId": sent[0]})
        await page.counted(2)
        await tab.counted(2)
        await page.send("inapp_web/unread_clear")
        await page.counted(0)
        await tab.counted(0)
        while ours.unread_count:
            await ours.take()
        assert all(ours.items[one].get("seen_time") and ours.items[one].get("opened_time") for one in sent)
        assert [(item["seen"], "opened" in item) for item in await tab.items(count=50)] == [(True, True)] * 3


async def test_a_mark_that_changes_nothing_is_answered_with_the_badge(live: Live, tenant: Tenant) -> None:
    """Js-client counts down by itself, for an item that is read already and for one that it holds no more, too."""
    async with open_page(live.ws_port, query(tenant)) as page:
        (sent,) = await tenant.send(send_request())
        assert await page.pushed() == [sent.tracking_id]
        for item_id in ("nothing", sent.tracking_id, sent.tracking_id):
            await page.send("inapp_web/unread_clear", {"notificationId": item_id})
            assert await page.take() == ("inapp_web/unread_count", {"count": int(item_id == "nothing")})


async def test_a_mark_that_changes_no_badge_is_answered_with_it(live: Live, tenant: Tenant) -> None:
    """Js-client shows an item as unread that was seen elsewhere meanwhile, and counts down for it once more."""
    sent = [one.tracking_id for one in await tenant.send(*[send_request() for _ in range(2)])]
    async with open_page(live.ws_port, query(tenant)) as page, live.browser(tenant) as ours:
        assert await page.count() == 2
        await ours.send("mark", ids=sent[:1], set=["SEEN"])
        await page.counted(1)
        await page.send("inapp_web/unread_clear", {"notificationId": sent[0]})
        assert await page.take() == ("inapp_web/unread_count", {"count": 1})


async def test_what_others_do_corrects_the_badge(live: Live, tenant: Tenant) -> None:
    """Marks, a retraction, the archive: all that their protocol can say of it is the count."""
    sent = [one.tracking_id for one in await tenant.send(*[send_request() for _ in range(4)])]
    async with open_page(live.ws_port, query(tenant)) as page, live.browser(tenant) as ours:
        assert await page.count() == 4
        await ours.send("mark", ids=sent[:1], set=["SEEN"])
        await page.counted(3)
        await ours.send("mark", ids=sent[1:2], set=["ARCHIVED"])
        await page.counted(2)
        assert {item["id"] for item in await page.items(count=50)} == {sent[0], *sent[2:]}
        await ours.send("mark", ids=sent[:1], clear=["SEEN"])
        await page.counted(3)
        await tenant.backend.sender.Retract(
            sender_pb2.RetractRequest(user_id=USER_ID, notification_id="order_tracking")
        )
        await page.counted(0)


async def test_what_is_archived_is_not_pushed(live: Live, tenant: Tenant) -> None:
    """However it changes there: a second reply makes sessions of ours take the whole item anew."""
    (sent,) = await tenant.send(send_request())
    async with open_page(live.ws_port, query(tenant)) as page, live.browser(tenant) as ours:
        await ours.send("mark", ids=[sent.tracking_id], set=["ARCHIVED"])
        while "archive_time" not in ours.items[sent.tracking_id]:
            await ours.take()
        assert await page.items(count=50) == []
        for text in ("yes", "no"):
            await ours.send("mark", ids=[sent.tracking_id], reply=text)
        while len(ours.items[sent.tracking_id].get("replies", ())) < 2:
            await ours.take()
        (told,) = await tenant.send(send_request())
        assert await page.pushed() == [told.tracking_id]


async def test_what_comes_back_from_the_archive_is_pushed(live: Live, tenant: Tenant) -> None:
    """To a page that shows its place and so may not hold it; the badge, which it has counted up, stays right."""
    sent = [one.tracking_id for one in await tenant.send(*[send_request() for _ in range(2)])]
    async with open_page(live.ws_port, query(tenant)) as page, live.browser(tenant) as ours:
        await ours.send("mark", ids=sent[:1], set=["ARCHIVED"])
        while "archive_time" not in ours.items[sent[0]]:
            await ours.take()
        assert [item["id"] for item in await page.items(count=50)] == sent[1:]
        await ours.send("mark", ids=sent[:1], clear=["ARCHIVED"])
        assert await page.pushed() == sent[:1]
        assert await page.take() == ("inapp_web/unread_count", {"count": 1})


async def test_preferences_are_read_and_changed(live: Live, tenant: Tenant) -> None:
    """What a switch says holds for the next send; on is what the definition has for yes."""
    await tenant.put(definition("both", inapp(), channels=(INAPP_WEB,)))
    user = {"id": USER_ID}
    await tenant.send(send_request("both", user=user))
    async with open_page(live.ws_port, query(tenant)) as page:
        assert await states(page) == {("both", "INAPP_WEB"): True}
        for state in (False, True, False):
            choice = {"notificationId": "both", "channelPreferences": [{"channel": "INAPP_WEB", "state": state}]}
            await page.send("user_preferences/patch_preferences", [choice])
        assert await states(page) == {("both", "INAPP_WEB"): False}

    asked = preferences_pb2.GetPreferencesRequest(user_id=USER_ID)
    (stored,) = (await tenant.backend.preferences.GetPreferences(asked)).preferences
    assert (stored.notification_id, stored.channel, stored.delivery_option) == ("both", INAPP_WEB, OFF)


async def test_a_choice_that_is_refused_is_answered_with_what_holds(live: Live, tenant: Tenant) -> None:
    """There is no frame for an error, but a switch that was moved in vain moves back."""
    await tenant.put(definition("one", inapp()))
    await tenant.send(send_request("one"))
    async with open_page(live.ws_port, query(tenant)) as page:
        choice = {"notificationId": "one", "channelPreferences": [{"channel": "EMAIL", "state": True}]}
        await page.send("user_preferences/patch_preferences", [choice | {"notificationId": "nothing"}])
        route, payload = await page.take()

    assert route == "user_preferences/preferences"
    assert [one["notificationId"] for one in payload["userPreferences"]] == ["one"]


async def test_a_stop_closes_the_socket(live: Live, tenant: Tenant) -> None:
    """As it does ours: nobody is left to resume it."""
    async with run_gateway_of(live.world, live.mongodb_uri) as gateway:
        port = gateway.ws_port
        connected = open_page(port, query(tenant))
        page = await connected.__aenter__()
        assert await page.count() == 0
    assert await page.closed() == CloseCode.GOING_AWAY.code
    await connected.__aexit__(None, None, None)


async def test_a_user_who_is_deleted_is_closed(live: Live, tenant: Tenant) -> None:
    """There is nothing to show any more."""
    async with open_page(live.ws_port, query(tenant)) as page:
        assert await page.count() == 0
        await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=USER_ID))
        assert await page.closed() == CloseCode.USER_DELETED.code


async def test_a_session_says_in_the_log_what_it_speaks(live: Live, tenant: Tenant) -> None:
    """Its two lines are those of ours."""
    with structlog.testing.capture_logs() as lines:
        async with (
            run_gateway_of(live.world, live.mongodb_uri) as gateway,
            open_page(gateway.ws_port, query(tenant)) as page,
        ):
            assert await page.count() == 0

    mine = [line for line in lines if line["event"].startswith("session_") and line["client_id"] == tenant.client_id]
    assert [(line["event"], line["protocol"], line["user_id"]) for line in mine] == [
        ("session_opened", "notificationapi", USER_ID),
        ("session_closed", "notificationapi", USER_ID),
    ]


async def is_let_in(port: int, fields: dict[str, str]) -> bool:
    """Tells whether a socket opens."""
    try:
        async with open_page(port, fields):
            return True
    except InvalidStatus:
        return False


async def states(page: Any) -> dict[tuple[str, str], bool]:
    """Gives what the switches of a page say, by notification and channel."""
    return {
        (one["notificationId"], setting["channel"]): setting["state"]
        for one in await page.preferences()
        for setting in one["settings"]
    }
