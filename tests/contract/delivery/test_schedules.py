"""Messages that wait for their time: what is answered, what they cost, changing them and cancelling them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from carillon.v1 import delivery_pb2, environments_pb2, inbox_pb2, messages_pb2, sender_pb2, user_pb2, users_pb2
from services.kernel.clock import utc_now
from tests.contract.delivery.world import Post, delivery_of, everything, logged, run_workers, state_of, until_final
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import EMAIL, INAPP_WEB, SMS, USER, outcomes, send_request, warnings

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR = timedelta(hours=1)
BOB = {"id": USER, "email": "bob@example.com"}
WAITS = {
    "EMAIL": "SCHEDULED",
    "INAPP_WEB": "SCHEDULED",
    "SMS": "NO_ADDRESS",
    "CALL": "DEFAULT_OFF",
    "PUSH": "NO_ADDRESS",
    "WEB_PUSH": "NO_ADDRESS",
}


def in_an_hour() -> datetime:
    """Gives the time in an hour, which is nobody else's."""
    return utc_now() + HOUR


async def schedule(tenant: Tenant, at: datetime | None = None, **fields: Any) -> sender_pb2.SendResponse:
    """Sends something for later: in an hour, where nothing else is said."""
    given: dict[str, Any] = {"user": BOB, "schedule_time": at or in_an_hour()}
    (answer,) = await tenant.send(send_request(**given | fields))
    return answer


async def update(tenant: Tenant, tracking_id: str, *paths: str, **fields: Any) -> sender_pb2.UpdateScheduleResponse:
    """Changes a message that waits."""
    answer: sender_pb2.UpdateScheduleResponse = await tenant.backend.sender.UpdateSchedule(
        sender_pb2.UpdateScheduleRequest(
            tracking_id=tracking_id,
            request=sender_pb2.SendRequest(**fields),
            update_mask=FieldMask(paths=paths) if paths else None,
        )
    )
    return answer


async def cancel(tenant: Tenant, tracking_id: str) -> None:
    """Cancels a message that waits."""
    await tenant.backend.sender.CancelSchedule(sender_pb2.CancelScheduleRequest(tracking_id=tracking_id))


async def retract(tenant: Tenant, **fields: Any) -> tuple[int, int]:
    """Retracts and gives how many items and deliveries that took."""
    answer = await tenant.backend.sender.Retract(sender_pb2.RetractRequest(**{"user_id": USER} | fields))
    return answer.retracted_count, answer.cancelled_count


async def states(tenant: Tenant, tracking_id: str) -> dict[str, str]:
    """Gives what became of those channels of a message that had an address, as the log has it."""
    message = await logged(tenant, tracking_id)
    return {name: state for name, state in outcomes(message).items() if name in ("EMAIL", "INAPP_WEB")}  # type: ignore[arg-type] # has deliveries too


async def totals(tenant: Tenant) -> tuple[int, int, int]:
    """Gives what the user's inbox has, counts as unread and counts in all."""
    request = inbox_pb2.ListInboxRequest(user_id=USER, view=inbox_pb2.INBOX_VIEW_ALL)
    answer = await tenant.backend.inbox.ListInbox(request)
    return len(answer.items), answer.unread_count, answer.total_count


async def fire_all(tenant: Tenant, mongodb_uri: str, at: datetime, *, after: str) -> Post:
    """Lets a worker do all that is due at a time, and the mail of a message besides; gives what was carried."""
    post = Post()
    async with run_workers(mongodb_uri, everything(post), now=lambda: at):
        await until_final(tenant, after, EMAIL)
    return post


async def test_what_waits_is_answered_and_shows_nothing(tenant: Tenant) -> None:
    """A send for later answers what would be planned now, with its time; no list and no count has it, the log does."""
    at = in_an_hour()
    answer = await schedule(tenant, at, merge_tags={"item": "x"})

    assert outcomes(answer) == WAITS
    assert answer.item_id == answer.tracking_id
    assert ("MERGE_TAG_MISSING", "merge_tags.orderId") in warnings(answer)
    assert delivery_of(answer, EMAIL).next_time.ToDatetime(UTC) == at
    assert await totals(tenant) == (0, 0, 0)
    message = await logged(tenant, answer.tracking_id)
    assert message.schedule_time.ToDatetime(UTC) == at
    assert message.expire_time.ToDatetime(UTC) == at + timedelta(days=90)
    assert delivery_of(message, EMAIL).next_time.ToDatetime(UTC) == at
    assert not delivery_of(message, EMAIL).HasField("content")
    waits = messages_pb2.MessageFilter(states=[delivery_pb2.DELIVERY_STATE_SCHEDULED])
    page = await tenant.backend.messages.ListMessages(messages_pb2.ListMessagesRequest(filter=waits))
    assert [one.tracking_id for one in page.messages] == [answer.tracking_id]


