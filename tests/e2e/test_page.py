"""The demo page in a real browser, against a gateway that says what each test wants it to say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from playwright.async_api import expect
from websockets.asyncio.server import serve

from carillon.v1 import channel_pb2, delivery_pb2, sender_pb2, sender_pb2_grpc
from gateway.http.app import create_app, serve_http
from gateway.http.dev import DevAccess
from services.kernel import auth
from tests.e2e.browser import badge, open_page, state, titles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page
    from websockets.asyncio.server import ServerConnection

SECRET = "dev-secret"


class Session:
    """The gateway's end of one socket that has said hello."""

    def __init__(self, connection: ServerConnection, hello: dict[str, Any]) -> None:
        self.hello = hello
        self._connection = connection

    async def send(self, kind: str, **frame: object) -> None:
        """Sends one frame."""
        await self._connection.send(json.dumps({"type": kind, **frame}))

    async def welcome(self, *items: dict[str, object], unread_count: int = 0) -> None:
        """Answers the hello."""
        await self.send("welcome", resume="snapshot", unread_count=unread_count, items=items)

    async def create(self, **fields: object) -> None:
        """Pushes a new, unread item."""
        await self.send("created", item=make_item(**fields), unread_change=1)

    async def receive(self) -> dict[str, Any]:
        """Awaits the next frame of the page."""
        frame: dict[str, Any] = json.loads(await self._connection.recv())
        return frame

    async def close(self, code: int, reason: str = "") -> None:
        """Closes the socket with a code."""
        await self._connection.close(code, reason)


class Gateway:
    """A real websocket server that leaves the talking to the test."""

    def __init__(self) -> None:
        self._sessions: asyncio.Queue[Session] = asyncio.Queue()

    async def handle(self, connection: ServerConnection) -> None:
        """Takes the hello of one socket, and keeps the socket open."""
        session = Session(connection, json.loads(await connection.recv()))
        await self._sessions.put(session)
        await connection.wait_closed()

    async def accept(self) -> Session:
        """Awaits the next socket that says hello."""
        return await self._sessions.get()


class Sender(sender_pb2_grpc.SenderServicer):
    """Delivers in the inbox, knows no address, and has two items to take back."""

    async def Send(
        self, request: sender_pb2.SendRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> sender_pb2.SendResponse:
        """Answers with one delivery of each kind; refuses what is not an order."""
        if request.merge_tags["item"] == "":
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        skipped = delivery_pb2.Delivery(
            channel=channel_pb2.CHANNEL_EMAIL,
            state=delivery_pb2.DELIVERY_STATE_SKIPPED,
            reason=delivery_pb2.SKIP_REASON_NO_ADDRESS,
        )
        delivered = delivery_pb2.Delivery(
            channel=channel_pb2.CHANNEL_INAPP_WEB, state=delivery_pb2.DELIVERY_STATE_DELIVERED
        )
        return sender_pb2.SendResponse(tracking_id="m1", deliveries=[skipped, delivered])

    async def Retract(
        self, request: sender_pb2.RetractRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> sender_pb2.RetractResponse:
        """Takes two items back."""
        return sender_pb2.RetractResponse(retracted_count=2)


def make_item(**fields: object) -> dict[str, object]:
    """Makes an unread item, as it stands in a frame."""
    return {
        "id": "i1",
        "rev": "000000000000000a",
        "notification_id": "order_tracking",
        "title": "Your order",
        "date": "2026-01-02T03:04:05.678Z",
        "unread": True,
        "message_count": 1,
        "priority": "NORMAL",
    } | fields


@pytest.fixture
def gateway() -> Gateway:
    """The gateway that the test speaks for."""
    return Gateway()


@pytest_asyncio.fixture(loop_scope="session")
async def url(gateway: Gateway) -> AsyncIterator[str]:
    """Where the page is served."""
    async with contextlib.AsyncExitStack() as stack:
        services = grpc.aio.server()
        sender_pb2_grpc.add_SenderServicer_to_server(Sender(), services)  # type: ignore[abstract]  # the page calls no others
        grpc_port = services.add_insecure_port("127.0.0.1:0")
        await services.start()
        stack.push_async_callback(services.stop, None)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}"))

        sockets = await stack.enter_async_context(serve(gateway.handle, "127.0.0.1", 0, subprotocols=["carillon.v1"]))  # type: ignore[list-item]  # a NewType of str
        ws_port = next(iter(sockets.sockets)).getsockname()[1]

        app = create_app(ws_port=ws_port, dev=DevAccess("dev", SECRET, channel))
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(serve_http(app, host="127.0.0.1", port=0, stop=stop, on_ready=port.set_result))
            yield f"http://127.0.0.1:{await port}"
            stop.set()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, url: str) -> AsyncIterator[Page]:
    """The page in a fresh profile, its clock in the test's hands, and nothing wrong on its console at the end."""
    async with open_page(browser) as page:
        await page.clock.install()
        await page.goto(url)
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def session(page: Page, gateway: Gateway) -> Session:
    """The session of the page, welcomed to an empty inbox."""
    session = await gateway.accept()
    await session.welcome()
    await expect(state(page)).to_have_text("live")
    return session


pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_hello_names_the_user_of_the_address(page: Page, gateway: Gateway, url: str) -> None:
    """The page says hello as the user of ?user=, with that user's hash."""
    assert (await gateway.accept()).hello["user_id"] == "userId_123abc"

    await page.goto(f"{url}/?user=übung+1")
    session = await gateway.accept()

    assert session.hello == {
        "type": "hello",
        "client_id": "dev",
        "user_id": "übung 1",
        "user_hash": auth.user_hash(SECRET, "übung 1"),
    }


async def test_welcome_shows_the_inbox(page: Page, gateway: Gateway) -> None:
    """A welcome shows its items newest first and its count, and the page is live."""
    session = await gateway.accept()
    await expect(state(page)).to_have_text("connecting")

    await session.welcome(
        make_item(id="a", title="older", date="2026-01-02T03:04:05.678Z"),
        make_item(id="b", title="newer", date="2026-01-02T03:04:05.679Z", unread=False),
        unread_count=7,
    )

    await expect(state(page)).to_have_text("live")
    await expect(titles(page)).to_have_text(["newer", "older"])
    await expect(badge(page)).to_have_text("7")
    await expect(page).to_have_title("(7) Carillon")


async def test_created_appears(page: Page, session: Session) -> None:
    """A created item appears on top, and the badge rises."""
    await expect(page.get_by_test_id("empty")).to_be_visible()

    await session.create(id="a", title="first")
    await session.create(id="b", title="second", body="with a body", date="2026-01-03T00:00:00.000Z")

    await expect(titles(page)).to_have_text(["second", "first"])
    await expect(page.get_by_test_id("item-body")).to_have_text(["with a body"])
    await expect(badge(page)).to_have_text("2")
    await expect(page.get_by_test_id("empty")).to_be_hidden()


async def test_updated_changes_the_item(page: Page, session: Session) -> None:
    """An update changes what it names of the items it names, and the badge follows."""
    await session.create(body="goes", image_url="/bell.svg")

    await session.send(
        "updated",
        ids=["i1", "unknown"],
        rev="000000000000000b",
        set={"unread": False, "title": "changed"},
        unset=["body"],
        unread_change=-1,
    )

    await expect(titles(page)).to_have_text(["changed"])
    await expect(page.get_by_test_id("item-body")).to_have_count(0)
    await expect(page.get_by_test_id("item").locator("img")).to_have_attribute("src", re.compile("/bell.svg$"))
    await expect(badge(page)).to_have_text("0")


async def test_retracted_disappears(page: Page, session: Session) -> None:
    """A retracted item disappears, the others stay, and the badge falls."""
    await session.create(id="a", title="stays")
    await session.create(id="b", title="goes")
    await expect(badge(page)).to_have_text("2")

    await session.send("retracted", ids=["b"], unread_change=-1)

    await expect(titles(page)).to_have_text(["stays"])
    await expect(badge(page)).to_have_text("1")


async def test_archived_items_leave_the_list(page: Page, session: Session) -> None:
    """An item that was archived elsewhere is not shown, and is again once it has come back."""
    await session.create()
    rev = "000000000000000b"
    archived = {"archive_time": "2026-01-02T03:04:05.678Z", "unread": False}
    await session.send("updated", ids=["i1"], rev=rev, set=archived, unset=[], unread_change=-1)
    await expect(titles(page)).to_have_count(0)
    await expect(page.get_by_test_id("empty")).to_be_visible()

    await session.send("created", item=make_item(rev="000000000000000c", unread=False), unread_change=0)
    await expect(titles(page)).to_have_text(["Your order"])
    await expect(badge(page)).to_have_text("0")


@pytest.mark.parametrize(
    ("control", "expected"),
    [("item-title", "OPENED"), ("item-body", "OPENED"), ("archive", "ARCHIVED")],
)
async def test_a_click_marks_the_item(page: Page, session: Session, control: str, expected: str) -> None:
    """A click on an item opens it, one on its button archives it; the page shows that once the gateway tells it."""
    await session.create(body="text")

    await page.get_by_test_id(control).click()

    assert await session.receive() == {"type": "mark", "ref": "1", "ids": ["i1"], "set": [expected]}
    await expect(badge(page)).to_have_text("1")
    await session.send("result", ref="1", changed_count=1, unread_count=0)


