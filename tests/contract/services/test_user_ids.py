"""Ids that no user can have, in every place where one can come in."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import (
    broadcasts_pb2,
    environments_pb2,
    inbox_pb2,
    messages_pb2,
    notifications_pb2,
    preferences_pb2,
    sender_pb2,
    sub_notifications_pb2,
    users_pb2,
)
from services.kernel.auth import basic_authorization, bearer_authorization, sha256_hash, user_hash
from tests.contract.services.bad_users import INVISIBLE
from tests.contract.services.methods import BUILT, METHODS, Method
from tests.contract.services.refusals import refusal
from tests.length_extension import extended
from tests.tokens import mint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor

    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

FILES: tuple[Any, ...] = (
    broadcasts_pb2,
    environments_pb2,
    inbox_pb2,
    messages_pb2,
    notifications_pb2,
    preferences_pb2,
    sender_pb2,
    sub_notifications_pb2,
    users_pb2,
)
INPUTS: dict[str, Descriptor] = {
    f"{service.name}/{method.name}": method.input_type
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
# These take any: a filter finds nothing by it, and a change of a message leaves whom it is for.
ANY = {("Messages/ListMessages", "filter.user_ids"), ("Sender/UpdateSchedule", "request.user.id")}


def paths(kind: Descriptor, seen: tuple[Descriptor, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Gives where in a message the ids of users stand."""
    for field in kind.fields:
        if field.name in ("user_id", "user_ids") or (kind.name, field.name) == ("User", "id"):
            yield (field.name,)
        inner = field.message_type
        if inner and inner not in seen and inner.full_name.startswith("carillon."):
            yield from ((field.name, *path) for path in paths(inner, (*seen, inner)))


PLACES = [
    (method, ".".join(path))
    for method in METHODS
    if method.name in BUILT
    for path in paths(INPUTS[method.name])
    if (method.name, ".".join(path)) not in ANY
]


def request_with(kind: Any, path: str, user_id: str) -> bytes:
    """Makes a request with nothing but the id of a user at a path."""
    name, _, rest = path.partition(".")
    field = kind.fields_by_name[name]
    value = request_with(field.message_type, rest, user_id) if rest else user_id.encode()
    # A text and a message look the same on the wire: the field's number with the type of what has a length.
    return _varint(field.number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)


async def test_every_place_is_known() -> None:
    """The contract has the places that are tried here, so that a new one is tried too."""
    assert {(method.name, path) for method, path in PLACES} >= {
        ("Sender/Send", "user.id"),
        ("Users/BatchUpsertUsers", "users.id"),
        ("Preferences/SetPreferences", "user_id"),
        ("Notifications/PreviewNotification", "user.id"),
    }
    assert len(PLACES) >= 18


@pytest.mark.parametrize("character", INVISIBLE)
@pytest.mark.parametrize(("method", "path"), PLACES, ids=lambda value: getattr(value, "name", value))
async def test_no_call_takes_such_an_id(tenant: Tenant, method: Method, path: str, character: str) -> None:
    """A character that a person cannot see is a violation at the field, whatever else is wrong; nothing is stored."""
    before = await tenant.stored()
    request = request_with(INPUTS[method.name], path, INVISIBLE[character])
    credentials = [basic_authorization(tenant.client_id, tenant.secret)]

    if method.name == "Users/BatchUpsertUsers":
        answer = users_pb2.BatchUpsertUsersResponse.FromString(await method.call(tenant.channel, request, credentials))
        violations = [(one.field, one.reason) for one in answer.results[0].failure.field_violations]
        assert violations == [("user.id", "INVALID_CHARACTERS")]
    else:
        refused = await refusal(method.call(tenant.channel, request, credentials))
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (path, "INVALID_CHARACTERS") in refused.violations
    assert await tenant.stored() == before


@pytest.mark.parametrize("character", INVISIBLE)
async def test_no_credentials_have_such_an_id(tenant: Tenant, character: str) -> None:
    """A hash of either kind, an empty one and a token are malformed with it, with the right proof too."""
    user_id = INVISIBLE[character]
    proofs = [make(tenant.secret, user_id) for make in (user_hash, sha256_hash)]
    given = [
        *(basic_authorization(tenant.client_id, user_id, proof) for proof in (*proofs, "")),
        bearer_authorization(mint(tenant.secret, tenant.client_id, user_id)),
    ]

    for authorization in given:
        refused = await refusal(_count(tenant, authorization))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_MALFORMED")


async def test_an_extension_of_a_users_hash_opens_nothing(tenant: Tenant) -> None:
    """Who has bob's bare hash makes that of a longer id without the secret, and can hand it in nowhere."""
    known = sha256_hash(tenant.secret, "bob")
    glue, digest = extended(base64.b64decode(known), len(tenant.secret) + 3, b"x")
    user_id, proof = b"bob" + glue + b"x", base64.b64encode(digest)
    assert await _count(tenant, basic_authorization(tenant.client_id, "bob", known)) == 0

    for given in (user_id, user_id.decode("latin-1").encode(), user_id.decode(errors="ignore").encode()):
        basic = base64.b64encode(tenant.client_id.encode() + b":" + given + b":" + proof).decode()
        refused = await refusal(_count(tenant, ("authorization", f"Basic {basic}")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_MALFORMED")


async def test_a_filter_finds_nothing_by_such_an_id(tenant: Tenant) -> None:
    """The log may be asked for it: nobody has it, so nothing is found."""
    request = messages_pb2.ListMessagesRequest(filter=messages_pb2.MessageFilter(user_ids=INVISIBLE.values()))

    assert list((await tenant.backend.messages.ListMessages(request)).messages) == []


async def _count(tenant: Tenant, authorization: tuple[str, str]) -> int:
    method = next(one for one in METHODS if one.name == "Inbox/CountUnread")
    metadata = [authorization, ("carillon-protocol", "notificationapi")]
    answer = await method.call(tenant.channel, b"", metadata)
    return inbox_pb2.CountUnreadResponse.FromString(answer).unread_count
