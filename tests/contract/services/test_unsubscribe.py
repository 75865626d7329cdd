"""Following the link of a mail: what its token opens, and that it opens nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import (
    inbox_pb2,
    notifications_pb2,
    preferences_pb2,
    preferences_pb2_grpc,
    sub_notifications_pb2,
    users_pb2,
)
from services.kernel.auth import bearer_authorization
from services.kernel.links import LinkTokens, ReportLink, UnsubscribeLink
from services.kernel.vocabulary import Channel
from tests.contract.services.refusals import refusal
from tests.contract.services.requests import EMAIL, INAPP_WEB, INSTANT, OFF, USER, definition, inapp, send_request
from tests.contract.services.test_preference_changes import chosen, patch
from tests.contract.services.test_preferences import choices, choose, preference, result, settings
from tests.contract.services.world import MASTER_KEY

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKENS = LinkTokens(MASTER_KEY)
MAIL = {"email": "anna@example.com"}


def token(tenant: Tenant, *, notification_id: str = "order_tracking", part: str = "", user_id: str = USER) -> str:
    """Makes the token of a mail."""
    return TOKENS.write(UnsubscribeLink(tenant.client_id, user_id, notification_id, part, Channel.EMAIL))


async def follow(tenant: Tenant, given: str, **fields: Any) -> preferences_pb2.UnsubscribeResponse:
    """Follows a link, without any credentials."""
    stub: Any = preferences_pb2_grpc.PreferencesStub(tenant.channel)
    request = preferences_pb2.UnsubscribeRequest(unsubscribe_token=given, **fields)
    answer: preferences_pb2.UnsubscribeResponse = await stub.Unsubscribe(request, timeout=15)
    return answer


async def mail(tenant: Tenant, part: str = "", user_id: str = USER) -> str:
    """Sends and gives what becomes of the mail."""
    return await result(tenant, "EMAIL", user={"id": user_id} | MAIL, sub_notification_id=part)


async def test_a_link_ends_the_mails_of_its_notification(tenant: Tenant) -> None:
    """Mails of the notification and of all its parts end; other channels, notifications and users go on."""
    assert await mail(tenant) == await mail(tenant, "part") == "PENDING"

    answer = await follow(tenant, token(tenant))

    assert (answer.title, answer.sub_notification_title) == ("Order tracking", "")
    assert chosen([answer.preference]) == [("order_tracking", "", EMAIL, OFF)]
    assert chosen(await choices(tenant)) == [("order_tracking", "", EMAIL, OFF)]
    assert await mail(tenant) == await mail(tenant, "part") == "PREFERENCE_OFF"
    assert await result(tenant, "INAPP_WEB", user=MAIL) == "DELIVERED"
    assert await mail(tenant, user_id="another") == "PENDING"
    assert await choices(tenant, "another") == []


async def test_a_link_of_a_part_ends_the_mails_of_that_part(tenant: Tenant) -> None:
    """A mail about a part ends the mails about it, whatever else was chosen; those about others go on."""
    await mail(tenant, "part")
    await choose(
        tenant,
        preference(channel=EMAIL, option=INSTANT),
        preference(channel=EMAIL, part="part", option=INSTANT),
        preference(part="part", option=INSTANT),
    )

    answer = await follow(tenant, token(tenant, part="part"))

    assert chosen([answer.preference]) == [("order_tracking", "part", EMAIL, OFF)]
    assert answer.sub_notification_title == "part"
    assert [await mail(tenant, part) for part in ("part", "other", "")] == ["PREFERENCE_OFF", "PENDING", "PENDING"]
    assert await result(tenant, "INAPP_WEB", user=MAIL, sub_notification_id="part") == "DELIVERED"
    assert len(await choices(tenant)) == 3


async def test_a_link_tells_titles_as_they_are_now(tenant: Tenant) -> None:
    """A page can name what it is about: the notification and the part; by their ids where these have no titles."""
    await tenant.put(definition("n", channels=(EMAIL,), title="News & more"))
    await tenant.send(send_request("n", user=MAIL, sub_notification_id="p"))
    named = await follow(tenant, token(tenant, notification_id="n", part="p"))
    assert (named.title, named.sub_notification_title) == ("News & more", "p")

    await tenant.backend.sub_notifications.PutSubNotification(
        sub_notifications_pb2.PutSubNotificationRequest(notification_id="n", sub_notification_id="p", title="Sport")
    )
    await tenant.put(definition("n", channels=(EMAIL,)))
    named = await follow(tenant, token(tenant, notification_id="n", part="p"))
    assert (named.title, named.sub_notification_title) == ("n", "Sport")


async def test_a_look_changes_nothing(tenant: Tenant) -> None:
    """Only to validate answers what holds now, and writes nothing; nor does it for who is unsubscribed."""
    await mail(tenant)

    looked = await follow(tenant, token(tenant), validate_only=True)
    assert looked.preference.delivery_option == INSTANT
    assert (await tenant.stored())["preferences"] == 0

    await follow(tenant, token(tenant))
    looked = await follow(tenant, token(tenant), validate_only=True, resubscribe=True)
    assert looked.preference.delivery_option == OFF
    assert await mail(tenant) == "PREFERENCE_OFF"


async def test_a_link_is_undone_by_itself(tenant: Tenant) -> None:
    """To resubscribe forgets what the token chose and nothing else; to do either twice changes nothing."""
    await mail(tenant)
    await choose(tenant, preference(channel=INAPP_WEB), preference("new_order"))
    before = await choices(tenant)

    for _ in range(2):
        await follow(tenant, token(tenant))
        assert len(await choices(tenant)) == 3
    for _ in range(2):
        undone = await follow(tenant, token(tenant), resubscribe=True)
        assert undone.preference.delivery_option == INSTANT
        assert await choices(tenant) == before
    assert await mail(tenant) == "PENDING"


async def test_what_somebody_chose_since_is_not_undone(tenant: Tenant) -> None:
    """An old link forgets no choice but its own: one that is not OFF any more stays, and so does one for all."""
    await tenant.put(definition("n", channels=(settings(EMAIL, default=OFF),)))
    await mail(tenant)
    given = token(tenant, notification_id="n")
    await follow(tenant, given)
    await patch(tenant, preference("n", channel=EMAIL, option=INSTANT))

    undone = await follow(tenant, given, resubscribe=True)
    assert undone.preference.delivery_option == INSTANT
    assert chosen(await choices(tenant)) == [("n", "", EMAIL, INSTANT)]

    await choose(tenant, preference("n"), preference("n", channel=EMAIL))
    undone = await follow(tenant, given, resubscribe=True)
    assert undone.preference.delivery_option == OFF
    assert chosen(await choices(tenant)) == [("n", "", 0, OFF)]


async def test_a_wrong_token_opens_nothing(tenant: Tenant) -> None:
    """A token that was changed, cut, made under another key or for something else is refused, all in one way."""
    await mail(tenant)
    right = token(tenant)
    wrong = [
        "",
        "x",
        right[:-1],
        right + "A",
        right[1:],
        ("A" if right[0] != "A" else "B") + right[1:],
        right.swapcase(),
        "A" * 5000,
        LinkTokens(bytes(31) + b"x").write(
            UnsubscribeLink(tenant.client_id, USER, "order_tracking", "", Channel.EMAIL)
        ),
        TOKENS.write(ReportLink(tenant.client_id, USER, "01a2", Channel.EMAIL)),
    ]

    refused = {await refusal(follow(tenant, one, **fields)) for one in wrong for fields in ({}, {"resubscribe": True})}

    (only,) = refused
    assert (only.code, only.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNSUBSCRIBE_TOKEN_INVALID")
    assert await choices(tenant) == []


async def test_a_token_opens_nothing_else(tenant: Tenant) -> None:
    """As a credential of any other call it is none."""
    await mail(tenant)
    for metadata in (bearer_authorization(token(tenant)), ("api-token", token(tenant))):
        stub: Any = preferences_pb2_grpc.PreferencesStub(tenant.channel)
        request = preferences_pb2.GetPreferencesRequest()
        refused = await refusal(stub.GetPreferences(request, metadata=[metadata], timeout=15))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_MALFORMED")


async def test_a_token_touches_its_own_user_alone(tenant: Tenant, world: World) -> None:
    """One user's link changes nothing of another, in this environment and in one where somebody has the same id."""
    stranger = await world.tenant()
    await stranger.put_samples()
    for each in (tenant, stranger):
        await mail(each)
    await mail(tenant, user_id="another")

    await follow(stranger, token(tenant, user_id="another"))

    assert await choices(tenant) == await choices(stranger) == await choices(stranger, "another") == []
    assert len(await choices(tenant, "another")) == 1


