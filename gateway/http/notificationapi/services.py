"""The services that the routes call, each with the caller's own credentials and a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import (
    environments_pb2_grpc,
    inbox_pb2_grpc,
    messages_pb2_grpc,
    notifications_pb2_grpc,
    preferences_pb2_grpc,
    sender_pb2_grpc,
    sub_notifications_pb2_grpc,
    users_pb2_grpc,
)

if TYPE_CHECKING:
    import grpc


class Services:
    """The stubs of one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.sender: sender_pb2_grpc.SenderAsyncStub = sender_pb2_grpc.SenderStub(channel)
        self.users: users_pb2_grpc.UsersAsyncStub = users_pb2_grpc.UsersStub(channel)
        self.preferences: preferences_pb2_grpc.PreferencesAsyncStub = preferences_pb2_grpc.PreferencesStub(channel)
        self.sub_notifications: sub_notifications_pb2_grpc.SubNotificationsAsyncStub = (
            sub_notifications_pb2_grpc.SubNotificationsStub(channel)
        )
        self.notifications: notifications_pb2_grpc.NotificationsAsyncStub = notifications_pb2_grpc.NotificationsStub(
            channel
        )
        self.inbox: inbox_pb2_grpc.InboxAsyncStub = inbox_pb2_grpc.InboxStub(channel)
        self.messages: messages_pb2_grpc.MessagesAsyncStub = messages_pb2_grpc.MessagesStub(channel)
        self.environments: environments_pb2_grpc.EnvironmentsAsyncStub = environments_pb2_grpc.EnvironmentsStub(channel)
