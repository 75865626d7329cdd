"""What calls have done, as Carillon's own interface tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import json_format

from carillon.v1 import (
    channel_pb2,
    inbox_pb2,
    messages_pb2,
    preferences_pb2,
    sub_notifications_pb2,
    user_pb2,
    users_pb2,
)

if TYPE_CHECKING:
    from tests.contract.services.world import Caller

Choice = tuple[str, str, str, str]
"""A choice of a user: notification, sub-notification, channel, delivery option."""


async def items(backend: Caller, user_id: str) -> list[inbox_pb2.InboxItem]:
    """Gives what a user has, archived or not, the newest first."""
    request = inbox_pb2.ListInboxRequest(user_id=user_id, page_size=1000, view=inbox_pb2.INBOX_VIEW_ALL)
    return list((await backend.inbox.ListInbox(request)).items)


async def titles(backend: Caller, user_id: str) -> list[str]:
    """Gives the titles of that."""
    return [item.content.title for item in await items(backend, user_id)]


async def message(backend: Caller, tracking_id: str) -> messages_pb2.Message:
    """Gives the entry of a send in the log, with the request itself."""
    answer = await backend.messages.GetMessage(messages_pb2.GetMessageRequest(tracking_id=tracking_id))
    found: messages_pb2.Message = answer.message
    return found


async def request(backend: Caller, tracking_id: str) -> dict[str, Any]:
    """Gives what has been sent, as the log has it: proto JSON, with the proto's own names."""
    logged = await message(backend, tracking_id)
    sent: dict[str, Any] = json_format.MessageToDict(logged.request, preserving_proto_field_name=True)
    return sent


async def deliveries(backend: Caller, tracking_id: str) -> dict[str, str]:
    """Gives the state of each channel, or why it was skipped."""
    logged = json_format.MessageToDict(await message(backend, tracking_id), preserving_proto_field_name=True)
    return {
        one["channel"].removeprefix("CHANNEL_"): one.get("reason", one["state"]).split("_", 2)[2]
        for one in logged["deliveries"]
    }


async def choices(backend: Caller, user_id: str) -> list[Choice]:
    """Gives what a user has chosen, sorted."""
    answer = await backend.preferences.GetPreferences(preferences_pb2.GetPreferencesRequest(user_id=user_id))
    return sorted(
        (
            one.notification_id,
            one.sub_notification_id,
            channel_pb2.Channel.Name(one.channel).removeprefix("CHANNEL_"),
            channel_pb2.DeliveryOption.Name(one.delivery_option).removeprefix("DELIVERY_OPTION_"),
        )
        for one in answer.preferences
    )


async def profile(backend: Caller, user_id: str) -> user_pb2.User | None:
    """Gives a user; None where there is none."""
    try:
        answer = await backend.users.GetUser(users_pb2.GetUserRequest(user_id=user_id))
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise
    found: user_pb2.User = answer.user
    return found


async def parts(backend: Caller, notification_id: str) -> dict[str, str]:
    """Gives the sub-notifications of a notification: title by id."""
    request = sub_notifications_pb2.ListSubNotificationsRequest(notification_id=notification_id, page_size=1000)
    answer = await backend.sub_notifications.ListSubNotifications(request)
    return {one.id: one.title for one in answer.sub_notifications}


async def forget(backend: Caller, *user_ids: str) -> None:
    """Makes users as if they had never been."""
    for user_id in user_ids:
        await backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=user_id))
