"""The RPCs of carillon.v1.Inbox."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from carillon.v1 import inbox_pb2, inbox_pb2_grpc
from services.inbox import convert
from services.inbox.model import Selection
from services.kernel import validation
from services.kernel.auth import current_principal, resolve_user_id
from services.kernel.clock import from_milliseconds
from services.kernel.cluster_time import position_from_text, position_to_text
from services.kernel.paging import decode_page_token
from services.kernel.validation import Violations
from services.kernel.wire import from_timestamp
from services.live.changes import UserKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from services.inbox.marks import MarkStore
    from services.inbox.store import InboxStore
    from services.inbox.syncing import InboxSync
    from services.inbox.watching import Watching
    from services.kernel.clock import Clock
    from services.kernel.interceptors import Context

USER_METHODS = ("ListInbox", "CountUnread", "MarkInbox", "SyncInbox", "WatchInbox")

_MAX_SKIP = 10_000
_DEFAULT_LIMIT = 50
_MAX_LIMIT = 500


class InboxServicer(inbox_pb2_grpc.InboxServicer):
    """Serves inboxes: everybody's to a backend, their own to a user."""

    def __init__(
        self, inbox: InboxStore, marks: MarkStore, sync: InboxSync, watching: Watching, *, clock: Clock
    ) -> None:
        self._inbox = inbox
        self._marks = marks
        self._sync = sync
        self._watching = watching
        self._clock = clock

    async def ListInbox(self, request: inbox_pb2.ListInboxRequest, context: Context) -> inbox_pb2.ListInboxResponse:
        """Lists items, the newest first."""
        principal = current_principal()
        violations = Violations()
        selection = Selection(
            client_id=principal.client_id,
            user_id=resolve_user_id(principal, request.user_id, violations),
            boxes=convert.boxes_from_proto(request.view, violations),
            narrowed=convert.filter_from_proto(request.filter, violations),
            before=from_timestamp(request.before_time, violations, field="before_time")
            if request.HasField("before_time")
            else None,
        )
        page_size = validation.page_size(request.page_size, violations)
        if not 0 <= request.skip <= _MAX_SKIP:
            violations.add("skip", f"must be 0 to {_MAX_SKIP}, but is {request.skip}", "OUT_OF_RANGE")
        if request.skip and request.page_token:
            violations.add("skip", "must not be given with a page_token", "CONFLICT")
        violations.raise_if_any()

        position = decode_page_token(request.page_token, convert.page_filters(selection), types=(int, str))
        items, unread_count, total_count = await asyncio.gather(
            self._inbox.page(selection, after=_after(position), skip=request.skip, limit=page_size + 1),
            self._inbox.count_unread(selection.client_id, selection.user_id),
            self._inbox.count(selection.client_id, selection.user_id, selection.boxes),
        )
        page = items[:page_size]
        return inbox_pb2.ListInboxResponse(
            items=map(convert.item_to_proto, page),
            next_page_token=convert.page_token_after(page[-1], selection) if len(items) > page_size else "",
            unread_count=unread_count,
            total_count=total_count,
        )

    async def CountUnread(
        self, request: inbox_pb2.CountUnreadRequest, context: Context
    ) -> inbox_pb2.CountUnreadResponse:
        """Counts unread items."""
        principal = current_principal()
        violations = Violations()
        user_id = resolve_user_id(principal, request.user_id, violations)
        violations.raise_if_any()

        count = await self._inbox.count_unread(principal.client_id, user_id)
        return inbox_pb2.CountUnreadResponse(unread_count=count)

    async def MarkInbox(self, request: inbox_pb2.MarkInboxRequest, context: Context) -> inbox_pb2.MarkInboxResponse:
        """Marks items, by id or all up to a time."""
        principal, now = current_principal(), self._clock()
        violations = Violations()
        client_id, user_id = principal.client_id, resolve_user_id(principal, request.user_id, violations)
        ids = convert.ids_from_proto(request.items, violations) if request.HasField("items") else ()
        selection = (
            convert.until_from_proto(request.until, client_id, user_id, violations)
            if request.HasField("until")
            else None
        )
        if not request.WhichOneof("target"):
            violations.add("items", "must be given, or until: which items are meant", "REQUIRED")
        marking = convert.marking_from_proto(request, violations)
        mark_time = now
        if request.HasField("mark_time"):
            mark_time = min(now, from_timestamp(request.mark_time, violations, field="mark_time"))
        violations.raise_if_any()

        if selection:
            changed_count = await self._marks.mark_selected(selection, marking, mark_time)
        else:
            changed_count = await self._marks.mark(client_id, user_id, ids, marking, mark_time)
        unread_count = await self._inbox.count_unread(client_id, user_id)
        return inbox_pb2.MarkInboxResponse(changed_count=changed_count, unread_count=unread_count)

    async def SyncInbox(self, request: inbox_pb2.SyncInboxRequest, context: Context) -> inbox_pb2.SyncInboxResponse:
        """Brings a client up to date, at one moment."""
        violations = Violations()
        key, limit = _whose(request, violations), _limit(request, violations)
        min_position = position_from_text(request.min_position or position_to_text(0))
        if min_position is None:
            violations.add("min_position", "must be 16 hex digits, as an answer gave them")
        violations.raise_if_any()

        synced = await self._sync.read(*key, cursor=request.cursor, limit=limit, min_position=min_position or 0)
        return inbox_pb2.SyncInboxResponse(
            welcome=convert.welcome_to_proto(synced.state, synced.cause, key),
            cursor=synced.cursor,
            position=position_to_text(synced.state.position),
        )

    async def WatchInbox(
        self, request: inbox_pb2.WatchInboxRequest, context: Context
    ) -> AsyncIterator[inbox_pb2.WatchInboxResponse]:
        """Streams an inbox."""
        violations = Violations()
        key, limit = _whose(request, violations), _limit(request, violations)
        violations.raise_if_any()

        stream = self._watching.stream(key, current_principal(), cursor=request.cursor, limit=limit)
        async with aclosing(stream):
            async for response in stream:
                yield response


def _whose(request: inbox_pb2.SyncInboxRequest | inbox_pb2.WatchInboxRequest, violations: Violations) -> UserKey:
    principal = current_principal()
    return UserKey(principal.client_id, resolve_user_id(principal, request.user_id, violations))


def _limit(request: inbox_pb2.SyncInboxRequest | inbox_pb2.WatchInboxRequest, violations: Violations) -> int:
    if request.limit < 0:
        violations.add("limit", f"must not be negative, but is {request.limit}; 0 means 50", "OUT_OF_RANGE")
    return min(request.limit or _DEFAULT_LIMIT, _MAX_LIMIT)


def _after(position: tuple[str | int, ...] | None) -> tuple[datetime, str] | None:
    if position is None:
        return None
    milliseconds, item_id = position
    # What no item's date can be stands before them all; a token is input like any other.
    limited = min(max(int(milliseconds), 0), 253_402_300_799_999)
    return from_milliseconds(limited), str(item_id)