async def test_a_followed_link_marks_the_item(page: Page, session: Session) -> None:
    """A title that is a link is clicked, and the buttons of an item are its actions."""
    actions = [{"label": "Yes", "url": "/healthz"}, {"label": "No", "url": "/healthz"}]
    await session.create(url="/healthz", actions=actions)

    for name, expected in (("Your order", "CLICKED"), ("Yes", "FIRST_ACTION"), ("No", "SECOND_ACTION")):
        async with page.expect_popup() as opened:
            await page.get_by_role("link", name=name, exact=True).click()
        await (await opened.value).close()
        assert (await session.receive())["set"] == [expected]


async def test_the_keyboard_stays_at_what_was_marked(page: Page, session: Session) -> None:
    """An item that changes under the keyboard keeps it; what is marked already is not marked again."""
    await session.create()
    await page.get_by_test_id("item-title").press("Enter")
    assert (await session.receive())["set"] == ["OPENED"]
    now = "2026-01-02T03:04:05.678Z"
    done = {"unread": False, "seen_time": now, "opened_time": now}
    await session.send("updated", ids=["i1"], rev="000000000000000b", set=done, unset=[], unread_change=-1)
    await expect(badge(page)).to_have_text("0")

    await expect(page.get_by_test_id("item-title")).to_be_focused()
    await page.get_by_test_id("item-title").press("Enter")
    await page.get_by_test_id("archive").press("Enter")
    assert (await session.receive())["set"] == ["ARCHIVED"]


async def test_mark_all_as_read_goes_up_to_the_newest(page: Page, session: Session) -> None:
    """The button marks up to the newest item that is shown, and is there only where something is unread."""
    await expect(page.get_by_test_id("read-all")).to_be_hidden()
    await session.create(id="a", date="2026-01-03T00:00:00.000Z")
    await session.create(id="b", date="2026-01-02T00:00:00.000Z")

    await page.get_by_test_id("read-all").click()

    until = {"time": "2026-01-03T00:00:00.000Z"}
    assert await session.receive() == {"type": "mark", "ref": "1", "until": until, "set": ["SEEN"]}


async def test_a_mark_that_fails_is_said(page: Page, session: Session) -> None:
    """What the gateway refuses, and a connection that is lost before the answer, are told."""
    await session.create()
    await page.get_by_test_id("archive").click()
    await session.receive()
    await session.send("error", ref="1", code="UNAVAILABLE", message="ask again in a moment")
    await expect(page.get_by_test_id("notice")).to_have_text("ask again in a moment")

    await page.get_by_test_id("archive").click()
    await session.receive()
    await session.close(4001)
    await expect(page.get_by_test_id("notice")).to_have_text("The connection was lost; try again.")
    await expect(titles(page)).to_have_count(1)


async def test_the_address_may_name_the_user(page: Page, gateway: Gateway, url: str) -> None:
    """What the address says after its # is said in the hello as it is, a plus in a hash too, and hides the forms."""
    await gateway.accept()

    await page.goto(f"{url}/#client_id=c&user_id=a%20b&user_hash=x+/y=&type=z")
    session = await gateway.accept()
    await session.welcome()

    assert session.hello == {"type": "hello", "client_id": "c", "user_id": "a b", "user_hash": "x+/y="}
    await expect(state(page)).to_have_text("live")
    await expect(page.get_by_test_id("send")).to_be_hidden()
    await expect(page.get_by_test_id("user")).to_be_hidden()


async def test_unknown_frames_are_ignored(page: Page, session: Session) -> None:
    """A frame of a type that a newer gateway may send changes nothing."""
    await session.send("from_the_future", items=1)
    await session.create()

    await expect(titles(page)).to_have_text(["Your order"])


async def test_comes_back(page: Page, session: Session, gateway: Gateway) -> None:
    """A close that means "come back" is followed by a new hello, whose welcome replaces what was shown."""
    await session.create(title="before")
    await session.close(4001)
    await expect(state(page)).to_have_text("reconnecting")
    await expect(titles(page)).to_have_text(["before"])

    again = await gateway.accept()
    assert again.hello == session.hello
    await again.welcome(make_item(id="i2", title="after"), unread_count=1)

    await expect(state(page)).to_have_text("live")
    await expect(titles(page)).to_have_text(["after"])
    await expect(badge(page)).to_have_text("1")


async def test_stays_away(page: Page, gateway: Gateway) -> None:
    """A terminal close is said with its reason, and not followed by another socket."""
    sockets: list[object] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    session = await gateway.accept()

    await session.close(4501, "the user hash is not valid")
    await expect(state(page)).to_have_text("signed out")
    await expect(page.get_by_test_id("notice")).to_contain_text("the user hash is not valid")
    opened = len(sockets)
    await page.clock.run_for("10:00")
    await page.evaluate("window.dispatchEvent(new Event('online'))")

    assert len(sockets) == opened
    await expect(state(page)).to_have_text("signed out")


