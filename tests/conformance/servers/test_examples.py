"""The documented examples, in six languages: what they send, and what Carillon then holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from carillon.v1 import user_pb2
from tests.conformance.servers import effects
from tests.conformance.servers.replay import read_examples, replay
from tests.conformance.servers.times import ago

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.conformance.servers.effects import Choice
    from tests.conformance.servers.replay import Response
    from tests.conformance.servers.sdk import Answer, Sdk
    from tests.contract.services.world import Caller
    from tests.e2e.stack import Stack

    Run = Callable[[str], Awaitable[Answer | Response]]
    """Runs an example by its name."""

# The first time, packages are downloaded.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

TITLE = "Your Krabby Patty Burger is on its way"
GREETINGS = {"node": "Hello, test!", "python": "Hello, test!", "ruby": "Hello, test!", "csharp": "Hello, FIRST_NAME!"}
ORDER_CHOICES: list[Choice] = [("new_order", "", "INAPP_WEB", "OFF"), ("order_tracking", "", "SMS", "INSTANT")]
HELLO_CHOICES: list[Choice] = [("notificationId1", "", "EMAIL", "OFF"), ("notificationId2", "", "SMS", "INSTANT")]

# As their examples have it, starred out and all.
PROFILE = user_pb2.User(
    email="spongebob@squarepants.com",
    number="+15005550006",
    push_tokens=[
        user_pb2.PushToken(
            provider=user_pb2.PUSH_PROVIDER_FCM,
            token="samplePushToken",
            device=user_pb2.Device(
                app_id="com.example.app",
                ad_id="1234567890",
                device_id="1234567890",
                platform="android",
                manufacturer="Samsung",
                model="SM-G930F",
            ),
        )
    ],
    web_push_subscriptions=[
        user_pb2.WebPushSubscription(
            endpoint="https://fcm.googleapis.com/fcm/send/fCs_4iba0Ao:APA91bGFdaU7I3****JMH_KeZwk1Xi",
            keys=user_pb2.WebPushKeys(
                p256dh="zP2xFu3hMc2vNH5E2nuKkyjpZydvCk9llRUY2kP4****9aSlKcoadSV2UbvMRQ", auth="CXEFun************tYe8g"
            ),
            worker=user_pb2.WEB_PUSH_WORKER_NOTIFICATIONAPI,
        )
    ],
)


@pytest.fixture(params=["node", "python", "csharp", "ruby"])
def language(request: pytest.FixtureRequest) -> str:
    """The language of the examples."""
    return str(request.param)


@pytest.fixture
def run(language: str, stack: Stack, node: Sdk, python: Sdk) -> Run:
    """Runs the examples of that language: through the SDK where there is one, else as the bytes that they send."""
    sdk = {"node": node, "python": python}.get(language)
    examples = read_examples({"node": "node.js", "python": "python.txt"}.get(language, f"{language}.http"))

    async def run(name: str) -> Answer | Response:
        return await (sdk.run(examples[name]) if sdk else replay(stack, examples[name]))

    return run


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def nobody(backend: Caller) -> None:
    """The users of the examples are as if they had never been."""
    await effects.forget(backend, "userId_123abc", "test_user_id", "123", "userId", "go-user", "go user/+1")


async def test_send_and_retract(run: Run, backend: Caller) -> None:
    """The send shows an item and knows the addresses, the retraction takes it back."""
    sent = await run("send")

    # Its definition has channels that the example has no address for.
    assert sent.status == 202, sent
    (item,) = await effects.items(backend, "userId_123abc")
    assert (item.id, item.content.title) == (sent.data["trackingId"], TITLE)
    assert (await effects.deliveries(backend, item.id))["EMAIL"] == "PENDING"
    assert (await run("retract")).status == 200
    assert await effects.items(backend, "userId_123abc") == []


async def test_the_older_send_and_retract(run: Run, backend: Caller, language: str) -> None:
    """So do those of the older page."""
    sent = await run("send_hello")

    assert sent.status == 202, sent
    assert await effects.titles(backend, "123") == [GREETINGS[language]]
    states = await effects.deliveries(backend, sent.data["trackingId"])
    assert (states["EMAIL"], states["SMS"]) == ("PENDING", "PENDING")
    assert (await run("retract_hello")).status == 200
    assert await effects.items(backend, "123") == []


async def test_identify_user(run: Run, backend: Caller) -> None:
    """The user is stored as given."""
    assert (await run("identify_user")).status == 200
    await check_profile(backend)


@pytest.mark.parametrize(
    ("name", "choices"), [("set_user_preferences", ORDER_CHOICES), ("set_user_preferences_hello", HELLO_CHOICES)]
)
async def test_set_user_preferences(run: Run, backend: Caller, name: str, choices: list[Choice]) -> None:
    """The choices are stored; C# writes them as JSON in a string, once in an object that names the user again."""
    assert (await run(name)).status == 200
    assert await effects.choices(backend, "userId") == choices


@pytest.mark.parametrize("language", ["csharp", "ruby", "go"], indirect=True)
async def test_sub_notifications(run: Run, backend: Caller) -> None:
    """The class makes one and deletes it; Ruby's `{}` in the body of a DELETE is nobody's business."""
    assert (await run("create_sub_notification")).status == 200
    assert (await effects.parts(backend, "order_tracking"))["restaurant_1"] == "Restaurant"
    assert (await run("delete_sub_notification")).status == 204
    assert "restaurant_1" not in await effects.parts(backend, "order_tracking")
    assert (await run("delete_sub_notification")).status == 404


