from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from carillon.v1 import preferences_pb2, user_pb2, users_pb2
from tests.contract.services.refusals import refusal
from tests.contract.services.requests import USER, outcomes, send_request, struct, warnings

if TYPE_CHECKING:
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXTS: dict[str, Any] = {
    "email": "spongebob@squarepants.com",
    "number": "+15005550006",
    "language": "en",
    "timezone": "Europe/Berlin",
    "first_name": "Spongebob",
    "last_name": "Squarepants",
    "photo_url": "https://example.com/s.png",
    "country": "US",
}


async def identify(tenant: Tenant, *, mask: list[str] | None = None, **fields: Any) -> user_pb2.User:
    """Identifies the user and gives them as answered."""
    request = users_pb2.IdentifyUserRequest(user={"id": USER} | fields, update_mask={"paths": mask or []})  # type: ignore[arg-type] # a dict will do
    user: user_pb2.User = (await tenant.backend.users.IdentifyUser(request)).user
    return user


async def get(tenant: Tenant, user_id: str = USER) -> user_pb2.User:
    """Gets a profile."""
    user: user_pb2.User = (await tenant.backend.users.GetUser(users_pb2.GetUserRequest(user_id=user_id))).user
    return user


def texts(user: user_pb2.User) -> dict[str, str]:
    """Gives the texts of a profile that are set."""
    return {name: text for name in TEXTS if (text := getattr(user, name))}


def tokens(*names: str) -> list[user_pb2.PushToken]:
    """Makes push tokens."""
    return [user_pb2.PushToken(provider=user_pb2.PUSH_PROVIDER_FCM, token=name) for name in names]


def browsers(*names: str) -> list[user_pb2.WebPushSubscription]:
    """Makes web push subscriptions."""
    keys = user_pb2.WebPushKeys(p256dh="k", auth="k")
    return [user_pb2.WebPushSubscription(endpoint=f"https://push.test/{name}", keys=keys) for name in names]


def token_names(user: user_pb2.User) -> list[str]:
    """Gives the push tokens of a profile."""
    return [token.token for token in user.push_tokens]


async def test_identify_creates_a_user(tenant: Tenant) -> None:
    """An identified user is got whole, as answered, with times."""
    answered = await identify(tenant, **TEXTS, properties=struct({"plan": "gold", "seats": 3, "nested": {"a": [1]}}))

    assert texts(answered) == TEXTS
    assert answered.properties == struct({"plan": "gold", "seats": 3, "nested": {"a": [1]}})
    assert answered.create_time == answered.update_time
    assert await get(tenant) == answered


async def test_identify_writes_what_is_given_and_leaves_the_rest(tenant: Tenant) -> None:
    """Fields that are empty in a later identification keep their value."""
    first = await identify(tenant, **TEXTS, properties=struct({"a": 1}))
    second = await identify(tenant, first_name="Patrick")

    assert texts(second) == TEXTS | {"first_name": "Patrick"}
    assert second.properties == struct({"a": 1})
    assert second.create_time == first.create_time


async def test_properties_are_replaced_whole(tenant: Tenant) -> None:
    """Given properties replace the stored ones, also with none."""
    await identify(tenant, properties=struct({"a": 1, "b": 2}))
    assert (await identify(tenant, properties=struct({"b": 3}))).properties == struct({"b": 3})
    assert (await identify(tenant, properties=struct({}))).properties == struct({})


async def test_a_mask_clears(tenant: Tenant) -> None:
    """With a mask exactly the named fields are written, and cleared where they are empty."""
    await identify(tenant, **TEXTS, properties=struct({"a": 1}))

    answered = await identify(tenant, mask=["email", "properties", "last_name"], last_name="Star", first_name="ignored")

    expected = {name: text for name, text in TEXTS.items() if name != "email"} | {"last_name": "Star"}
    assert texts(answered) == expected
    assert not answered.HasField("properties")
    assert await get(tenant) == answered


async def test_a_star_masks_everything(tenant: Tenant) -> None:
    """The mask * replaces every text and the properties; devices stay."""
    await identify(tenant, **TEXTS, properties=struct({"a": 1}), push_tokens=tokens("t"))

    answered = await identify(tenant, mask=["*"], country="DE")

    assert texts(answered) == {"country": "DE"}
    assert not answered.HasField("properties")
    assert token_names(answered) == ["t"]


async def test_tokens_merge_by_token(tenant: Tenant) -> None:
    """A token registered again replaces its entry and counts as the newest; others stay."""
    await identify(tenant, push_tokens=tokens("a", "b"), web_push_subscriptions=browsers("a", "b"))
    again = tokens("a", "c")
    again[0].device.model = "Pixel 9"

    answered = await identify(tenant, push_tokens=again, web_push_subscriptions=browsers("a"))

    assert token_names(answered) == ["b", "a", "c"]
    assert answered.push_tokens[1].device.model == "Pixel 9"
    assert [one.endpoint[-1] for one in answered.web_push_subscriptions] == ["b", "a"]


async def test_the_newest_50_tokens_stay(tenant: Tenant) -> None:
    """Of more than 50 tokens those registered longest ago leave."""
    await identify(tenant, push_tokens=tokens(*(f"t{i}" for i in range(50))))

    answered = await identify(tenant, push_tokens=tokens("t3", "new"))

    assert len(answered.push_tokens) == 50
    assert token_names(answered)[:4] == ["t1", "t2", "t4", "t5"]
    assert token_names(answered)[-2:] == ["t3", "new"]