async def test_what_offers_no_off_is_refused(tenant: Tenant) -> None:
    """A definition whose mails nobody can turn off says so, to a look too; what it was before can be undone."""
    await tenant.put(definition("n", channels=(settings(EMAIL, offered=[OFF, INSTANT]),), title="Bills"))
    await tenant.send(send_request("n", user=MAIL))
    given = token(tenant, notification_id="n")
    await follow(tenant, given)
    await tenant.put(definition("n", channels=(settings(EMAIL, offered=[INSTANT]),), title="Bills"))

    for fields in ({}, {"validate_only": True}):
        refused = await refusal(follow(tenant, given, **fields))
        assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "OFF_NOT_OFFERED")
    assert len(await choices(tenant)) == 1

    await follow(tenant, given, resubscribe=True)
    assert await choices(tenant) == []


async def test_a_link_holds_though_the_definition_is_gone(tenant: Tenant) -> None:
    """The choice is kept, so that no mail comes when the definition does; the page has its id for a title."""
    await tenant.put(definition("n", channels=(EMAIL,), title="News"))
    await tenant.send(send_request("n", user=MAIL))
    await tenant.backend.notifications.DeleteNotification(
        notifications_pb2.DeleteNotificationRequest(notification_id="n")
    )

    answer = await follow(tenant, token(tenant, notification_id="n", part="p"))

    assert (answer.title, answer.sub_notification_title) == ("n", "p")
    assert chosen(await choices(tenant)) == [("n", "p", EMAIL, OFF)]


