"""Two services processes on one MongoDB."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from carillon.v1 import inbox_pb2, notifications_pb2
from tests.contract.services.requests import definition, inapp
from tests.e2e.processes import free_port
from tests.e2e.stack import order_tracking

if TYPE_CHECKING:
    from tests.e2e.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROUNDS = 200


async def test_put_at_one_process_send_at_another(stack: Stack) -> None:
    """200 times, a send at the second process has the words that were put at the first the moment before."""
    second = dataclasses.replace(stack, grpc_port=free_port())
    async with second.services(log_level="warning"), stack.backend() as here, second.backend() as there:
        for number in range(ROUNDS):
            changed = definition("changing", inapp(f"Version {number}"))
            await here.notifications.PutNotification(notifications_pb2.PutNotificationRequest(notification=changed))
            send = order_tracking("reader")
            send.notification_id = "changing"
            await there.sender.Send(send)

        shown = await there.inbox.ListInbox(inbox_pb2.ListInboxRequest(user_id="reader", page_size=1000))
        titles = [item.content.title for item in reversed(shown.items)]
        assert titles == [f"Version {number}" for number in range(ROUNDS)]
        # Others show all definitions of this environment.
        gone = notifications_pb2.DeleteNotificationRequest(notification_id="changing")
        await here.notifications.DeleteNotification(gone)