async def test_a_silent_socket_is_replaced(page: Page, session: Session, gateway: Gateway) -> None:
    """A socket that answers no ping is given up, although nobody closed it."""
    await page.clock.run_for(25_000)
    assert await session.receive() == {"type": "ping"}

    await session.send("pong")
    await session.create()
    await expect(titles(page)).to_have_count(1)
    await page.clock.run_for(25_000)
    assert await session.receive() == {"type": "ping"}
    await expect(state(page)).to_have_text("live")

    await page.clock.run_for(25_000)
    await expect(state(page)).to_have_text("reconnecting")
    await (await gateway.accept()).welcome()
    await expect(state(page)).to_have_text("live")


async def test_texts_stay_texts(page: Page, session: Session) -> None:
    """Markup in an item is shown as it is written, and runs nothing."""
    attack = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"

    await session.create(title=attack, body=attack, html=True)

    await expect(titles(page)).to_have_text([attack])
    await expect(page.get_by_test_id("item-body")).to_have_text([attack])
    await expect(page.get_by_test_id("item").locator("img, script")).to_have_count(0)
    await expect(page).to_have_title("(1) Carillon")


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", " JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "http://[", "blob:x"]
)
async def test_other_schemes_are_not_linked(page: Page, session: Session, address: str) -> None:
    """What is neither http nor https becomes no link and no image."""
    await session.create(url=address, image_url=address, actions=[{"label": "Go", "url": address}])

    await expect(titles(page)).to_have_text(["Your order"])
    await expect(page.get_by_test_id("item").locator("a, img")).to_have_count(0)


@pytest.mark.parametrize("address", ["https://example.com/a", "http://example.com/a", "/orders/1"])
async def test_web_addresses_are_linked(page: Page, session: Session, url: str, address: str) -> None:
    """An address of the web, relative or not, is linked, and the other page learns nothing of ours."""
    await session.create(url=address)

    title = page.get_by_role("link", name="Your order")
    await expect(title).to_have_attribute("href", f"{url}{address}" if address.startswith("/") else address)
    await expect(title).to_have_attribute("rel", "noopener noreferrer")


async def test_send_shows_the_outcome_of_each_channel(page: Page, session: Session) -> None:
    """The form sends, and shows what became of each channel; the keyboard is where it was."""
    await page.get_by_test_id("send").press("Enter")

    await expect(page.get_by_test_id("outcome").get_by_role("listitem")).to_have_text(
        ["EMAILSKIPPEDNO_ADDRESS", "INAPP_WEBDELIVERED"]
    )
    await expect(page.get_by_test_id("send")).to_be_focused()


async def test_a_failed_send_says_what_to_do(page: Page, session: Session) -> None:
    """What the services refuse is said, with what to do about it."""
    await page.get_by_label("item", exact=True).fill("")
    await page.get_by_test_id("send").click()

    await expect(page.get_by_test_id("outcome")).to_contain_text("cannot be reached. Try again")


async def test_retract_says_how_many(page: Page, session: Session) -> None:
    """The button takes back, and says how much."""
    await page.get_by_test_id("notification").select_option("hello_world")
    await expect(page.get_by_label("firstName")).to_have_value("Spongebob")

    await page.get_by_test_id("retract").click()

    await expect(page.get_by_test_id("outcome")).to_have_text("2 items retracted.")


async def test_another_user_sees_nothing_of_the_first(page: Page, session: Session, gateway: Gateway, url: str) -> None:
    """Connecting as someone else empties the page before it knows their inbox."""
    await session.create()
    await expect(titles(page)).to_have_count(1)

    await page.get_by_test_id("user").fill("someone else")
    await page.get_by_test_id("connect").click()
    other = await gateway.accept()

    assert other.hello["user_id"] == "someone else"
    await expect(titles(page)).to_have_count(0)
    await expect(badge(page)).to_have_text("0")
    await expect(page).to_have_url(f"{url}/?user=someone+else")


async def test_an_impossible_user_is_refused(page: Page, session: Session) -> None:
    """A user id that cannot be one is refused with the reason."""
    await page.get_by_test_id("user").fill("x" * 257)
    await page.get_by_test_id("connect").click()

    await expect(state(page)).to_have_text("signed out")
    await expect(page.get_by_test_id("notice")).to_contain_text("user_id: must be at most 256 bytes")


@pytest.mark.parametrize("width", [360, 1280])
async def test_fits_the_screen(page: Page, session: Session, width: int) -> None:
    """Nothing sticks out sideways, on a phone or a desk, not even a word without end."""
    await page.set_viewport_size({"width": width, "height": 740})
    await session.create(title="w" * 500, body="w" * 500, notification_id="n" * 128)
    await expect(titles(page)).to_have_count(1)

    assert await page.evaluate("document.documentElement.scrollWidth") == width
