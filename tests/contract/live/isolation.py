"""Two environments that have the same of everything, but for the mark in each text, and every RPC tried in one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp

from carillon.v1 import (
    delivery_pb2,
    environments_pb2,
    inbox_pb2,
    messages_pb2,
    notifications_pb2,
    preferences_pb2,
    sender_pb2,
    sub_notifications_pb2,
    user_pb2,
    users_pb2,
)
from services.kernel.clock import utc_now
from services.kernel.links import LinkTokens, ReportLink, UnsubscribeLink
from services.kernel.vocabulary import Channel
from tests.contract.services.requests import EMAIL, INAPP_WEB, OFF, definition, inapp, send_request
from tests.contract.services.world import MASTER_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message

    from tests.contract.services.world import Tenant

USER_ID = "user-1"
USER_IDS = (USER_ID, "user-2")
NOTIFICATION_IDS = ("n-1", "n-2")
PARTS = ("p-1", "p-2")
_FAR = Timestamp(seconds=4_000_000_000)


@dataclass(frozen=True)
class Side:
    """One environment, its mark, the tracking ids of its first user's messages, and that of one which waits."""

    tenant: Tenant
    mark: str
    tracking_ids: Sequence[str]
    waiting_id: str
    """Of a message to the other user that waits for its time."""


async def fill(tenant: Tenant, mark: str, *, messages: int) -> Side:
    """Gives an environment the ids that every other one has here, and texts and a number of messages of its own."""
    await tenant.put(
        *(
            definition(name, inapp(f"{mark} {{{{ t }}}}"), channels=(INAPP_WEB, EMAIL), title=mark)
            for name in NOTIFICATION_IDS
        )
    )
    backend = tenant.backend
    for part in PARTS:
        await backend.sub_notifications.PutSubNotification(
            sub_notifications_pb2.PutSubNotificationRequest(notification_id="n-1", sub_notification_id=part, title=mark)
        )
    for user_id in USER_IDS:
        await backend.users.IdentifyUser(users_pb2.IdentifyUserRequest(user=user(mark, user_id)))
        await backend.preferences.SetPreferences(
            preferences_pb2.SetPreferencesRequest(user_id=user_id, preferences=choices(PARTS))
        )
    await backend.environments.UpdateEnvironment(
        environments_pb2.UpdateEnvironmentRequest(environment=environments_pb2.Environment(name=mark))
    )
    sent = await tenant.send(*(send(mark, f"r-{number}") for number in range(messages)))
    later = send_request("n-2", user={"id": USER_IDS[1]}, schedule_time=utc_now() + timedelta(hours=1))
    (waiting,) = await tenant.send(later)
    return Side(tenant, mark, [answer.tracking_id for answer in sent], waiting.tracking_id)


def user(mark: str, user_id: str = USER_ID) -> user_pb2.User:
    """Makes a user whose texts are one side's; the address and the devices are the same on both."""
    made = user_pb2.User(id=user_id, first_name=mark, email="same@example.com")
    made.push_tokens.add(provider=user_pb2.PUSH_PROVIDER_FCM, token=f"token-of-{user_id}")
    made.web_push_subscriptions.append(browser_of(user_id))
    return made


def browser_of(user_id: str) -> user_pb2.WebPushSubscription:
    """Makes the browser of a user."""
    keys = user_pb2.WebPushKeys(p256dh="p", auth="a")
    return user_pb2.WebPushSubscription(endpoint=f"https://push.example.com/{user_id}", keys=keys)


def send(mark: str, request_id: str = "r-0") -> sender_pb2.SendRequest:
    """Makes a send with every id by which messages are found."""
    return send_request(
        "n-1",
        user={"id": USER_ID},
        merge_tags={"t": mark},
        request_id=request_id,
        sub_notification_id="p-1",
        secondary_id="s",
        group_id="g",
        tags=["tag"],
    )


def choices(parts: Sequence[str]) -> list[preferences_pb2.Preference]:
    """Makes choices, one for each part."""
    return [
        preferences_pb2.Preference(notification_id="n-1", channel=EMAIL, sub_notification_id=part, delivery_option=OFF)
        for part in parts
    ]


@dataclass(frozen=True)
class Case:
    """A call in one's own environment that could reach the other, as the ids are the same or are the other's."""

    request: Callable[[Side, Side], Message]
    """Takes one's own side and the other one."""

    shows: bool = False
    """Whether the answer has one's own mark."""

    refused: str = ""
    """The reason why it must be refused, if it must."""


def _report(own: Side, tracking_id: str) -> Message:
    link = ReportLink(own.tenant.client_id, USER_ID, tracking_id, Channel.INAPP_WEB)
    return messages_pb2.ReportDeliveryRequest(
        report_token=_TOKENS.write(link), provider_id="SM1", state=delivery_pb2.DELIVERY_STATE_FAILED
    )


