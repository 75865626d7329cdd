"""Environments: whatever is called in one, nothing of another is shown, changed or told to its browsers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import descriptor_pool, message_factory

from services.kernel.auth import basic_authorization, user_hash
from tests.contract.live.isolation import CASES, USER_ID, USER_IDS, Case, Side, browser_of, fill, send
from tests.contract.services.methods import FOR_USERS, METHODS, Method
from tests.contract.services.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message

    from tests.contract.live.world import Browser, Live

    Metadata = Sequence[tuple[str, str]]

pytestmark = pytest.mark.asyncio(loop_scope="session")

# More in the other, so that what counts both sides counts more than there is.
OWN_MESSAGES, OTHER_MESSAGES = 3, 5
TRIED = [
    (method, case, f"{method.name}-{number}")
    for method in METHODS
    for number, case in enumerate(CASES.get(method.name, ()))
]
BY_BACKENDS = [pytest.param(method, case, id=name) for method, case, name in TRIED]
BY_USERS = [pytest.param(method, case, id=name) for method, case, name in TRIED if method.name in FOR_USERS]


@pytest_asyncio.fixture(loop_scope="session")
async def own(live: Live) -> Side:
    """Gives the environment that calls are made in."""
    return await fill(await live.world.tenant(), "of-A", messages=OWN_MESSAGES)


@pytest_asyncio.fixture(loop_scope="session")
async def other(live: Live) -> Side:
    """Gives the other one."""
    return await fill(await live.world.tenant(), "of-B", messages=OTHER_MESSAGES)


async def test_every_method_is_tried() -> None:
    """The table has no method that the contract lacks; what it lacks itself the next test finds."""
    assert set(CASES) <= {method.name for method in METHODS}


@pytest.mark.parametrize("method", [method for method in METHODS if method.name not in CASES], ids=lambda m: m.name)
async def test_a_method_that_is_not_tried_does_not_work_yet(own: Side, method: Method) -> None:
    """A method without a case here is UNIMPLEMENTED: one that is built and was forgotten fails."""
    credentials = [basic_authorization(own.tenant.client_id, own.tenant.secret)]
    refused = await refusal(method.call(own.tenant.channel, b"", credentials))

    assert refused.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(("method", "case"), BY_BACKENDS)
async def test_a_backend_reaches_its_own_alone(live: Live, own: Side, other: Side, method: Method, case: Case) -> None:
    """A backend is shown nothing of the other environment, and changes nothing there, not even for open browsers."""
    credentials = [basic_authorization(own.tenant.client_id, own.tenant.secret)]

    await try_call(live, own, other, method, case, credentials)


@pytest.mark.parametrize(("method", "case"), BY_USERS)
async def test_a_user_reaches_its_own_alone(live: Live, own: Side, other: Side, method: Method, case: Case) -> None:
    """A user is nobody in the other environment, where somebody has the same id."""
    credentials = [basic_authorization(own.tenant.client_id, USER_ID, user_hash(own.tenant.secret, USER_ID))]

    await try_call(live, own, other, method, case, credentials)


async def try_call(live: Live, own: Side, other: Side, method: Method, case: Case, credentials: Metadata) -> None:
    """Makes one call and looks at the other environment: its documents, the answer, and what its browser is told."""
    async with live.browser(other.tenant, USER_ID) as browser:
        before, shown, unread_count = await documents(live, other), dict(browser.items), browser.unread_count
        assert len(shown) == unread_count == OTHER_MESSAGES
        request = case.request(own, other).SerializeToString()

        if case.refused:
            refused = await refusal(method.call(own.tenant.channel, request, credentials))
            assert refused.reason == case.refused
            answer = refused.message.encode()
        else:
            answer = await method.call(own.tenant.channel, request, credentials)

        assert b"of-B" not in answer
        if not case.refused:
            assert not any(tracking_id.encode() in answer for tracking_id in other.tracking_ids)
            assert max(counts(decode(method, answer)), default=0) <= OWN_MESSAGES
        if case.shows:
            assert b"of-A" in answer
        assert await documents(live, other) == before

        # Events come in order: after this one has come, so would have what was before it.
        (sent,) = await other.tenant.send(send(other.mark, "the next"))
        await browser.take_until(sent.item_id)
        assert {item_id: browser.items[item_id] for item_id in shown} == shown
        assert (set(browser.items), browser.unread_count) == ({*shown, sent.item_id}, unread_count + 1)


async def test_a_socket_reaches_its_own_alone(live: Live, own: Side, other: Side) -> None:
    """What a browser asks for is its own; marks with the ids of the other environment change nothing there."""
    before = await documents(live, other)
    async with live.browser(own.tenant, USER_ID) as browser, live.browser(other.tenant, USER_ID) as stranger:
        assert sorted(browser.items) == sorted(own.tracking_ids)
        assert sorted(stranger.items) == sorted(other.tracking_ids)

        listed = await browser.ask("list")
        marked = await browser.ask("mark", ids=list(other.tracking_ids), set=["CLICKED", "ARCHIVED"])

        assert sorted(item["id"] for item in listed["items"]) == sorted(own.tracking_ids)
        assert (marked["type"], marked["changed_count"]) == ("result", 0)
        assert await documents(live, other) == before

        (sent,) = await other.tenant.send(send(other.mark, "the next"))
        await stranger.take_until(sent.item_id)
        assert stranger.unread_count == OTHER_MESSAGES + 1
        (sent,) = await own.tenant.send(send(own.mark, "the next"))
        await browser.take_until(sent.item_id)
        assert browser.unread_count == OWN_MESSAGES + 1
        await assert_marked(browser, own)


async def test_a_browser_moves_within_its_environment(live: Live, own: Side, other: Side) -> None:
    """A browser that is registered and removed over a socket stays where it is in the other environment."""
    before = await documents(live, other)
    browsers = [browser_of(user_id) for user_id in USER_IDS]
    async with live.browser(own.tenant, USER_ID) as browser:
        assert (await browser.ask("get_environment"))["name"] == own.mark
        for one in browsers:
            keys = {"p256dh": one.keys.p256dh, "auth": one.keys.auth}
            added = await browser.ask("add_web_push", subscription={"endpoint": one.endpoint, "keys": keys})
            assert added["type"] == "result"
        for one in browsers:
            assert (await browser.ask("remove_web_push", endpoint=one.endpoint))["type"] == "result"

    assert await documents(live, other) == before


async def assert_marked(browser: Browser, own: Side) -> None:
    """Asserts that the same mark with one's own ids does change something."""
    marked = await browser.ask("mark", ids=list(own.tracking_ids), set=["SEEN"])
    assert marked["changed_count"] == OWN_MESSAGES