async def test_a_time_that_has_come_is_now(tenant: Tenant) -> None:
    """A time in the past is none: the item is there with the answer."""
    answer = await schedule(tenant, utc_now() - HOUR)
    civil = await schedule(tenant, schedule_time=None, schedule_local_time="2026-01-01T09:00")

    assert [outcomes(one)["INAPP_WEB"] for one in (answer, civil)] == ["DELIVERED", "DELIVERED"]
    assert not (await logged(tenant, answer.tracking_id)).HasField("schedule_time")
    assert await totals(tenant) == (2, 2, 2)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"schedule_time": timedelta(days=367)}, "schedule_time"),
        ({"schedule_local_time": "9998-12-31T23:59"}, "schedule_local_time"),
        ({"expire_time": -HOUR}, "expire_time"),
        ({"expire_time": HOUR, "schedule_time": HOUR}, "expire_time"),
        ({"expire_time": timedelta(days=11 * 366)}, "expire_time"),
    ],
)
async def test_times_have_limits(tenant: Tenant, fields: dict[str, Any], path: str) -> None:
    """A schedule is a year ahead at most, and an end is later than that, and 10 years ahead at most."""
    now, before = utc_now(), await tenant.stored()
    given: dict[str, Any] = {
        name: now + value if isinstance(value, timedelta) else value for name, value in fields.items()
    }

    refused = await refusal(tenant.backend.sender.Send(send_request(**given)))

    assert_violates(refused, [(path, "OUT_OF_RANGE")])
    assert await tenant.stored() == before


async def test_a_civil_time_is_the_users(tenant: Tenant) -> None:
    """It is in the timezone of the send, else of the profile, else of the environment."""
    await tenant.backend.environments.UpdateEnvironment(
        environments_pb2.UpdateEnvironmentRequest(
            environment=environments_pb2.Environment(default_timezone="Asia/Kathmandu")
        )
    )
    profile = users_pb2.IdentifyUserRequest(user={"id": "known", "timezone": "America/New_York"})  # type: ignore[arg-type] # a dict will do
    await tenant.backend.users.IdentifyUser(profile)
    midday = f"{utc_now().date() + timedelta(days=20)}T12:00"

    async def hour_of(**user: str) -> str:
        answer = await schedule(tenant, user=user, schedule_time=None, schedule_local_time=midday)
        at = (await logged(tenant, answer.tracking_id)).schedule_time.ToDatetime(UTC)
        return at.strftime("%H:%M")

    assert await hour_of(id="known", timezone="Asia/Tokyo") == "03:00"
    assert await hour_of(id="known") in ("16:00", "17:00")
    assert await hour_of(id="known", timezone="Nowhere/At_All") in ("16:00", "17:00")
    assert await hour_of(id="unknown") == "06:15"


async def test_cancelled_is_never_sent(tenant: Tenant, mongodb_uri: str) -> None:
    """Of what was cancelled nothing appears and nothing is sent when its time comes; cancelling twice is as good."""
    at = in_an_hour()
    cancelled, kept = await schedule(tenant, at), await schedule(tenant, at)
    await cancel(tenant, cancelled.tracking_id)
    await cancel(tenant, cancelled.tracking_id)

    post = await fire_all(tenant, mongodb_uri, at, after=kept.tracking_id)

    assert await states(tenant, cancelled.tracking_id) == {"EMAIL": "CANCELLED", "INAPP_WEB": "CANCELLED"}
    assert not delivery_of(await logged(tenant, cancelled.tracking_id), EMAIL).HasField("next_time")
    assert [item.id for item in await tenant.items(USER)] == [kept.tracking_id]
    assert cancelled.tracking_id not in {call.tracking_id for call in post.calls}
    assert await retract(tenant, tracking_ids=[cancelled.tracking_id], cancel_deliveries=True) == (0, 0)