async def test_a_token_belongs_to_its_last_user(tenant: Tenant) -> None:
    """A device that another user registers leaves the first one's profile, and only that device."""
    await identify(tenant, push_tokens=tokens("shared", "own"), web_push_subscriptions=browsers("shared", "own"))
    await identify(tenant, id="next", push_tokens=tokens("shared"), web_push_subscriptions=browsers("shared"))

    first, second = await get(tenant), await get(tenant, "next")
    assert (token_names(first), token_names(second)) == (["own"], ["shared"])
    assert [one.endpoint for one in first.web_push_subscriptions] == ["https://push.test/own"]
    assert [one.endpoint for one in second.web_push_subscriptions] == ["https://push.test/shared"]


async def test_an_unknown_user_is_not_found(tenant: Tenant) -> None:
    """Getting a user whom nobody named is NOT_FOUND."""
    refused = await refusal(get(tenant, "nobody"))

    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")
    assert refused.resource == ("user", "nobody")


@pytest.mark.parametrize("number", ["(415) 555-1212", "415-555-1212", "4155551212", "+1 415 555 1212", "+14155551212"])
async def test_numbers_become_e164(tenant: Tenant, number: str) -> None:
    """A number as people write it in the environment's region (US) is kept in E.164, from either call."""
    assert (await identify(tenant, number=number)).number == "+14155551212"
    await tenant.send(send_request(user={"id": "other", "number": number}))
    assert (await get(tenant, "other")).number == "+14155551212"


BAD_ADDRESSES = {"email": ["spongebob", "a@b", "a b@c.de", "a@@c.de"], "number": ["abc", "12", "+999"]}


@pytest.mark.parametrize(("field", "address"), [(name, one) for name, many in BAD_ADDRESSES.items() for one in many])
async def test_a_bad_address_is_refused_or_costs_its_channel(tenant: Tenant, field: str, address: str) -> None:
    """IdentifyUser refuses what cannot be an address; Send skips its channel, warns, sends the rest, keeps nothing."""
    refused = await refusal(identify(tenant, **dict[str, Any]({field: address})))
    assert refused.violations == ((f"user.{field}", "INVALID_ADDRESS"),)

    good = {name: TEXTS[name] for name in ("email", "number") if name != field}
    (answer,) = await tenant.send(send_request(user=good | {field: address}))

    result = outcomes(answer)
    assert (result["EMAIL"], result["SMS"]) == (
        ("INVALID_ADDRESS", "PENDING") if field == "email" else ("PENDING", "INVALID_ADDRESS")
    )
    assert result["INAPP_WEB"] == "DELIVERED"
    assert warnings(answer) == [("INVALID_ADDRESS", f"user.{field}")]
    assert texts(await get(tenant)) == good


async def test_a_bad_timezone_is_warned_about_in_a_send(tenant: Tenant) -> None:
    """A timezone that the tz database lacks does not keep a send back."""
    (answer,) = await tenant.send(send_request(user={"timezone": "Mars/Olympus"}))

    assert warnings(answer) == [("INVALID_TIMEZONE", "user.timezone")]
    assert texts(await get(tenant)) == {}


async def test_a_send_fills_only_what_the_profile_lacks(tenant: Tenant) -> None:
    """What comes with a send is used for it, completes the profile and never overwrites it; tokens are merged."""
    await identify(tenant, email="known@example.com", push_tokens=tokens("a"))

    await tenant.send(
        send_request(
            user={
                **TEXTS,
                "properties": struct({"a": 1}),
                "push_tokens": tokens("b"),
                "web_push_subscriptions": browsers("b"),
            }
        )
    )

    known = await get(tenant)
    assert texts(known) == TEXTS | {"email": "known@example.com"}
    assert known.properties == struct({"a": 1})
    assert token_names(known) == ["a", "b"]
    assert len(known.web_push_subscriptions) == 1


async def test_a_send_moves_tokens_too(tenant: Tenant) -> None:
    """A token that comes with a send to one user leaves another's profile."""
    await identify(tenant, push_tokens=tokens("shared"))

    await tenant.send(send_request(user={"id": "next", "push_tokens": tokens("shared")}))

    assert token_names(await get(tenant)) == []
    assert token_names(await get(tenant, "next")) == ["shared"]


async def test_a_send_knows_the_address_of_the_profile(tenant: Tenant) -> None:
    """A send without addresses goes to those of the profile."""
    await identify(tenant, email=TEXTS["email"], push_tokens=tokens("t"))

    (answer,) = await tenant.send(send_request())

    assert [outcomes(answer)[channel] for channel in ("EMAIL", "SMS", "PUSH")] == ["PENDING", "NO_ADDRESS", "PENDING"]


async def test_a_send_makes_user_and_part_known(tenant: Tenant) -> None:
    """A send creates its user, and its sub-notification with the id as title; a title given before stays."""
    await tenant.send(send_request(sub_notification_id="store_1"), send_request(sub_notification_id="store_1"))

    assert (await get(tenant)).HasField("create_time")
    answer = await tenant.backend.preferences.GetPreferences(preferences_pb2.GetPreferencesRequest(user_id=USER))
    (order,) = (one for one in answer.notifications if one.notification_id == "order_tracking")
    assert [(part.sub_notification_id, part.title) for part in order.sub_notifications] == [("store_1", "store_1")]


async def test_texts_that_look_like_paths_are_texts(tenant: Tenant) -> None:
    """A value that means something to the database is stored and filled in as the text that it is."""
    await tenant.send(send_request(user={"first_name": "$email"}), send_request(user={"last_name": "$$ROOT"}))
    answered = await identify(tenant, photo_url="https://example.com/$x", properties=struct({"$set": {"a.b": "$c"}}))

    assert (answered.first_name, answered.last_name) == ("$email", "$$ROOT")
    assert answered.properties == struct({"$set": {"a.b": "$c"}})
