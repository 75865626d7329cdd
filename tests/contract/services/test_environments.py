"""The settings of an environment."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.duration_pb2 import Duration

from carillon.v1 import channel_pb2, environments_pb2
from services.environments.vapid import new_vapid_keys
from services.kernel.crypto import MasterKeyError
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import EMAIL, INAPP_WEB, SMS, USER, outcomes, send_request
from tests.contract.services.test_users import get, identify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.contract.services.world import Caller, Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

Environment = environments_pb2.Environment
SETTINGS: dict[str, Any] = {
    "name": "Bikini Bottom",
    "logo_url": "https://example.com/logo.png",
    "disabled_channels": [EMAIL, SMS],
    "retention": timedelta(days=30),
    "default_region": "DE",
    "default_timezone": "Europe/Berlin",
    "default_language": "de",
}


async def read(caller: Caller) -> Environment:
    """Gets the caller's environment."""
    answer = await caller.environments.GetEnvironment(environments_pb2.GetEnvironmentRequest())
    environment: Environment = answer.environment
    return environment


async def update(tenant: Tenant, mask: Sequence[str] = (), **fields: Any) -> Environment:
    """Changes settings and gives them as answered."""
    request = environments_pb2.UpdateEnvironmentRequest(environment=Environment(**fields))
    request.update_mask.paths.extend(mask)
    environment: Environment = (await tenant.backend.environments.UpdateEnvironment(request)).environment
    return environment


async def test_a_new_environment_has_the_defaults(tenant: Tenant) -> None:
    """A backend gets every setting as it holds, and nothing that looks like a secret."""
    environment = await read(tenant.backend)

    expected = Environment(
        client_id=tenant.client_id,
        name=tenant.client_id,
        secure_mode=True,
        retention=Duration(seconds=90 * 86_400),
        default_region="US",
        default_timezone="UTC",
        default_language="en",
    )
    for name in ("create_time", "update_time"):
        environment.ClearField(name)
    assert environment == expected
    assert tenant.secret not in str(environment)


async def test_what_is_set_is_written_and_the_rest_left(tenant: Tenant) -> None:
    """Without a mask the fields that are set are written; what is answered is what is got."""
    first = await update(tenant, **SETTINGS)
    second = await update(tenant, name="New", client_id="ignored", vapid_public_key="ignored")

    assert second == await read(tenant.backend)
    assert second.update_time.ToDatetime() >= first.update_time.ToDatetime()
    first.name = "New"
    first.update_time.CopyFrom(second.update_time)
    assert second == first
    assert (second.client_id, list(second.disabled_channels)) == (tenant.client_id, [EMAIL, SMS])


async def test_a_mask_takes_back(tenant: Tenant) -> None:
    """A masked field that is empty has its default again; others keep theirs, also if they are set."""
    before = await read(tenant.backend)
    await update(tenant, **SETTINGS)

    masked = await update(tenant, ["disabled_channels", "retention", "client_id"], name="ignored")
    assert (list(masked.disabled_channels), masked.retention.ToTimedelta()) == ([], timedelta(days=90))
    assert masked.name == "Bikini Bottom"

    everything = await update(tenant, ["*"], secure_mode=True)
    before.update_time.CopyFrom(everything.update_time)
    assert everything == before


async def test_a_user_gets_the_looks_only(tenant: Tenant) -> None:
    """A user gets name and logo and nothing else, and changes nothing."""
    await update(tenant, **SETTINGS)
    user = tenant.user(USER)

    assert await read(user) == Environment(name="Bikini Bottom", logo_url="https://example.com/logo.png")
    request = environments_pb2.UpdateEnvironmentRequest(environment=Environment(name="x"))
    assert (await refusal(user.environments.UpdateEnvironment(request))).reason == "BACKEND_ONLY"


