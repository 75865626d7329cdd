"""Asks the services, with the caller's own credentials, and turns their refusals into ours."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import grpc
import structlog
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from carillon.v1 import (
    environments_pb2,
    environments_pb2_grpc,
    inbox_pb2,
    inbox_pb2_grpc,
    preferences_pb2_grpc,
    users_pb2_grpc,
)
from gateway import asks
from gateway.closes import CloseCode
from gateway.fields import FrameError
from gateway.items import item_from_proto
from gateway.protocol import Welcome
from gateway.requests import (
    AddWebPush,
    DeletePreferences,
    GetEnvironment,
    GetPreferences,
    ListItems,
    PatchPreferences,
    RemoveWebPush,
    RenewToken,
)
from gateway.session import RequestRefusedError, SessionRefusedError
from services.kernel.auth import basic_authorization, bearer_authorization
from services.kernel.cluster_time import position_to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from gateway.frames import Hello
    from gateway.requests import Request
    from services.kernel.cursors import CursorSigner

DEADLINE_S = 10.0

_OPTIONS = (
    # A welcome of 500 items of 16 KiB.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    # Finds services that vanished without a word.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)

REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_CLOSES = {"TOKEN_EXPIRED": CloseCode.TOKEN_EXPIRED, "TOKEN_REVOKED": CloseCode.TOKEN_REVOKED}
"""What ends a session whose credentials are refused, by the reason; any other is REFUSED."""

TRANSIENT = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
_RESUMES = {inbox_pb2.INBOX_RESUME_FULL: "full", inbox_pb2.INBOX_RESUME_SNAPSHOT: "snapshot"}

_CAUSE = "INBOX_SNAPSHOT_CAUSE_"

_log = structlog.get_logger(__name__)


class ServicesClient:
    """A channel to the services, open inside of ``async with``.

    Args:
        url: Where they are: ``grpc://host:port``.
        cursors: Signs cursors as they do.
        deadline_s: How long a call may take.
    """

    def __init__(self, url: str, cursors: CursorSigner, *, deadline_s: float = DEADLINE_S) -> None:
        self._target = urlsplit(url).netloc
        self._cursors = cursors
        self._deadline_s = deadline_s

    async def __aenter__(self) -> Self:
        # Made here, as it belongs to the running loop; it connects at its first call.
        self._channel = grpc.aio.insecure_channel(self._target, options=_OPTIONS)
        self._inbox = inbox_pb2_grpc.InboxStub(self._channel)
        self._preferences = preferences_pb2_grpc.PreferencesStub(self._channel)
        self._environments = environments_pb2_grpc.EnvironmentsStub(self._channel)
        self._users = users_pb2_grpc.UsersStub(self._channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._channel.close()

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel, for calls whose request is its own credential."""
        return self._channel

    async def read_welcome(self, hello: Hello, *, min_position: int) -> Welcome:
        """Reads the state of an inbox at ``min_position`` or later; raises SessionRefusedError."""
        request = inbox_pb2.SyncInboxRequest(
            # Named although the credentials do: the services check that both are the same user.
            user_id=hello.user_id,
            cursor=hello.cursor,
            limit=hello.limit,
            min_position=position_to_text(min_position),
        )
        try:
            answer = await self._inbox.SyncInbox(request, **self.options(hello))
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from None

        welcome, user = answer.welcome, {"client_id": hello.client_id, "user_id": hello.user_id}
        cursor = self._cursors.verify(answer.cursor, **user)
        if cursor is None:
            _log.error("master_keys_differ", problem="CARILLON_MASTER_KEY is another one here than at the services")
            raise SessionRefusedError(CloseCode.UNAVAILABLE)

        return Welcome(
            position=int(answer.position, 16),
            incarnation=cursor.incarnation,
            cursor_at=lambda position: self._cursors.sign(replace(cursor, position=position), **user),
            resume=_RESUMES[welcome.resume],
            next_page_token=welcome.next_page_token,
            cause=inbox_pb2.InboxSnapshotCause.Name(welcome.cause).removeprefix(_CAUSE) if welcome.cause else "",
            unread_count=welcome.unread_count,
            items=[item_from_proto(item) for item in welcome.items],
        )

    async def ask(self, hello: Hello, request: Request) -> Mapping[str, Any]:
        """Gives the result of a request; raises RequestRefusedError, or SessionRefusedError for refused credentials."""
        options = self.options(hello)
        with refusals(request):
            if isinstance(request, ListItems):
                listed = await self._inbox.ListInbox(asks.list_to_proto(request, hello.user_id), **options)
                return asks.list_result(listed)
            if isinstance(request, RenewToken):
                # The cheapest call that a user may make: what it is asked with is what matters.
                counted = await self._inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=hello.user_id), **options)
                return asks.renew_result(counted, request)
            if isinstance(request, GetPreferences | PatchPreferences | DeletePreferences):
                return await self._ask_preferences(request, hello.user_id, options)
            if isinstance(request, GetEnvironment):
                found = await self._environments.GetEnvironment(environments_pb2.GetEnvironmentRequest(), **options)
                return asks.environment_result(found.environment)
            if isinstance(request, AddWebPush):
                addition = asks.add_web_push_to_proto(request, hello.user_id)
                return asks.web_push_result(await self._users.IdentifyUser(addition, **options))
            if isinstance(request, RemoveWebPush):
                removal = asks.remove_web_push_to_proto(request, hello.user_id)
                return asks.web_push_result(await self._users.IdentifyUser(removal, **options))
            marked = await self._inbox.MarkInbox(asks.mark_to_proto(request, hello.user_id), **options)
            return asks.mark_result(marked)

    def options(self, hello: Hello) -> dict[str, Any]:
        """Gives what every call for the user of a hello has: their credentials, and a deadline."""
        return {"metadata": _credentials(hello), "timeout": self._deadline_s}

    async def _ask_preferences(
        self, request: GetPreferences | PatchPreferences | DeletePreferences, user_id: str, options: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        match request:
            case GetPreferences():
                asked = asks.get_preferences_to_proto(request, user_id)
                return asks.get_preferences_result(await self._preferences.GetPreferences(asked, **options))
            case PatchPreferences():
                patch = asks.patch_preferences_to_proto(request, user_id)
                patched = await self._preferences.PatchPreferences(patch, **options)
                return asks.preferences_result(patched.preferences)
            case DeletePreferences():
                deletion = asks.delete_preferences_to_proto(request, user_id)
                left = await self._preferences.DeletePreferences(deletion, **options)
                return asks.preferences_result(left.preferences)


@contextmanager
def refusals(request: Request) -> Iterator[None]:
    """Turns the services' refusal of a request into RequestRefusedError, or SessionRefusedError for credentials."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() in REFUSED and isinstance(request, RenewToken):
            refused = FrameError(reason_of(error), error.details() or error.code().name, field="token")
            raise RequestRefusedError(refused) from None
        if error.code() in REFUSED:
            raise SessionRefusedError(_close_code(error)) from None
        raise RequestRefusedError(_request_error(error)) from None


def _credentials(hello: Hello) -> tuple[tuple[str, str]]:
    if hello.token:
        return (bearer_authorization(hello.token.token),)
    # Neither the client id nor the hash holds a colon: frames.py sees to that.
    return (basic_authorization(hello.client_id, hello.user_id, hello.user_hash),)


def _refusal(error: grpc.aio.AioRpcError) -> SessionRefusedError:
    code = error.code()
    if code in REFUSED:
        return SessionRefusedError(_close_code(error))
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return SessionRefusedError(CloseCode.BAD_FRAME, FrameError(reason_of(error), error.details() or code.name))
    if code not in TRANSIENT:
        _log.warning("welcome_failed", code=code.name, details=error.details())
    return SessionRefusedError(CloseCode.UNAVAILABLE)


def _close_code(error: grpc.aio.AioRpcError) -> CloseCode:
    return _CLOSES.get(reason_of(error), CloseCode.REFUSED)


def _request_error(error: grpc.aio.AioRpcError) -> FrameError:
    code = error.code()
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        wrong = error_details_pb2.BadRequest()
        path = wrong.field_violations[0].field if _unpack(error, wrong) and wrong.field_violations else ""
        return FrameError(reason_of(error), error.details() or code.name, field=asks.frame_path(path))
    if code in TRANSIENT:
        return FrameError("UNAVAILABLE", "the services or the database did not answer in time; ask again in a moment")
    _log.warning("request_failed", code=code.name, details=error.details())
    return FrameError("INTERNAL", "the services failed")


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Gives the reason that the services state."""
    info = error_details_pb2.ErrorInfo()
    return info.reason if _unpack(error, info) else error.code().name


def _unpack(error: grpc.aio.AioRpcError, detail: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> bool:
    """Fills the detail from those of the error; tells whether it is there."""
    status = rpc_status.from_call(error)
    return status is not None and any(one.Unpack(detail) for one in status.details)
