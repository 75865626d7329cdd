"""`carillon env`: making, rotating and listing environments."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc
import pytest

from carillon.v1 import inbox_pb2
from services.kernel.auth import basic_authorization
from tests.contract.services.refusals import refusal
from tests.contract.services.world import Caller
from tests.e2e.processes import Result, call
from tests.e2e.stack import MASTER_KEY

if TYPE_CHECKING:
    from tests.e2e.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def env(stack: Stack, *arguments: str, master_key: str = MASTER_KEY) -> Result:
    """Runs `carillon env`."""
    return await call("env", *arguments, mongodb_uri=stack.mongodb_uri, master_key=master_key)


async def opens(stack: Stack, client_id: str, secret: str) -> bool:
    """Tells whether a secret opens an environment now."""
    settings = {"services_url": stack.services_url, "client_id": client_id, "client_secret": secret}
    result = await call("send", "nowhere", "u", **settings)
    assert "NOT_FOUND" in result.stderr or "UNAUTHENTICATED" in result.stderr, result
    return "NOT_FOUND" in result.stderr


def secret_of(result: Result) -> str:
    """Gives the secret that a command printed."""
    lines = [line.split() for line in result.stdout.splitlines()]
    return next(line[1] for line in lines if line and line[0] == "client_secret")


async def test_two_secrets_live_at_once_while_one_is_rotated(stack: Stack) -> None:
    """After a rotation both secrets open the environment; the old one is printed with its end, a day later."""
    old = secret_of(await env(stack, "create", "rotated"))

    rotated = await env(stack, "rotate", "rotated")

    new = secret_of(rotated)
    assert (rotated.code, old == new, old in rotated.stdout) == (0, False, False)
    ends = datetime.strptime(rotated.stdout.split(" until ")[1].strip(), "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
    assert timedelta(hours=23, minutes=58) < ends - datetime.now(UTC) <= timedelta(hours=24)
    assert (await opens(stack, "rotated", old), await opens(stack, "rotated", new)) == (True, True)


async def test_a_secret_can_be_ended_at_once(stack: Stack) -> None:
    """With --expire-in 0s the new secret is the only one that opens the environment."""
    old = secret_of(await env(stack, "create", "leaked"))
    assert await opens(stack, "leaked", old)

    rotated = await env(stack, "rotate", "leaked", "--expire-in", "0s")

    assert "no other secret works any more" in rotated.stdout
    assert await opens(stack, "leaked", secret_of(rotated))
    assert not await opens(stack, "leaked", old)


async def test_the_list_names_secrets_and_shows_none(stack: Stack) -> None:
    """`carillon env list` has a line for each environment, how many secrets live, which and until when."""
    secrets = [secret_of(await env(stack, "create", "listed")), secret_of(await env(stack, "rotate", "listed"))]

    listed = await env(stack, "list")

    assert listed.code == 0
    head, *lines = listed.stdout.splitlines()
    assert head.split() == ["CLIENT", "ID", "NAME", "CREATED", "LIVE", "SECRETS"]
    (first, second), *_ = [lines[i : i + 2] for i, line in enumerate(lines) if line.startswith("listed ")]
    assert f"{datetime.now(UTC):%Y-%m-%d}" in first
    assert " 2 " in first
    assert " until " in first
    assert " until " not in second
    assert [secret for secret in (*secrets, stack.client_secret) if secret in listed.stdout] == []


def vapid_key_of(result: Result) -> str:
    """Gives the public key that a command printed."""
    return result.stdout.splitlines()[1].removeprefix("vapid_public_key  ")


async def test_keys_for_browsers_are_made_once(stack: Stack) -> None:
    """`carillon env vapid` prints a public key; only --replace makes others, and says what that means."""
    await env(stack, "create", "pushing")
    subject = ("--subject", "mailto:ops@example.com")

    first = await env(stack, "vapid", "pushing", *subject)
    assert (first.code, first.stdout.splitlines()[0]) == (0, "client_id         pushing")
    # A point on the curve: 65 bytes, the first of which is 4.
    key = vapid_key_of(first)
    assert (len(key), key[0]) == (87, "B")

    again = await env(stack, "vapid", "pushing", *subject)
    assert (again.code, again.stdout, again.stderr.count("\n")) == (1, "", 1)
    assert key in again.stderr
    assert "--replace" in again.stderr

    replaced = await env(stack, "vapid", "pushing", "--subject", "https://example.com", "--replace")
    assert (replaced.code, vapid_key_of(replaced) != key) == (0, True)
    assert "until it has subscribed again" in replaced.stdout


async def test_secure_mode_is_switched(stack: Stack) -> None:
    """`carillon env secure-mode CLIENT_ID off` lets a bare user id in, and says so; on, a second later, does not."""
    await env(stack, "create", "insecure")
    bare = [basic_authorization("insecure", "u", "")]
    async with grpc.aio.insecure_channel(stack.services_url.removeprefix("grpc://")) as channel:
        own = Caller(channel, bare)
        assert (await refusal(unread(own))).reason == "CREDENTIALS_INVALID"

        off = await env(stack, "secure-mode", "insecure", "off")
        assert (off.code, off.stdout.splitlines()[:2]) == (0, ["client_id    insecure", "secure_mode  off"])
        assert "whoever knows the id of a user" in off.stdout
        assert await unread(own) == 0

        on = await env(stack, "secure-mode", "insecure", "on")
        assert (on.code, on.stdout) == (0, "client_id    insecure\nsecure_mode  on\n")
        async with asyncio.timeout(30):
            assert (await refusal(unread_on(own))).reason == "CREDENTIALS_INVALID"


async def unread(own: Caller) -> int:
    """Counts a user's unread items."""
    return int((await own.inbox.CountUnread(inbox_pb2.CountUnreadRequest())).unread_count)


async def unread_on(own: Caller) -> None:
    """Counts them until it is refused."""
    while True:
        await unread(own)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("rotate", "nowhere"), "environment 'nowhere' does not exist"),
        (("rotate", "x", "--expire-in", "1 day"), "a duration is a number and one of s, m, h, d"),
        (("rotate", "x", "--expire-in", "367d"), "a duration is a number and one of s, m, h, d"),
        (("secure-mode", "nowhere", "off"), "environment 'nowhere' does not exist"),
        (("vapid", "nowhere", "--subject", "mailto:a@example.com"), "environment 'nowhere' does not exist"),
        (("vapid", "x", "--subject", "ops@example.com"), "--subject must be like mailto:ops@example.com"),
        (("create", "a b"), "CLIENT_ID must be 1 to 64"),
        (("create", "x" * 65), "CLIENT_ID must be 1 to 64"),
    ],
)
async def test_what_cannot_be_done_is_one_line(stack: Stack, arguments: tuple[str, ...], problem: str) -> None:
    """A command that is asked for what cannot be says so in one line, with exit code 1."""
    result = await env(stack, *arguments)

    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"carillon: {problem}")
    assert result.stderr.count("\n") == 1


async def test_another_master_key_is_named(stack: Stack) -> None:
    """With a master key that the secrets were not sealed with nothing is rotated, and the line says which is meant."""
    result = await env(stack, "rotate", stack.client_id, master_key="A" * 42 + "E=")

    assert (result.code, result.stderr.count("\n")) == (1, 1)
    assert "CARILLON_MASTER_KEY" in result.stderr
    assert await opens(stack, stack.client_id, stack.client_secret)