PAGED = {
    "Inbox/ListInbox": "items",
    "Messages/ListMessages": "messages",
    "Notifications/ListNotifications": "notifications",
    "Preferences/GetPreferences": "preferences",
    "SubNotifications/ListSubNotifications": "sub_notifications",
    "Users/ListUsers": "users",
}


async def test_every_page_is_tried() -> None:
    """Every method of the table that has pages is in the list of those."""
    paged = {name for name, (case, *_) in CASES.items() if "page_token" in request_fields(case)}
    assert set(PAGED) == paged


@pytest.mark.parametrize("name", PAGED)
async def test_a_page_token_opens_nothing(own: Side, other: Side, name: str) -> None:
    """With the page token of the other environment a list is refused, or goes on in one's own."""
    case = CASES[name][0]
    theirs: Any = case.request(other, own)
    theirs.page_size = 1
    theirs.page_token = (await call(other, name, theirs)).next_page_token
    assert theirs.page_token

    try:
        answer = (await call(own, name, theirs)).SerializeToString()
    except grpc.aio.AioRpcError as error:
        code, answer = error.code(), b""
    else:
        code = grpc.StatusCode.OK

    assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
    assert b"of-B" not in answer


def request_fields(case: Case) -> set[str]:
    """Gives the names of a request's fields."""
    nobody: Any = Side(SimpleNamespace(client_id=""), "", ["", "", ""], "")  # type: ignore[arg-type] # nothing is called
    return {field.name for field in case.request(nobody, nobody).DESCRIPTOR.fields}


def decode(method: Method, answer: bytes) -> Message:
    """Reads an answer, as the method's descriptor has it."""
    service, name = method.name.split("/")
    descriptor = descriptor_pool.Default().FindServiceByName(f"carillon.v1.{service}").methods_by_name[name]
    return message_factory.GetMessageClass(descriptor.output_type).FromString(answer)


def counts(message: Message) -> Iterator[int]:
    """Gives all that a message counts, in whatever depth."""
    for field, value in message.ListFields():
        if field.name.endswith("_count"):
            yield value
        elif field.message_type and not field.message_type.GetOptions().map_entry:
            for inner in value if field.is_repeated else [value]:
                yield from counts(inner)


async def call(side: Side, name: str, request: Any) -> Any:
    """Calls a method as the backend of a side."""
    service, method = name.split("/")
    stub = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in service).lstrip("_")
    return await getattr(getattr(side.tenant.backend, stub), method)(request)


async def documents(live: Live, side: Side) -> dict[str, list[dict[str, Any]]]:
    """Gives all that is stored of an environment, in whatever collection."""
    query = {"$or": [{"_id": side.tenant.client_id}, {"_id.e": side.tenant.client_id}]}
    database = live.world.database
    names = sorted(await database.list_collection_names())
    return {name: await database[name].find(query).sort("_id").to_list() for name in names}
