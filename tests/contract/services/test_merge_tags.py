from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import content_pb2, delivery_pb2, notifications_pb2, sender_pb2
from tests.contract.services.requests import warnings

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

MISSING = delivery_pb2.SEND_WARNING_CODE_MERGE_TAG_MISSING
PRECISION = delivery_pb2.SEND_WARNING_CODE_NUMBER_PRECISION_LOST


async def send(tenant: Tenant, title: str, merge_tags: dict[str, Any]) -> sender_pb2.SendResponse:
    """Sends a notification with this title, to its inbox alone."""
    content = content_pb2.Content(inapp=content_pb2.InappContent(title=title))
    notification = notifications_pb2.Notification(
        id="n",
        channels=[notifications_pb2.ChannelSettings(channel="CHANNEL_INAPP_WEB")],  # type: ignore[arg-type] # a name will do
        templates=[notifications_pb2.Template(content=content)],
    )
    await tenant.put(notification)
    request = sender_pb2.SendRequest(notification_id="n")
    request.user.id = "u"
    request.merge_tags.update(merge_tags)
    return (await tenant.send(request))[0]


@pytest.mark.parametrize(
    ("title", "merge_tags", "missing"),
    [
        ("{{ a }} {{ b.c }} {{ a }}", {}, ["merge_tags.a", "merge_tags.b"]),
        ("{{ a }} {{ b.c }}", {"a": None, "b": {}}, []),
        ("{{ user.first_name }} {{ user.anything }}", {}, []),
        ("{% for i in items %}{{ i.name }}{{ forloop.index }}{% endfor %}x", {"items": []}, []),
        ("{% assign x = y %}{{ x }}{% if z %}{% endif %}!", {}, ["merge_tags.y", "merge_tags.z"]),
        ("plain", {}, []),
    ],
)
async def test_a_merge_tag_that_nobody_gave_is_warned_about(
    tenant: Tenant, title: str, merge_tags: dict[str, Any], missing: list[str]
) -> None:
    """A name that the chosen template reads, and neither merge tags nor profile have, is told once; no other is."""
    answer = await send(tenant, f"-{title}", merge_tags)

    assert [warning.field for warning in answer.warnings if warning.code == MISSING] == missing


async def test_an_empty_struct_is_told_of(tenant: Tenant) -> None:
    """A caller whose stub turned a plain object into an empty Struct learns it from the warnings."""
    request = sender_pb2.SendRequest(notification_id="order_tracking")
    request.user.id = "u"

    [answer] = await tenant.send(request)

    assert {one.field for one in answer.warnings} == {"merge_tags.item", "merge_tags.address", "merge_tags.orderId"}


async def test_a_large_number_is_warned_about(tenant: Tenant) -> None:
    """A whole number beyond 2^53 is taken and told of, by its path; within, it reaches the template as an integer."""
    exact = await send(tenant, "{{ a }} {{ b.c[0] }}", {"a": 2**53, "b": {"c": [-(2**53)]}})
    lost = await send(tenant, "{{ a }}", {"a": 2**53 + 2, "b": {"c": [1.5, 1e300]}})

    assert warnings(exact) == []
    # A map has no order.
    assert sorted((one.code, one.field) for one in lost.warnings) == [
        (PRECISION, "merge_tags.a"),
        (PRECISION, "merge_tags.b.c[1]"),
    ]
    assert (await tenant.items("u"))[-1].content.title == "9007199254740992 -9007199254740992"
