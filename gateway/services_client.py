"""Asks the services, with the caller's own credentials, and turns their refusals into ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import grpc
import structlog
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from carillon.v1 import inbox_pb2, inbox_pb2_grpc
from gateway.closes import CloseCode
from gateway.frames import FrameError
from gateway.items import item_from_proto
from gateway.protocol import Welcome
from gateway.session import WelcomeRefusedError
from services.kernel.auth import basic_authorization
from services.kernel.cluster_time import position_to_text

if TYPE_CHECKING:
    from types import TracebackType

    from gateway.frames import Hello

DEADLINE_S = 10.0

_OPTIONS = (
    # A welcome of 500 items of 16 KiB.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    # Finds services that vanished without a word.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)

_REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_TRANSIENT = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
_RESUMES = {inbox_pb2.INBOX_RESUME_FULL: "full", inbox_pb2.INBOX_RESUME_SNAPSHOT: "snapshot"}

_log = structlog.get_logger(__name__)


class ServicesClient:
    """A channel to the services, open inside of ``async with``.

    Args:
        url: Where they are: ``grpc://host:port``.
        deadline_s: How long a call may take.
    """

    def __init__(self, url: str, *, deadline_s: float = DEADLINE_S) -> None:
        self._target = urlsplit(url).netloc
        self._deadline_s = deadline_s

    async def __aenter__(self) -> Self:
        # Made here, as it belongs to the running loop; it connects at its first call.
        self._channel = grpc.aio.insecure_channel(self._target, options=_OPTIONS)
        self._inbox = inbox_pb2_grpc.InboxStub(self._channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def read_welcome(self, hello: Hello, *, min_position: int) -> Welcome:
        """Reads the state of an inbox at ``min_position`` or later; raises WelcomeRefusedError."""
        request = inbox_pb2.SyncInboxRequest(
            # Named although the credentials do: the services check that both are the same user.
            user_id=hello.user_id,
            cursor=hello.cursor,
            limit=hello.limit,
            min_position=position_to_text(min_position),
        )
        try:
            answer = await self._inbox.SyncInbox(request, metadata=_credentials(hello), timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from None

        welcome = answer.welcome
        return Welcome(
            position=int(answer.position, 16),
            resume=_RESUMES[welcome.resume],
            unread_count=welcome.unread_count,
            items=[item_from_proto(item) for item in welcome.items],
            cursor=answer.cursor,
        )


def _credentials(hello: Hello) -> tuple[tuple[str, str]]:
    # Neither the client id nor the hash holds a colon: frames.py sees to that.
    return (basic_authorization(hello.client_id, hello.user_id, hello.user_hash),)


def _refusal(error: grpc.aio.AioRpcError) -> WelcomeRefusedError:
    code = error.code()
    if code in _REFUSED:
        return WelcomeRefusedError(CloseCode.REFUSED)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return WelcomeRefusedError(CloseCode.BAD_FRAME, FrameError(_reason(error), error.details() or code.name))
    if code not in _TRANSIENT:
        _log.warning("welcome_failed", code=code.name, details=error.details())
    return WelcomeRefusedError(CloseCode.UNAVAILABLE)


def _reason(error: grpc.aio.AioRpcError) -> str:
    """Gives the reason that the services state."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    if status is not None and any(detail.Unpack(info) for detail in status.details):
        return info.reason
    return error.code().name
