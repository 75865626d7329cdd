from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import channel_pb2, inbox_pb2, preferences_pb2, sender_pb2, users_pb2
from tests.contract.services.requests import send_request
from tests.contract.services.world import Tenant, reason, run_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="session")

USER = "userId_123abc"
ANSWER_S = 15


class Stream:
    """An open stream of one user's inbox."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.cursor = ""

    async def take(self) -> inbox_pb2.WatchInboxResponse:
        """Gives the next response."""
        async with asyncio.timeout(ANSWER_S):
            response = await self.call.read()
        assert isinstance(response, inbox_pb2.WatchInboxResponse), "the stream has ended"
        self.cursor = response.cursor or self.cursor
        return response

    async def refused(self) -> tuple[grpc.StatusCode, str]:
        """Gives what the stream ends with; what comes before it is passed over."""
        try:
            async with asyncio.timeout(ANSWER_S):
                while await self.call.read() is not grpc.aio.EOF:
                    pass
        except grpc.aio.AioRpcError as error:
            return error.code(), reason(error)
        raise AssertionError("the stream has ended without an error")


@asynccontextmanager
async def watching(tenant: Tenant, cursor: str = "") -> AsyncIterator[Stream]:
    """Opens a stream as the user."""
    caller = tenant.user(USER)
    call = caller.inbox.WatchInbox(inbox_pb2.WatchInboxRequest(cursor=cursor), timeout=60)
    try:
        yield Stream(call)
    finally:
        call.cancel()


async def test_every_change_is_streamed_with_its_cursor(tenant: Tenant) -> None:
    """First the welcome, then what appears, is marked, is answered and is taken back, each with its badge."""
    async with watching(tenant) as stream:
        first = await stream.take()
        assert (first.welcome.resume, list(first.welcome.items)) == (inbox_pb2.INBOX_RESUME_SNAPSHOT, [])

        item_id = await send(tenant)
        created = await stream.take()
        assert (created.created.item.id, created.unread_change) == (item_id, 1)
        assert created.created.item.content.title

        await mark(tenant, item_id, inbox_pb2.INBOX_MARK_OPENED, reply="thanks")
        opened = await stream.take()
        assert (list(opened.updated.ids), opened.unread_change) == ([item_id], -1)
        assert list(opened.updated.revs) > [created.created.item.rev]
        assert opened.updated.set.HasField("opened_time")
        assert [reply.text for reply in opened.updated.set.replies] == ["thanks"]
        # What is false cannot be told from what is absent.
        assert list(opened.updated.unset) == ["unread"]

        await retract(tenant)
        retracted = await stream.take()
        assert (list(retracted.retracted.ids), retracted.unread_change) == ([item_id], 0)
        cursors = [response.cursor for response in (first, created, opened, retracted)]
        assert len(set(cursors)) == 4


async def test_a_stream_resumes_by_its_last_cursor(tenant: Tenant) -> None:
    """Who comes back is told what changed meanwhile, and then what follows."""
    async with watching(tenant) as stream:
        await stream.take()
        await send(tenant)
        await stream.take()
    missed = await send(tenant)

    async with watching(tenant, stream.cursor) as stream:
        welcome = (await stream.take()).welcome
        assert (welcome.resume, welcome.unread_count) == (inbox_pb2.INBOX_RESUME_FULL, 2)
        assert missed in {item.id for item in welcome.items}
        assert (await stream_next(tenant, stream)).HasField("created")


async def test_the_cursor_of_a_stream_is_that_of_every_other_way(tenant: Tenant) -> None:
    """SyncInbox takes it, and its own opens a stream."""
    async with watching(tenant) as stream:
        await stream.take()
        item_id = await send(tenant)
        await stream.take()

    request = inbox_pb2.SyncInboxRequest(cursor=stream.cursor)
    synced = await tenant.user(USER).inbox.SyncInbox(request)
    assert synced.welcome.resume == inbox_pb2.INBOX_RESUME_FULL
    async with watching(tenant, synced.cursor) as stream:
        welcome = (await stream.take()).welcome
        assert {item.id for item in welcome.items} <= {item_id}
        assert welcome.resume == inbox_pb2.INBOX_RESUME_FULL


async def test_a_backend_may_watch_any_user_and_a_user_only_themselves(tenant: Tenant) -> None:
    """As with every call of the inbox."""
    call = tenant.backend.inbox.WatchInbox(inbox_pb2.WatchInboxRequest(user_id=USER))
    assert (await Stream(call).take()).HasField("welcome")
    call.cancel()

    other = tenant.user(USER).inbox.WatchInbox(inbox_pb2.WatchInboxRequest(user_id="somebody else"))
    assert await Stream(other).refused() == (grpc.StatusCode.PERMISSION_DENIED, "OTHER_USER")
    nobody = tenant.backend.inbox.WatchInbox(inbox_pb2.WatchInboxRequest(limit=-1))
    assert await Stream(nobody).refused() == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_a_change_of_preferences_is_streamed(tenant: Tenant) -> None:
    """Whatever way it was made, and without what was chosen: a page reads that anew."""
    off = preferences_pb2.Preference(
        notification_id="hello_world",
        channel=channel_pb2.CHANNEL_EMAIL,
        delivery_option=channel_pb2.DELIVERY_OPTION_OFF,
    )
    async with watching(tenant) as stream:
        await stream.take()
        await tenant.backend.preferences.SetPreferences(
            preferences_pb2.SetPreferencesRequest(user_id=USER, preferences=[off])
        )
        assert (await stream.take()).HasField("preferences_changed")
        await tenant.user(USER).preferences.DeletePreferences(
            preferences_pb2.DeletePreferencesRequest(notification_id="hello_world")
        )
        assert (await stream.take()).HasField("preferences_changed")


async def test_a_stream_of_a_deleted_user_ends(tenant: Tenant) -> None:
    """There is nothing to watch any more."""
    async with watching(tenant) as stream:
        await stream.take()
        await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=USER))

        assert await stream.refused() == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")


async def test_a_server_that_drains_sends_its_streams_away(mongodb_uri: str, tenant: Tenant) -> None:
    """They are told to come back, which another server then serves, and the drain does not wait for them."""
    async with run_world(mongodb_uri) as other:
        stream = Stream(
            Tenant(other, tenant.client_id, tenant.secret).user(USER).inbox.WatchInbox(inbox_pb2.WatchInboxRequest())
        )
        await stream.take()
        ended = asyncio.ensure_future(stream.refused())
        other.stop.set()

        assert await ended == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    async with watching(tenant, stream.cursor) as again:
        assert (await again.take()).welcome.resume == inbox_pb2.INBOX_RESUME_FULL


async def send(tenant: Tenant) -> str:
    """Sends, and gives the id of the item."""
    (answer,) = await tenant.send(send_request("hello_world", user={"id": USER}, merge_tags={"firstName": "x"}))
    return str(answer.item_id)


async def stream_next(tenant: Tenant, stream: Stream) -> inbox_pb2.WatchInboxResponse:
    """Sends, and gives what the stream tells of it."""
    await send(tenant)
    return await stream.take()


async def retract(tenant: Tenant) -> None:
    """Takes back what was sent."""
    await tenant.backend.sender.Retract(sender_pb2.RetractRequest(user_id=USER, notification_id="hello_world"))


async def mark(tenant: Tenant, item_id: str, mark: Any, *, reply: str = "") -> None:
    """Marks one item."""
    items = inbox_pb2.ItemIds(ids=[item_id])
    request = inbox_pb2.MarkInboxRequest(user_id=USER, items=items, set_marks=[mark], reply=reply)
    await tenant.backend.inbox.MarkInbox(request)