@pytest.mark.parametrize("language", ["csharp"], indirect=True)
async def test_identify_user_with_a_string(run: Run, backend: Caller) -> None:
    """C#'s class writes an object that is JSON already into a string: it is read once more."""
    assert (await run("identify_user_with_a_string")).status == 200
    await check_profile(backend)


@pytest.mark.parametrize("language", ["csharp"], indirect=True)
async def test_send_after_identify_user(run: Run, backend: Caller) -> None:
    """C#'s class goes on with the user's credential, with which nobody may send: it is told so."""
    answer = await run("send_after_identify_user")

    assert answer.status == 403
    error = answer.data["error"]
    assert error["code"] == "BACKEND_ONLY"
    assert "end user" in error["message"]
    assert "clientSecret" in error["fix"]
    assert await effects.items(backend, "userId_123abc") == []


# --- Go, whose requests have no Content-Type ---


@pytest.mark.parametrize("language", ["go"], indirect=True)
async def test_go_documented(run: Run, backend: Caller) -> None:
    """The documented examples that Go can run do what they do elsewhere."""
    for name, user_id, title in (("", "test_user_id", TITLE), ("_hello", "123", "Hello, Stranger!")):
        assert (await run(f"send{name}")).status == 202
        assert await effects.titles(backend, user_id) == [title]
        assert (await run(f"retract{name}")).status == 200
        assert await effects.items(backend, user_id) == []
    assert (await run("identify_user")).status == 200
    await check_profile(backend, has_browsers=False)


async def test_go_users(stack: Stack, backend: Caller) -> None:
    """An address that is not set is written as "", and a space in an id as "+"."""
    go = read_examples("go.http")

    assert (await replay(stack, go["identify_without_address"])).status == 200
    stored = await effects.profile(backend, "go user/+1")
    assert stored
    assert (stored.email, stored.number) == ("", "+15005550006")


async def test_go_sends(stack: Stack, backend: Caller) -> None:
    """Every field that Go knows arrives, times as texts too; what was due long ago is sent at once."""
    sent = await replay(stack, read_examples("go.http")["send_all"])

    assert sent.status == 200, sent
    assert await effects.titles(backend, "go user/+1") == ["Your Krabby Patty Sandwich is on its way"]
    options = (await effects.request(backend, sent.data["trackingId"]))["options"]
    assert options["apn"] == {"expire_time": "2033-05-18T03:33:20Z", "priority": 5, "badge": 0}
    assert options["fcm"]["android"]["ttl"] == "60s"


async def test_go_schedules(stack: Stack, backend: Caller) -> None:
    """A send for later is changed and cancelled, the latter by a DELETE without a body."""
    go = read_examples("go.http")
    sent = await replay(stack, go["send_later"], SCHEDULE=ago(-60 * 24))
    tracking_id = sent.data["trackingId"]

    changed = await replay(stack, go["update_schedule"], TRACKING_ID=tracking_id, SCHEDULE=ago(-60 * 48))
    assert changed.status == 200
    logged = await effects.message(backend, tracking_id)
    assert logged.schedule_time.seconds - logged.create_time.seconds > 60 * 60 * 36
    assert (await replay(stack, go["delete_schedule"], TRACKING_ID=tracking_id)).status == 200
    assert await effects.deliveries(backend, tracking_id) == {"INAPP_WEB": "CANCELLED"}


async def test_go_preferences(stack: Stack, backend: Caller) -> None:
    """What to delete stands in the body of the DELETE."""
    go = read_examples("go.http")
    assert (await replay(stack, go["set_user_preferences"])).status == 200
    assert len(await effects.choices(backend, "go-user")) == 3

    assert (await replay(stack, go["delete_user_preferences_of_a_part"])).status == 200
    assert await effects.choices(backend, "go-user") == [
        ("new_order", "", "EMAIL", "OFF"),
        ("order_tracking", "", "SMS", "OFF"),
    ]
    assert (await replay(stack, go["delete_user_preferences"])).status == 200
    assert await effects.choices(backend, "go-user") == [("new_order", "", "EMAIL", "OFF")]


async def test_go_items_and_log(stack: Stack, backend: Caller) -> None:
    """An item is marked, and the log found by its id."""
    go = read_examples("go.http")
    sent = await replay(stack, go["send_all"])
    places = {"TRACKING_ID": sent.data["trackingId"], "SCHEDULE": ago(0)}

    assert (await replay(stack, go["update_in_app_notification"], **places)).status == 200
    (item,) = await effects.items(backend, "go user/+1")
    assert (item.unread, [one.text for one in item.replies]) == (False, ["On my way"])
    found = await replay(stack, go["query_logs"], **places)
    assert [entry["trackingId"] for entry in found.data["logs"]] == [item.id]


async def check_profile(backend: Caller, *, has_browsers: bool = True) -> None:
    """The documented user is stored, but for the times."""
    stored: Any = await effects.profile(backend, "userId_123abc")
    assert stored
    for name in ("id", "create_time", "update_time"):
        stored.ClearField(name)
    for one in (*stored.push_tokens, *stored.web_push_subscriptions):
        one.ClearField("register_time")
    expected = user_pb2.User()
    expected.CopyFrom(PROFILE)
    if not has_browsers:
        expected.ClearField("web_push_subscriptions")
    assert stored == expected
