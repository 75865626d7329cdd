"""Who may call what, and what one environment learns of another: nothing."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import grpc
import pytest

from carillon.v1 import inbox_pb2, notifications_pb2, sender_pb2, sub_notifications_pb2, user_pb2, users_pb2
from services.kernel.auth import basic_authorization, bearer_authorization, user_hash
from tests.contract.services.methods import FOR_USERS, METHODS, OPEN, Method
from tests.contract.services.refusals import Refusal, refusal
from tests.contract.services.requests import USER, send_request
from tests.contract.services.world import Caller
from tests.tokens import mint

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

Metadata = list[tuple[str, str]]

MALFORMED: dict[str, Metadata] = {
    "another-scheme": [("authorization", "Digest x")],
    "no-base64": [("authorization", "Basic %%%")],
    "no-UTF-8": [("authorization", "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode())],
    "no-colon": [("authorization", "Basic " + base64.b64encode(b"dev").decode())],
    "no-secret": [basic_authorization("dev", "")],
    "no-client": [basic_authorization("", "secret")],
    "no-user": [basic_authorization("dev", "", "hash")],
    "no-user-and-no-hash": [basic_authorization("dev", "", "")],
    "a-user-that-cannot-be": [basic_authorization("dev", "a\nb", "hash")],
    "half-a-key": [("authorization", "Bearer dev.")],
    "no-token": [("authorization", "Bearer a.b.c")],
    "a-token-as-api-token": [("api-token", mint("secret" * 8, "dev", USER))],
    "half-a-key-as-api-token": [("api-token", "dev")],
}


def in_metadata(tenant: Tenant) -> dict[str, Metadata]:
    """Gives every form of the tenant's own credentials."""
    key = f"{tenant.client_id}.{tenant.secret}"
    return {
        "basic": [basic_authorization(tenant.client_id, tenant.secret)],
        "bearer": [("authorization", f"Bearer {key}")],
        "lower-case-bearer": [("authorization", f"bearer {key}")],
        "api-token": [("api-token", key)],
    }


async def count(tenant: Tenant, metadata: Metadata, user_id: str = USER) -> int:
    """Counts unread items with the given metadata."""
    answer = await Caller(tenant.channel, metadata).inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=user_id))
    return int(answer.unread_count)


@pytest.mark.parametrize("method", [one for one in METHODS if one.name not in OPEN], ids=lambda method: method.name)
async def test_without_credentials_nothing_answers(tenant: Tenant, method: Method) -> None:
    """Every method, built or not, is UNAUTHENTICATED without credentials, and says how to give them."""
    refused = await refusal(method.call(tenant.channel, b""))

    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_MISSING")
    assert "Basic" in refused.message


@pytest.mark.parametrize("method", [one for one in METHODS if one.name in OPEN], ids=lambda method: method.name)
@pytest.mark.parametrize("metadata", [[], [basic_authorization("nobody", "x")], [("authorization", "Digest x")]])
async def test_a_token_in_the_request_is_the_only_credential(
    tenant: Tenant, method: Method, metadata: Metadata
) -> None:
    """What is opened by a token is refused for want of that, whatever other credentials come, right ones too."""
    for given in (metadata, [basic_authorization(tenant.client_id, tenant.secret)]):
        refused = await refusal(method.call(tenant.channel, b"", given))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, OPEN[method.name])


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_credentials_say_what_is_right(tenant: Tenant, name: str) -> None:
    """Credentials in no known form are UNAUTHENTICATED as such."""
    refused = await refusal(count(tenant, MALFORMED[name]))

    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_MALFORMED")


async def test_every_wrong_credential_gets_the_same_answer(tenant: Tenant) -> None:
    """A wrong secret, an unknown client and a wrong hash are told the same, so that nobody learns what exists."""
    wrong: list[Metadata] = [
        [basic_authorization(tenant.client_id, "wrong")],
        [basic_authorization("nobody", tenant.secret)],
        [basic_authorization("no/client", tenant.secret)],
        [("api-token", f"{tenant.client_id}.wrong")],
        [basic_authorization(tenant.client_id, USER, "")],
        [basic_authorization("nobody", USER, "")],
        [basic_authorization(tenant.client_id, USER, "wrong")],
        [basic_authorization(tenant.client_id, USER, user_hash("wrong", USER))],
        [basic_authorization(tenant.client_id, USER, user_hash(tenant.secret, "another"))],
        [basic_authorization("nobody", USER, user_hash(tenant.secret, USER))],
        [bearer_authorization(mint("wrong" * 8, tenant.client_id, USER))],
        [bearer_authorization(mint(tenant.secret, "nobody", USER))],
    ]

    answers = {await refusal(count(tenant, metadata)) for metadata in wrong}

    (refused,) = answers
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def test_every_form_of_the_right_credentials_is_taken(tenant: Tenant) -> None:
    """Client id and secret open as Basic, and as an API key in either header."""
    await tenant.send(send_request())

    assert {name: await count(tenant, metadata) for name, metadata in in_metadata(tenant).items()} == {
        "basic": 1,
        "bearer": 1,
        "lower-case-bearer": 1,
        "api-token": 1,
    }