async def test_what_does_not_wait_is_neither_changed_nor_cancelled(tenant: Tenant, mongodb_uri: str) -> None:
    """Each state has its reason: never scheduled, fired, cancelled, deleted, unknown."""
    at = in_an_hour()
    fired, dropped, deleted = [await schedule(tenant, at) for _ in range(3)]
    (sent,) = await tenant.send(send_request(user=BOB))
    await cancel(tenant, dropped.tracking_id)
    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=deleted.tracking_id))
    await fire_all(tenant, mongodb_uri, at, after=fired.tracking_id)

    async def reasons(tracking_id: str) -> list[str]:
        calls = (update(tenant, tracking_id, secondary_id="x"), cancel(tenant, tracking_id))
        refused = [await refusal(call) for call in calls]
        expected = grpc.StatusCode.NOT_FOUND if "MESSAGE" in refused[0].reason else grpc.StatusCode.FAILED_PRECONDITION
        assert [one.code for one in refused] == [expected] * 2
        return [one.reason for one in refused]

    assert await reasons(sent.tracking_id) == ["NOT_SCHEDULED"] * 2
    assert await reasons(fired.tracking_id) == ["ALREADY_FIRED"] * 2
    assert await reasons(deleted.tracking_id) == ["MESSAGE_DELETED"] * 2
    assert await reasons("nowhere") == ["MESSAGE_NOT_FOUND"] * 2
    assert (await refusal(update(tenant, dropped.tracking_id, secondary_id="x"))).reason == "NOT_SCHEDULED"


async def test_a_change_replaces_what_is_set(tenant: Tenant, mongodb_uri: str) -> None:
    """Without a mask each field that is set is replaced and all others stay; what fires is the changed request."""
    at = in_an_hour()
    sent = await schedule(tenant, at, secondary_id="old", tags=["kept"])

    later = at + HOUR
    answer = await update(tenant, sent.tracking_id, schedule_time=later, secondary_id="new", user={"last_name": "B"})

    assert answer.schedule_time.ToDatetime(UTC) == later
    message = await logged(tenant, sent.tracking_id)
    assert (message.secondary_id, list(message.tags)) == ("new", ["kept"])
    assert message.request.user.email == BOB["email"]
    assert message.request.user.last_name == "B"
    assert message.expire_time.ToDatetime(UTC) == later + timedelta(days=90)
    assert delivery_of(message, EMAIL).next_time.ToDatetime(UTC) == later
    other = await schedule(tenant, at)
    await fire_all(tenant, mongodb_uri, at, after=other.tracking_id)
    assert [item.id for item in await tenant.items(USER)] == [other.tracking_id]
    await fire_all(tenant, mongodb_uri, later, after=sent.tracking_id)
    assert {item.secondary_id for item in await tenant.items(USER)} == {"new", ""}


async def test_what_fires_was_made_by_its_send(tenant: Tenant, mongodb_uri: str) -> None:
    """The log tells of the call of the send, before and after the message has fired, whoever changes it meanwhile."""
    at = in_an_hour()
    sent = await schedule(tenant, at)
    before = await logged(tenant, sent.tracking_id)
    assert (before.origin.protocol, before.call_id != "") == ("grpc", True)

    await update(tenant, sent.tracking_id, secondary_id="new")
    await fire_all(tenant, mongodb_uri, at, after=sent.tracking_id)

    after = await logged(tenant, sent.tracking_id)
    assert delivery_of(after, EMAIL).state == delivery_pb2.DELIVERY_STATE_SENT
    assert (after.origin, after.call_id) == (before.origin, before.call_id)


async def test_a_mask_replaces_what_it_names(tenant: Tenant) -> None:
    """A masked field is replaced even by nothing, and one that is not masked is left out of account."""
    sent = await schedule(tenant, secondary_id="s", group_id="g", tags=["t"])

    await update(tenant, sent.tracking_id, "secondary_id", "merge_tags", "user.email", tags=["not masked"])

    message = await logged(tenant, sent.tracking_id)
    assert (message.secondary_id, message.group_id, list(message.tags)) == ("", "g", ["t"])
    assert not message.request.HasField("merge_tags")
    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SCHEDULED", "INAPP_WEB": "SCHEDULED"}
    assert message.request.user == user_pb2.User(id=USER)
    assert message.request.request_id == ""


