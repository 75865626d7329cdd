from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import content_pb2, notifications_pb2
from tests.contract.services.refusals import refusal
from tests.contract.services.requests import (
    INAPP_WEB,
    INSTANT,
    OFF,
    SMS,
    USER,
    definition,
    inapp,
    outcomes,
    send_request,
    sms,
    warnings,
)

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTENTS = [
    content_pb2.Content(
        email=content_pb2.EmailContent(
            subject="s", html="<p>h</p>", text="t", preview_text="p", from_name="f", from_address="a@b.de"
        )
    ),
    content_pb2.Content(
        inapp=content_pb2.InappContent(
            title="t",
            body="b",
            html=True,
            url="/u",
            image_url="/i",
            icon_url="/c",
            actions=[content_pb2.InappAction(label="l", url="/a"), content_pb2.InappAction(label="m")],
        )
    ),
    content_pb2.Content(sms=content_pb2.SmsContent(text="t")),
    content_pb2.Content(call=content_pb2.CallContent(text="t")),
    content_pb2.Content(push=content_pb2.PushContent(title="t", body="b", url="app://u", image_url="/i")),
    content_pb2.Content(web_push=content_pb2.WebPushContent(title="t", body="b", url="/u", icon_url="/c")),
]


async def get(tenant: Tenant, notification_id: str) -> notifications_pb2.Notification:
    """Gets a definition."""
    request = notifications_pb2.GetNotificationRequest(notification_id=notification_id)
    notification: notifications_pb2.Notification = (
        await tenant.backend.notifications.GetNotification(request)
    ).notification
    return notification


async def put(tenant: Tenant, one: notifications_pb2.Notification, etag: str = "") -> notifications_pb2.Notification:
    """Puts a definition and gives it as answered."""
    request = notifications_pb2.PutNotificationRequest(notification=one, etag=etag)
    notification: notifications_pb2.Notification = (
        await tenant.backend.notifications.PutNotification(request)
    ).notification
    return notification


async def test_what_was_put_is_got(tenant: Tenant) -> None:
    """A definition with everything in it comes back as it was put, with etag and times."""
    whole = definition(
        "n",
        *(notifications_pb2.Template(id="v2", language="pt-BR", content=content) for content in CONTENTS),
        channels=[
            notifications_pb2.ChannelSettings(
                channel=number,  # type: ignore[arg-type] # an enum's number
                default_delivery_option=OFF,
                offered_delivery_options=[OFF, INSTANT],
                default_template_id="v2",
            )
            for number in range(1, 7)
        ],
        title="Title",
        disabled=True,
        category="c",
        section="s",
        label="l",
        priority=3,
    )

    answered = await put(tenant, whole)

    assert answered.etag
    assert answered.create_time == answered.update_time
    assert await get(tenant, "n") == answered
    whole.etag = answered.etag
    whole.create_time.CopyFrom(answered.create_time)
    whole.update_time.CopyFrom(answered.update_time)
    assert answered == whole


async def test_defaults_are_filled_in(tenant: Tenant) -> None:
    """What a definition leaves out is answered as what holds, channels in the enum's order."""
    answered = await put(tenant, definition("n", inapp(), channels=[SMS, INAPP_WEB]))

    assert list(answered.channels) == [
        notifications_pb2.ChannelSettings(
            channel=channel,
            default_delivery_option=INSTANT,
            offered_delivery_options=[OFF, INSTANT],
            default_template_id="default",
        )
        for channel in (INAPP_WEB, SMS)
    ]
    assert answered.templates[0].id == "default"
    assert answered.priority == 2


async def test_put_replaces_whole_and_keeps_the_creation(tenant: Tenant) -> None:
    """What a second put leaves out is gone; when the definition was created stays, its etag changes."""
    first = await put(tenant, definition("n", inapp(), sms(), label="l"))
    second = await put(tenant, definition("n", inapp("new")))

    assert (len(second.templates), second.label) == (1, "")
    assert second.create_time == first.create_time
    assert second.etag != first.etag


async def test_output_only_fields_are_ignored(tenant: Tenant) -> None:
    """A definition can be put as it was got: its own etag and times are not read."""
    got = await put(tenant, definition("n", inapp()))
    await put(tenant, definition("n", inapp("changed")))
    got.create_time.seconds = 1

    answered = await put(tenant, got)

    assert answered.create_time.seconds != 1
    assert answered.templates[0].content.inapp.title == "Hello"


async def test_an_etag_guards_against_losing_a_change(tenant: Tenant) -> None:
    """A put with an etag that is not the stored one is ABORTED, and so is one of a definition that is not there."""
    first = await put(tenant, definition("n", inapp()))
    second = await put(tenant, definition("n", inapp("second")), etag=first.etag)

    for notification_id, etag in (("n", first.etag), ("nowhere", first.etag)):
        refused = await refusal(put(tenant, definition(notification_id, inapp("lost")), etag=etag))
        assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert await get(tenant, "n") == second


