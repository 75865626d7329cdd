from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from carillon.v1 import inbox_pb2
from tests.contract.services.requests import USER, send_request

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_item_is_listed_once_send_has_answered(tenant: Tenant) -> None:
    """A sent message is in the recipient's inbox, rendered, as soon as Send answers."""
    answer = await tenant.backend.sender.Send(send_request())

    inbox = await tenant.user(USER).inbox.ListInbox(inbox_pb2.ListInboxRequest())

    assert [item.id for item in inbox.items] == [answer.item_id]
    assert inbox.items[0].content.title == "Your Krabby Patty Burger is on its way"
    assert (inbox.unread_count, inbox.total_count) == (1, 1)