async def test_content_waits_with_its_message(tenant: Tenant, mongodb_uri: str) -> None:
    """Content of a send is kept until it fires, and is changed whole or by its channel; what is wrong is refused."""
    at = in_an_hour()
    given: Any = {"email": {"subject": "first {{ item }}"}, "inapp": {"title": "first"}}
    sent = await schedule(tenant, at, content=given)
    other = await schedule(tenant, at, content=given)
    gone = await schedule(tenant, at, content=given)

    await update(tenant, sent.tracking_id, "content.email", content={"email": {"subject": "second {{ item }}"}})
    await update(tenant, other.tracking_id, content={"inapp": {"title": "second"}})
    await update(tenant, gone.tracking_id, "content")
    wrong: Any = {"sms": {"text": "{{"}}
    refused = await refusal(update(tenant, sent.tracking_id, content=wrong))
    assert_violates(refused, [("request.content.sms.text", "TEMPLATE_INVALID")])

    for one in (sent, other, gone):
        await fire_all(tenant, mongodb_uri, at, after=one.tracking_id)
    subjects, titles = [], []
    for one in (sent, other, gone):
        message = await logged(tenant, one.tracking_id)
        subjects.append(delivery_of(message, EMAIL).content.email.subject)
        titles.append(delivery_of(message, INAPP_WEB).content.inapp.title)
    ours, theirs = "Your Krabby Patty Burger is on its way", subjects[2]
    assert subjects == ["second Krabby Patty Burger", theirs, theirs]
    assert titles == ["first", "second", ours]


async def test_a_change_previews_anew(tenant: Tenant) -> None:
    """Its answer and the log have the warnings and the channels of the changed request alone."""
    sent = await schedule(tenant, merge_tags={})
    assert warnings(sent)

    answer = await update(tenant, sent.tracking_id, force_channels=[EMAIL], template_id="nowhere")

    assert {code for code, _ in warnings(answer)} == {"TEMPLATE_NOT_FOUND", "MERGE_TAG_MISSING"}
    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SCHEDULED", "INAPP_WEB": "NOT_FORCED"}
    await update(tenant, sent.tracking_id, "force_channels")
    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SCHEDULED", "INAPP_WEB": "SCHEDULED"}


async def test_what_cannot_change_is_refused(tenant: Tenant) -> None:
    """Notification, user and request_id stay; what is wrong is named as it stands in the call, all at once."""
    sent = await schedule(tenant, request_id="r")
    before = await logged(tenant, sent.tracking_id)
    tracking_id = sent.tracking_id

    refused = await refusal(
        update(tenant, tracking_id, notification_id="other", user={"id": "other"}, request_id="s", priority=99)
    )
    assert_violates(
        refused,
        [
            ("request.notification_id", "INVALID"),
            ("request.user.id", "INVALID"),
            ("request.request_id", "INVALID"),
            ("request.priority", "UNKNOWN_VALUE"),
        ],
    )
    refused = await refusal(update(tenant, tracking_id, "request_id", "nowhere", "merge_tags.item"))
    assert_violates(
        refused,
        [
            ("update_mask.paths[1]", "UNKNOWN_PATH"),
            ("update_mask.paths[2]", "UNKNOWN_PATH"),
            ("request.request_id", "INVALID"),
        ],
    )
    for fields in ({"schedule_time": utc_now() + timedelta(days=367)}, {"expire_time": utc_now()}):
        refused = await refusal(update(tenant, tracking_id, **fields))
        assert_violates(refused, [(f"request.{next(iter(fields))}", "OUT_OF_RANGE")])
    assert await logged(tenant, tracking_id) == before
    await update(tenant, tracking_id, notification_id="order_tracking", user={"id": USER}, request_id="r")
    assert await logged(tenant, tracking_id) == before


async def test_a_time_of_day_is_reckoned_when_it_is_given(tenant: Tenant) -> None:
    """A change of something else leaves the time; one of the time, or of the send's own timezone, does not."""
    midday = f"{utc_now().date() + timedelta(days=20)}T12:00"
    profile = users_pb2.IdentifyUserRequest(user=user_pb2.User(id=USER, timezone="Asia/Tokyo"))
    await tenant.backend.users.IdentifyUser(profile)
    sent = await schedule(tenant, schedule_time=None, schedule_local_time=midday)

    async def hour() -> str:
        return (await logged(tenant, sent.tracking_id)).schedule_time.ToDatetime(UTC).strftime("%H:%M")

    assert await hour() == "03:00"
    profile.user.timezone = "Asia/Dubai"
    await tenant.backend.users.IdentifyUser(profile)
    await update(tenant, sent.tracking_id, secondary_id="x")
    assert await hour() == "03:00"
    await update(tenant, sent.tracking_id, user={"timezone": "Asia/Kathmandu"})
    assert await hour() == "06:15"
    await update(tenant, sent.tracking_id, schedule_local_time=midday.replace("12:00", "13:00"))
    assert await hour() == "07:15"