async def test_browsers_get_the_key_to_subscribe_with(world: World, tenant: Tenant) -> None:
    """Users and backends get the public key and never the private one; while WEB_PUSH is switched off there is none."""
    keys = new_vapid_keys("mailto:ops@example.com")
    assert (await read(tenant.user(USER))).vapid_public_key == ""
    assert await world.stores.environments.change(tenant.client_id, lambda stored: replace(stored, vapid=keys))

    for caller in (tenant.backend, tenant.user(USER)):
        environment = await read(caller)
        assert environment.vapid_public_key == keys.public_key
        assert keys.private_key not in str(environment)

    switched_off = await update(tenant, disabled_channels=[channel_pb2.CHANNEL_WEB_PUSH])
    assert switched_off.vapid_public_key == (await read(tenant.user(USER))).vapid_public_key == ""
    # What else is written leaves the keys alone.
    switched_on = await update(tenant, ["disabled_channels", "name"], name="New")
    assert switched_on.vapid_public_key == (await read(tenant.user(USER))).vapid_public_key == keys.public_key
    assert keys in [one.vapid for one in await world.stores.environments.get_many([tenant.client_id])]


async def test_a_private_key_opens_in_its_own_place_only(world: World, tenant: Tenant) -> None:
    """It is stored sealed, and what is copied into another environment does not open there."""
    keys = new_vapid_keys("mailto:ops@example.com")
    environments, other = world.stores.environments, await world.tenant()
    assert await environments.change(tenant.client_id, lambda stored: replace(stored, vapid=keys))
    document = await world.database.environments.find_one({"_id": tenant.client_id})
    assert keys.private_key not in str(document)

    copy = {"$set": {"vapid": document["vapid"]}}
    await world.database.environments.update_one({"_id": other.client_id}, copy)
    with pytest.raises(MasterKeyError):
        await environments.get_many([other.client_id])
    await world.database.environments.delete_one({"_id": other.client_id})


async def test_settings_hold_from_the_answer_on(tenant: Tenant) -> None:
    """Disabled channels, region, language and retention hold for the very next call."""
    await tenant.send(send_request())
    await update(tenant, disabled_channels=[SMS], default_region="DE", retention=timedelta(days=1))

    (answer,) = await tenant.send(send_request(user={"number": "030 901820", "email": "a@example.com"}))

    assert (outcomes(answer)["SMS"], outcomes(answer)["EMAIL"]) == ("CHANNEL_DISABLED", "PENDING")
    assert (await get(tenant)).number == "+4930901820"
    assert (await identify(tenant, number="040 428280")).number == "+4940428280"
    newest, first = await tenant.items(USER)
    assert newest.expire_time.ToDatetime() - newest.date.ToDatetime() == timedelta(days=1)
    assert first.expire_time.ToDatetime() - first.date.ToDatetime() == timedelta(days=90)

    await update(tenant, disabled_channels=[INAPP_WEB])
    (answer,) = await tenant.send(send_request())
    assert outcomes(answer)["INAPP_WEB"] == "CHANNEL_DISABLED"
    assert len(await tenant.items(USER)) == 2


async def test_an_update_concerns_its_environment_alone(world: World, tenant: Tenant) -> None:
    """Another environment keeps its settings, and the secrets of this one go on opening it."""
    other = await world.tenant()
    before = await read(other.backend)

    await update(tenant, **SETTINGS)

    assert await read(other.backend) == before
    assert (await read(tenant.backend)).name == "Bikini Bottom"