async def test_a_link_ends_mails_of_a_channel_that_is_only_forced(tenant: Tenant) -> None:
    """Where the definition has no mails, one that was forced is turned off as any other."""
    await tenant.put(definition("n", inapp(), channels=(INAPP_WEB,)))
    await tenant.send(send_request("n", user=MAIL))
    given = token(tenant, notification_id="n")
    assert (await follow(tenant, given, validate_only=True)).preference.delivery_option == INSTANT

    await follow(tenant, given)

    assert await result(tenant, "EMAIL", notification_id="n", user=MAIL, force_channels=[EMAIL]) == "PREFERENCE_OFF"


async def test_a_link_of_a_deleted_user_does_nothing(tenant: Tenant) -> None:
    """It is answered as done, and nothing of the user comes back."""
    await mail(tenant)
    await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=USER))

    for fields in ({"validate_only": True}, {}, {"resubscribe": True}):
        answer = await follow(tenant, token(tenant), **fields)
        assert answer.preference.delivery_option == OFF

    stored = await tenant.stored()
    assert (stored["users"], stored["preferences"]) == (0, 0)


async def test_who_has_1000_choices_is_heard(tenant: Tenant) -> None:
    """A link makes one more than a user may have, which keeps them from nothing but adding others."""
    await mail(tenant)
    await choose(tenant, *(preference("new_order", part=f"part-{i}") for i in range(1000)))

    await follow(tenant, token(tenant))

    assert await mail(tenant) == "PREFERENCE_OFF"
    assert len(await patch(tenant, preference("new_order", part="part-0", option=INSTANT))) == 1001
    assert (await refusal(patch(tenant, preference("new_order")))).violations == (("preferences", "TOO_MANY"),)


async def test_links_at_the_same_moment_are_all_kept(tenant: Tenant) -> None:
    """Links of many mails lose nothing of each other, nor of what is chosen meanwhile."""
    await mail(tenant)

    await asyncio.gather(
        *(follow(tenant, token(tenant, part=f"part-{i}")) for i in range(10)),
        *(patch(tenant, preference("new_order", part=f"part-{i}")) for i in range(10)),
    )

    assert len(await choices(tenant)) == 20


async def test_a_link_is_told_to_open_streams(tenant: Tenant) -> None:
    """Following a link is told as a change of preferences, and one that changes nothing is not."""
    await mail(tenant)
    watch = tenant.user(USER).inbox.WatchInbox(inbox_pb2.WatchInboxRequest(), timeout=60)
    assert (await watch.read()).HasField("welcome")

    await follow(tenant, token(tenant), validate_only=True)
    await follow(tenant, token(tenant))
    assert (await watch.read()).HasField("preferences_changed")
    await follow(tenant, token(tenant))
    await tenant.send(send_request())
    assert (await watch.read()).HasField("created")
    watch.cancel()
