from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from carillon.v1 import environments_pb2, notifications_pb2

if TYPE_CHECKING:
    from tests.contract.services.world import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_the_sdks_meet(backend: Caller) -> None:
    """The environment is in secure mode, and has the definitions that the SDKs send."""
    answer = await backend.environments.GetEnvironment(environments_pb2.GetEnvironmentRequest())
    assert answer.environment.secure_mode

    found = await backend.notifications.ListNotifications(notifications_pb2.ListNotificationsRequest())
    assert {"order_tracking", "new_order", "hello_world", "inapp_only"} <= {one.id for one in found.notifications}