def _unsubscribe(own: Side, part: str, **fields: Any) -> Message:
    link = UnsubscribeLink(own.tenant.client_id, USER_ID, "n-1", part, Channel.EMAIL)
    return preferences_pb2.UnsubscribeRequest(unsubscribe_token=_TOKENS.write(link), **fields)


def _of(kind: Any, **fields: Any) -> Callable[[Side, Side], Message]:
    return lambda _own, _other: kind(**fields)


_S, _N, _I, _M, _P, _U, _E = (
    sub_notifications_pb2,
    notifications_pb2,
    inbox_pb2,
    messages_pb2,
    preferences_pb2,
    users_pb2,
    environments_pb2,
)
_PART = {"notification_id": "n-1", "sub_notification_id": "p-1"}
_TOKENS = LinkTokens(MASTER_KEY)
_MARKS = [inbox_pb2.INBOX_MARK_CLICKED, inbox_pb2.INBOX_MARK_ARCHIVED]
_FILTER = messages_pb2.MessageFilter

CASES: dict[str, list[Case]] = {
    "Environments/GetEnvironment": [Case(_of(_E.GetEnvironmentRequest), shows=True)],
    "Environments/UpdateEnvironment": [
        Case(_of(_E.UpdateEnvironmentRequest, environment=_E.Environment(disabled_channels=[INAPP_WEB])), shows=True)
    ],
    "Inbox/CountUnread": [Case(_of(_I.CountUnreadRequest, user_id=USER_ID))],
    "Inbox/ListInbox": [Case(_of(_I.ListInboxRequest, user_id=USER_ID), shows=True)],
    "Inbox/MarkInbox": [
        Case(
            lambda own, other: _I.MarkInboxRequest(
                user_id=USER_ID, items=_I.ItemIds(ids=[*own.tracking_ids, *other.tracking_ids]), set_marks=_MARKS
            )
        ),
        Case(_of(_I.MarkInboxRequest, user_id=USER_ID, until=_I.ItemsUntil(time=_FAR), set_marks=_MARKS, reply="x")),
    ],
    "Inbox/SyncInbox": [Case(_of(_I.SyncInboxRequest, user_id=USER_ID), shows=True)],
    "Inbox/WatchInbox": [Case(_of(_I.WatchInboxRequest, user_id=USER_ID), shows=True)],
    "Messages/DeleteMessage": [
        Case(lambda _, other: _M.DeleteMessageRequest(tracking_id=other.tracking_ids[0]), refused="MESSAGE_NOT_FOUND"),
        Case(lambda own, _: _M.DeleteMessageRequest(tracking_id=own.tracking_ids[0])),
    ],
    "Messages/GetMessage": [
        Case(lambda _, other: _M.GetMessageRequest(tracking_id=other.tracking_ids[0]), refused="MESSAGE_NOT_FOUND"),
        Case(lambda own, _: _M.GetMessageRequest(tracking_id=own.tracking_ids[0]), shows=True),
    ],
    "Messages/ListMessages": [
        Case(_of(_M.ListMessagesRequest, view=_M.MESSAGE_VIEW_FULL, filter=narrowed), shows=True)
        for narrowed in (
            _FILTER(),
            _FILTER(user_ids=[USER_ID]),
            _FILTER(notification_ids=["n-1"]),
            _FILTER(user_ids=[USER_ID], notification_ids=["n-1"]),
            _FILTER(sub_notification_ids=["p-1"]),
            _FILTER(request_ids=["r-0"]),
            _FILTER(user_ids=[USER_ID], request_ids=["r-0"]),
            _FILTER(secondary_ids=["s"]),
            _FILTER(group_ids=["g"]),
            _FILTER(tags=["tag"]),
            _FILTER(end_time=_FAR),
        )
    ]
    + [Case(lambda _, other: _M.ListMessagesRequest(filter=_FILTER(tracking_ids=other.tracking_ids)))],
    "Messages/ReportDelivery": [
        Case(lambda own, other: _report(own, other.tracking_ids[0])),
        Case(lambda own, _: _report(own, own.tracking_ids[0])),
    ],
    "Notifications/DeleteNotification": [Case(_of(_N.DeleteNotificationRequest, notification_id="n-1"))],
    "Notifications/GetNotification": [Case(_of(_N.GetNotificationRequest, notification_id="n-1"), shows=True)],
    "Notifications/ListNotifications": [Case(_of(_N.ListNotificationsRequest), shows=True)],
    "Notifications/PreviewNotification": [
        Case(_of(_N.PreviewNotificationRequest, notification_id="n-1", user=user_pb2.User(id=USER_ID)), shows=True)
    ],
    "Notifications/PutNotification": [
        Case(lambda own, _: _N.PutNotificationRequest(notification=definition("n-1", inapp(own.mark))))
    ],
    "Preferences/DeletePreferences": [Case(_of(_P.DeletePreferencesRequest, user_id=USER_ID, **_PART))],
    "Preferences/GetPreferences": [Case(_of(_P.GetPreferencesRequest, user_id=USER_ID))],
    "Preferences/PatchPreferences": [Case(_of(_P.PatchPreferencesRequest, user_id=USER_ID, preferences=choices([""])))],
    "Preferences/SetPreferences": [Case(_of(_P.SetPreferencesRequest, user_id=USER_ID, preferences=choices([""])))],
    "Preferences/Unsubscribe": [
        Case(lambda own, _: _unsubscribe(own, ""), shows=True),
        Case(lambda own, _: _unsubscribe(own, "p-1", resubscribe=True), shows=True),
    ],
    "Sender/CancelSchedule": [
        Case(
            lambda _, other: sender_pb2.CancelScheduleRequest(tracking_id=other.waiting_id), refused="MESSAGE_NOT_FOUND"
        ),
        Case(lambda own, _: sender_pb2.CancelScheduleRequest(tracking_id=own.waiting_id)),
    ],
    "Sender/Retract": [
        Case(_of(sender_pb2.RetractRequest, user_id=USER_ID, cancel_deliveries=True, **narrowed))
        for narrowed in (
            {"notification_id": "n-1"},
            {"notification_id": "n-1", "sub_notification_id": "p-1"},
            {"notification_id": "n-1", "secondary_id": "s"},
            {"group_id": "g"},
        )
    ]
    + [
        Case(
            lambda own, other: sender_pb2.RetractRequest(
                user_id=USER_ID, tracking_ids=[*own.tracking_ids, *other.tracking_ids], cancel_deliveries=True
            )
        )
    ],
    "Sender/Send": [
        Case(lambda own, _: send(own.mark, "another request")),
        # Known under this id in both environments.
        Case(lambda own, _: send(own.mark)),
    ],
    "Sender/UpdateSchedule": [
        Case(
            lambda _, other: sender_pb2.UpdateScheduleRequest(
                tracking_id=other.waiting_id, request=sender_pb2.SendRequest(group_id="x")
            ),
            refused="MESSAGE_NOT_FOUND",
        ),
        Case(
            lambda own, _: sender_pb2.UpdateScheduleRequest(
                tracking_id=own.waiting_id, request=sender_pb2.SendRequest(group_id="x")
            )
        ),
    ],
    "SubNotifications/DeleteSubNotification": [Case(_of(_S.DeleteSubNotificationRequest, **_PART))],
    "SubNotifications/GetSubNotification": [Case(_of(_S.GetSubNotificationRequest, **_PART), shows=True)],
    "SubNotifications/ListSubNotifications": [
        Case(_of(_S.ListSubNotificationsRequest, notification_id="n-1"), shows=True),
    ],
    "SubNotifications/PutSubNotification": [Case(_of(_S.PutSubNotificationRequest, **_PART, title="new"))],
    "Users/BatchUpsertUsers": [
        Case(
            lambda own, _: _U.BatchUpsertUsersRequest(
                users=[user(f"new {own.mark}", user_id) for user_id in USER_IDS],
                policy=users_pb2.UPSERT_POLICY_OVERWRITE,
            )
        )
    ],
    "Users/CreateUserToken": [Case(_of(_U.CreateUserTokenRequest, user_id=USER_ID))],
    "Users/DeleteUser": [Case(_of(_U.DeleteUserRequest, user_id=USER_ID))],
    "Users/GetUser": [Case(_of(_U.GetUserRequest, user_id=USER_ID), shows=True)],
    "Users/IdentifyUser": [
        # What is registered for one user is taken from any other of the environment.
        Case(
            _of(
                _U.IdentifyUserRequest,
                user=user_pb2.User(
                    id=USER_ID,
                    push_tokens=[user_pb2.PushToken(provider=user_pb2.PUSH_PROVIDER_FCM, token="token-of-user-2")],
                    web_push_subscriptions=[browser_of("user-2")],
                ),
            )
        ),
        Case(_of(_U.IdentifyUserRequest, user=user_pb2.User(id=USER_ID), remove_push_tokens=["token-of-user-1"])),
    ],
    "Users/ListUsers": [
        Case(_of(_U.ListUsersRequest), shows=True),
        Case(_of(_U.ListUsersRequest, email="same@example.com"), shows=True),
    ],
    "Users/RevokeUserTokens": [Case(_of(_U.RevokeUserTokensRequest, user_id=USER_ID))],
}
"""What is tried with each method that works; one that works and is not here fails the tests."""