async def test_a_schedule_that_is_cleared_fires_at_once(tenant: Tenant, mongodb_uri: str) -> None:
    """A change that takes the time away, or sets one that has come, lets it fire now."""
    cleared, moved = await schedule(tenant), await schedule(tenant)
    await update(tenant, cleared.tracking_id, "schedule_time")
    await update(tenant, moved.tracking_id, schedule_time=utc_now() - HOUR)

    async with run_workers(mongodb_uri, everything(Post())):
        for sent in (cleared, moved):
            assert state_of(await until_final(tenant, sent.tracking_id, EMAIL)) == "SENT"

    assert await totals(tenant) == (2, 2, 2)


async def test_a_repetition_has_the_first_answer(tenant: Tenant, mongodb_uri: str) -> None:
    """Whatever became of it since, the same send answers as at first, and another one is refused."""
    at = in_an_hour()
    fields = {"request_id": "r", "merge_tags": {}, "expire_time": at + HOUR}
    first = await schedule(tenant, at, **fields)
    expected = sender_pb2.SendResponse()
    expected.CopyFrom(first)
    expected.replayed = True
    assert await schedule(tenant, at, **fields) == expected

    await update(tenant, first.tracking_id, schedule_time=at - timedelta(minutes=1), force_channels=[EMAIL])
    assert await schedule(tenant, at, **fields) == expected
    await fire_all(tenant, mongodb_uri, at, after=first.tracking_id)
    assert await schedule(tenant, at, **fields) == expected
    refused = await refusal(schedule(tenant, at + HOUR, **fields))
    assert refused.reason == "REQUEST_ID_REUSED"

    other = await schedule(tenant, request_id="s")
    await cancel(tenant, other.tracking_id)
    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=other.tracking_id))
    assert (await refusal(schedule(tenant, request_id="s"))).reason == "MESSAGE_DELETED"


async def test_a_retraction_takes_an_item_before_it_appears(tenant: Tenant, mongodb_uri: str) -> None:
    """A plain retraction keeps the item away for good, and the other channels go; the log tells of both."""
    at = in_an_hour()
    sent = await schedule(tenant, at)

    assert await retract(tenant, notification_id="order_tracking") == (1, 0)

    assert await totals(tenant) == (0, 0, 0)
    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SCHEDULED", "INAPP_WEB": "CANCELLED"}
    await update(tenant, sent.tracking_id, secondary_id="x")
    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SCHEDULED", "INAPP_WEB": "CANCELLED"}
    post = await fire_all(tenant, mongodb_uri, at, after=sent.tracking_id)
    assert await states(tenant, sent.tracking_id) == {"EMAIL": "SENT", "INAPP_WEB": "CANCELLED"}
    assert await totals(tenant) == (0, 0, 0)
    assert [call.tracking_id for call in post.calls if call.content.channel == "EMAIL"].count(sent.tracking_id) == 1
    message = await logged(tenant, sent.tracking_id)
    assert message.item_marks.HasField("retract_time")
    assert delivery_of(message, INAPP_WEB).update_time == message.item_marks.retract_time


async def test_a_retraction_with_deliveries_cancels_it_all(tenant: Tenant, mongodb_uri: str) -> None:
    """With cancel_deliveries nothing of what waits is left, one whose every channel is skipped for now included."""
    at = in_an_hour()
    sent, skipped = await schedule(tenant, at), await schedule(tenant, at, force_channels=[SMS])
    assert outcomes(skipped)["SMS"] == "NO_ADDRESS"

    assert await retract(tenant, notification_id="order_tracking", cancel_deliveries=True) == (1, 1)

    other = await schedule(tenant, at)
    post = await fire_all(tenant, mongodb_uri, at, after=other.tracking_id)
    assert {call.tracking_id for call in post.calls} & {sent.tracking_id, skipped.tracking_id} == set()
    assert await states(tenant, sent.tracking_id) == {"EMAIL": "CANCELLED", "INAPP_WEB": "CANCELLED"}
    for one in (sent, skipped):
        await cancel(tenant, one.tracking_id)
    assert await totals(tenant) == (1, 1, 1)


@pytest.mark.parametrize("whole_user", [False, True], ids=["message", "user"])
async def test_what_was_deleted_never_fires(tenant: Tenant, mongodb_uri: str, whole_user: bool) -> None:
    """A message that was deleted, or whose user was, leaves nothing to fire."""
    at = in_an_hour()
    sent = await schedule(tenant, at)
    if whole_user:
        await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=USER))
    else:
        await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=sent.tracking_id))

    other = await schedule(tenant, at, user={"id": "other", "email": "other@example.com"})
    post = await fire_all(tenant, mongodb_uri, at, after=other.tracking_id)

    assert sent.tracking_id not in {call.tracking_id for call in post.calls}
    assert await totals(tenant) == (0, 0, 0)