async def test_none_creates_and_never_replaces(tenant: Tenant) -> None:
    """With the etag "none" a definition is created; one that is there stays, and its etag is told."""
    first = await put(tenant, definition("n", inapp()), etag="none")

    refused = await refusal(put(tenant, definition("n", inapp("lost")), etag="none"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert await get(tenant, "n") == first
    await tenant.backend.notifications.DeleteNotification(
        notifications_pb2.DeleteNotificationRequest(notification_id="n")
    )
    assert (await put(tenant, definition("n", inapp()), etag="none")).etag != first.etag


@pytest.mark.parametrize("is_new", [False, True])
async def test_of_concurrent_puts_with_one_etag_one_wins(tenant: Tenant, is_new: bool) -> None:
    """However many put with the same etag at once, "none" included, exactly one succeeds, the others are ABORTED."""
    etag = "none" if is_new else (await put(tenant, definition("n", inapp()))).etag

    async def attempt(i: int) -> grpc.StatusCode:
        try:
            await put(tenant, definition("n", inapp(f"by {i}")), etag=etag)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    results = await asyncio.gather(*map(attempt, range(6)))
    assert sorted(code.name for code in results) == ["ABORTED"] * 5 + ["OK"]


async def test_an_unknown_definition_is_not_found(tenant: Tenant) -> None:
    """Getting what is not defined is NOT_FOUND, also by an id that nothing can have."""
    for notification_id in ("nowhere", "no such thing!"):
        refused = await refusal(get(tenant, notification_id))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "NOTIFICATION_NOT_FOUND")
        assert refused.resource == ("notification", notification_id)


async def test_a_disabled_definition_is_logged_and_skipped(tenant: Tenant) -> None:
    """A send of what is switched off is OK, stored, and skips every channel."""
    await tenant.put(definition("n", inapp(), disabled=True))

    (answer,) = await tenant.send(send_request("n"))

    assert outcomes(answer) == {"INAPP_WEB": "NOTIFICATION_DISABLED"}
    assert warnings(answer) == [("ALL_CHANNELS_SKIPPED", "")]
    assert (await tenant.stored())["messages"] == 1


async def test_a_definition_holds_for_the_next_send(tenant: Tenant) -> None:
    """A send that begins after a put renders with it; items that are there stay as they are."""
    await tenant.put(definition("n", inapp("old")))
    await tenant.send(send_request("n"))
    await tenant.put(definition("n", inapp("new")))
    await tenant.send(send_request("n"))

    assert [item.content.title for item in await tenant.items(USER)] == ["new", "old"]


LANGUAGES: list[tuple[list[str], str, str]] = [
    (["", "en", "de", "de-AT"], "de-AT", "de-AT"),
    (["", "en", "de", "de-AT"], "DE-at", "de-AT"),
    (["", "en", "de"], "de-AT", "de"),
    (["", "en", "pt-BR"], "pt", "en"),
    (["", "en", "de"], "fr", "en"),
    (["", "en", "de"], "", "en"),
    (["", "de"], "fr", ""),
]


@pytest.mark.parametrize(("languages", "language", "expected"), LANGUAGES)
async def test_the_best_language_is_chosen(tenant: Tenant, languages: list[str], language: str, expected: str) -> None:
    """The user's language, then its base, then the environment's (en), then the template without one."""
    await tenant.put(definition("n", *(inapp(f"in {one}", language=one) for one in languages)))

    await tenant.send(send_request("n", user={"language": language}))

    assert [item.content.title for item in await tenant.items(USER)] == [f"in {expected}"]


async def test_the_profile_knows_the_language(tenant: Tenant) -> None:
    """A send that does not name the language takes the profile's; one that does goes before it."""
    await tenant.put(definition("n", *(inapp(f"in {one}", language=one) for one in ("", "de", "fr"))))

    await tenant.send(
        send_request("n", user={"language": "de"}), send_request("n"), send_request("n", user={"language": "fr"})
    )

    assert [item.content.title for item in await tenant.items(USER)] == ["in fr", "in de", "in de"]


async def test_without_a_fitting_language_there_is_no_template(tenant: Tenant) -> None:
    """A channel whose templates are all in other languages is skipped with NO_TEMPLATE."""
    await tenant.put(definition("n", inapp(language="de")))

    (answer,) = await tenant.send(send_request("n", user={"language": "fr"}))

    assert outcomes(answer) == {"INAPP_WEB": "NO_TEMPLATE"}


async def title(tenant: Tenant, **fields: Any) -> tuple[str, list[tuple[str, str]]]:
    """Sends ``n`` and gives the newest item's title, and the warnings."""
    (answer,) = await tenant.send(send_request("n", **fields))
    return (await tenant.items(USER))[0].content.title, warnings(answer)


async def test_a_template_can_be_asked_for(tenant: Tenant) -> None:
    """template_id chooses the template; where a channel lacks it, its default is used and a warning says so."""
    await tenant.put(definition("n", inapp("default"), inapp("special", template_id="special")))

    assert await title(tenant) == ("default", [])
    assert await title(tenant, template_id="special") == ("special", [])
    assert await title(tenant, template_id="unknown") == ("default", [("TEMPLATE_NOT_FOUND", "template_id")])


async def test_a_channel_chooses_its_default_template(tenant: Tenant) -> None:
    """default_template_id stands in where the send names no template."""
    channel = notifications_pb2.ChannelSettings(channel=INAPP_WEB, default_template_id="v2")
    await tenant.put(definition("n", inapp("v1"), inapp("v2", template_id="v2"), channels=[channel]))

    assert await title(tenant) == ("v2", [])
