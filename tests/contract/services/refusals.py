"""What a refused call answers, checked for what no answer may hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

if TYPE_CHECKING:
    from collections.abc import Awaitable

# The names of classes, modules and files, and how Python prints objects and stacks.
_INTERNALS = re.compile(
    r"Traceback|\w(Error|Exception|Timeout)\b|NoneType|<class|object at 0x|site-packages|\.py\b|_pb2"
    r"|\b(services|pymongo|bson|liquid|google)\.\w"
)


@dataclass(frozen=True)
class Refusal:
    """Why a call was refused."""

    code: grpc.StatusCode
    reason: str
    message: str
    violations: tuple[tuple[str, str], ...]
    """Path and reason of everything that is wrong, in the order of the answer."""

    descriptions: tuple[str, ...]
    resource: tuple[str, str] | None
    retry_delay_s: float | None


async def refusal(call: Awaitable[Any]) -> Refusal:
    """Gives why a call is refused; fails where it is not, or where the answer tells of our insides."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    info = _detail(error, error_details_pb2.ErrorInfo())
    bad_request = _detail(error, error_details_pb2.BadRequest())
    violations = list(bad_request.field_violations) if bad_request else []
    resource = _detail(error, error_details_pb2.ResourceInfo())
    retry = _detail(error, error_details_pb2.RetryInfo())

    texts = [error.details() or "", *(one.description for one in violations), *(info.metadata.values() if info else ())]
    assert [text for text in texts if _INTERNALS.search(text)] == []
    assert "Traceback" not in (error.debug_error_string() or "")
    return Refusal(
        code=error.code(),
        reason=info.reason if info else "",
        message=error.details() or "",
        violations=tuple((one.field, one.reason) for one in violations),
        descriptions=tuple(one.description for one in violations),
        resource=(resource.resource_type, resource.resource_name) if resource else None,
        retry_delay_s=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
    )


def assert_violates(refused: Refusal, expected: list[tuple[str, str]]) -> None:
    """Asserts that exactly this is wrong, that the message names it all, and that each is described."""
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert sorted(refused.violations) == sorted(expected)
    assert all(refused.descriptions)
    # What is too long for a header ends in dots; the violations are whole.
    assert refused.message.endswith("...") or all(path in refused.message for path, _ in expected)


def _detail(error: grpc.aio.AioRpcError, kind: Any) -> Any:
    # gRPC's own refusals have no details at all.
    status: Any = rpc_status.from_call(error)
    return next((kind for one in status.details if one.Unpack(kind)), None) if status else None
