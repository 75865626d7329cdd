"""The calls of the Node SDK that most of its tests make, and how it tells of a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conformance.servers.sdk import Answer, Sdk


async def send(node: Sdk, user_id: str, **fields: object) -> Answer:
    """Sends an item."""
    return await node.call(
        "send", {"type": "inapp_only", "to": {"id": user_id}, "parameters": {"text": "Hi"}, **fields}
    )


async def mark(node: Sdk, user_id: str, sent: Answer, **marks: object) -> Answer:
    """Marks the item of a send."""
    return await node.call("updateInAppNotification", user_id, {"trackingIds": [sent.data["trackingId"]], **marks})


def check_refusal(answer: Answer, status: int | None) -> None:
    """The promise was rejected, with this status and an error that says what to do."""
    assert answer.thrown, answer
    assert answer.status == status, answer
    error = answer.data["error"]
    assert all(error[name] and isinstance(error[name], str) for name in ("code", "message", "fix")), error