@pytest.mark.parametrize("user_id", ["a:b", ":a:", "Zoë 🦀", "t-1:secret", "x" * 256])
async def test_a_user_with_any_id_reaches_their_own(tenant: Tenant, user_id: str) -> None:
    """A user's hash opens their own inbox and profile, whatever their id is made of."""
    await tenant.send(send_request(user={"id": user_id}))
    own = tenant.user(user_id)

    assert (await own.inbox.CountUnread(inbox_pb2.CountUnreadRequest())).unread_count == 1
    assert (await own.users.GetUser(users_pb2.GetUserRequest(user_id=user_id))).user.id == user_id
    assert (await own.users.IdentifyUser(users_pb2.IdentifyUserRequest())).user.id == user_id


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_a_user_may_call_what_is_for_users(tenant: Tenant, method: Method) -> None:
    """A user is let through to the methods that the contract has for users; all others are BACKEND_ONLY."""
    credentials = [basic_authorization(tenant.client_id, USER, user_hash(tenant.secret, USER))]
    try:
        await method.call(tenant.channel, b"", credentials)
    except grpc.aio.AioRpcError as error:
        denied = error.code() is grpc.StatusCode.PERMISSION_DENIED
    else:
        denied = False

    assert denied == (method.name not in FOR_USERS | OPEN.keys())
    if denied:
        refused = await refusal(method.call(tenant.channel, b"\xff", credentials))
        assert refused.reason == "BACKEND_ONLY"


async def test_a_user_reaches_nobody_else(tenant: Tenant) -> None:
    """A user who names another is PERMISSION_DENIED, and learns nothing of whether the other exists."""
    await tenant.send(send_request(user={"id": "existing"}))
    own = tenant.user(USER)
    calls: list[Callable[[str], object]] = [
        lambda other: own.users.GetUser(users_pb2.GetUserRequest(user_id=other)),
        lambda other: own.users.IdentifyUser(users_pb2.IdentifyUserRequest(user=user_pb2.User(id=other))),
        lambda other: own.inbox.ListInbox(inbox_pb2.ListInboxRequest(user_id=other)),
        lambda other: own.inbox.CountUnread(inbox_pb2.CountUnreadRequest(user_id=other)),
        lambda other: own.inbox.SyncInbox(inbox_pb2.SyncInboxRequest(user_id=other)),
    ]

    for call in calls:
        refused = await refusal(call("existing"))  # type: ignore[arg-type] # a call is awaitable
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "OTHER_USER")
        assert refused == await refusal(call("nobody"))  # type: ignore[arg-type] # as above


async def test_another_environment_is_as_if_it_were_not_there(tenant: Tenant, world: World) -> None:
    """What another environment has is answered exactly as what nobody has."""
    stranger = await world.tenant()
    (sent,) = await tenant.send(send_request(sub_notification_id="part", group_id="g"))
    backend = stranger.backend

    async def refused(call: Callable[[str], object], theirs: str) -> tuple[Refusal, Refusal]:
        found = await refusal(call(theirs))  # type: ignore[arg-type] # a call is awaitable
        missing = await refusal(call("n" * len(theirs)))  # type: ignore[arg-type] # as above
        return found, missing

    for call, theirs in (
        (lambda name: backend.sender.Send(send_request(name)), "order_tracking"),
        (
            lambda name: backend.notifications.GetNotification(
                notifications_pb2.GetNotificationRequest(notification_id=name)
            ),
            "order_tracking",
        ),
        (lambda name: backend.users.GetUser(users_pb2.GetUserRequest(user_id=name)), USER),
        (
            lambda name: backend.sub_notifications.DeleteSubNotification(
                sub_notifications_pb2.DeleteSubNotificationRequest(
                    notification_id="order_tracking", sub_notification_id=name
                )
            ),
            "part",
        ),
    ):
        found, missing = await refused(call, theirs)
        assert found.code is grpc.StatusCode.NOT_FOUND
        assert found.message.replace(theirs, "?") == missing.message.replace("n" * len(theirs), "?")

    assert await stranger.items(USER) == []
    for narrowed in ({"notification_id": "order_tracking"}, {"tracking_ids": [sent.tracking_id]}, {"group_id": "g"}):
        request = sender_pb2.RetractRequest(user_id=USER, cancel_deliveries=True, **narrowed)
        assert await backend.sender.Retract(request) == sender_pb2.RetractResponse()
    assert len(await tenant.items(USER)) == 1