EDGES: dict[str, list[Any]] = {
    "name": ["x" * 256],
    "logo_url": ["https://" + "x" * 2040],
    "retention": [timedelta(days=1), timedelta(days=3650), timedelta(hours=36, milliseconds=1)],
    "disabled_channels": [[EMAIL] * 100],
    "default_language": ["pt-BR"],
}
BEYOND: list[tuple[str, Any, str]] = [
    ("name", "x" * 257, "TOO_LONG"),
    ("name", "é" * 129, "TOO_LONG"),
    ("logo_url", "https://" + "x" * 2041, "TOO_LONG"),
    ("logo_url", "javascript:alert(1)", "INVALID"),
    ("retention", timedelta(hours=24) - timedelta(microseconds=1), "OUT_OF_RANGE"),
    ("retention", timedelta(days=3650, seconds=1), "OUT_OF_RANGE"),
    ("retention", timedelta(days=-1), "OUT_OF_RANGE"),
    ("retention", {"seconds": 315_576_000_000}, "OUT_OF_RANGE"),
    ("disabled_channels", [EMAIL] * 101, "TOO_MANY"),
    ("default_region", "us", "INVALID"),
    ("default_region", "XX", "INVALID"),
    ("default_timezone", "Mars/Olympus", "INVALID"),
    ("default_language", "Deutsch!", "INVALID"),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in EDGES.items() for value in values])
async def test_what_is_just_allowed_is_taken(tenant: Tenant, name: str, value: Any) -> None:
    """A setting at its limit is stored as it was given."""
    environment = await update(tenant, **{name: value})

    given = Environment(**{name: value})
    if name == "disabled_channels":
        given = Environment(disabled_channels=[EMAIL])
    assert getattr(environment, name) == getattr(given, name)


@pytest.mark.parametrize(("name", "value", "problem"), BEYOND)
async def test_what_is_not_allowed_is_refused(tenant: Tenant, name: str, value: Any, problem: str) -> None:
    """A setting beyond its limit is refused with its field, and nothing of the call is written."""
    before = await read(tenant.backend)

    other = {"name": "New"} if name != "name" else {"default_region": "DE"}
    refused = await refusal(update(tenant, **{name: value}, **other))

    assert_violates(refused, [(f"environment.{name}", problem)])
    assert await read(tenant.backend) == before


async def test_unknown_paths_and_channels_are_refused_together(tenant: Tenant) -> None:
    """A mask that names what is no setting is refused, with all else that is wrong."""
    mask = ["name", "nmae", "secrets", "default_region", "disabled_channels"]
    refused = await refusal(update(tenant, mask, default_region="XX", disabled_channels=[0, 99]))

    assert_violates(
        refused,
        [
            ("update_mask.paths[1]", "UNKNOWN_PATH"),
            ("update_mask.paths[2]", "UNKNOWN_PATH"),
            ("environment.default_region", "INVALID"),
            ("environment.disabled_channels[0]", "REQUIRED"),
            ("environment.disabled_channels[1]", "UNKNOWN_VALUE"),
        ],
    )


@pytest.mark.parametrize("mask", [["secure_mode"], ["*", "secure_mode"]])
async def test_secure_mode_is_switched_off_by_name_alone(tenant: Tenant, mask: list[str]) -> None:
    """A mask with its name takes it off; one of everything else, and none at all, leave it as it is."""
    assert not (await update(tenant, mask)).secure_mode
    assert not (await update(tenant, name="Named")).secure_mode
    assert not (await read(tenant.backend)).secure_mode

    assert (await update(tenant, secure_mode=True)).secure_mode
    assert (await update(tenant, ["name"])).secure_mode
    assert (await read(tenant.backend)).secure_mode


async def test_who_writes_all_settings_does_not_open_every_inbox(tenant: Tenant) -> None:
    """'*' without secure_mode is refused, whether it was off before or on, and nothing of the call is written."""
    for mask in (["*"], ["name", "*"]):
        refused = await refusal(update(tenant, mask, name="New"))
        assert_violates(refused, [("environment.secure_mode", "CONFLICT")])
    assert (await read(tenant.backend)).name == tenant.client_id

    assert (await update(tenant, ["*"], secure_mode=True)).secure_mode


async def test_an_environment_from_before_is_secure(world: World, tenant: Tenant) -> None:
    """Where nothing is stored of secure mode it is on."""
    await world.database.environments.update_one({"_id": tenant.client_id}, {"$unset": {"secure_mode": ""}})

    assert (await read(tenant.backend)).secure_mode
