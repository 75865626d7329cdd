"""Each command by itself: what it prints, and the one line where it cannot do what it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest

from services.kernel.auth import user_hash
from services.kernel.mongod import LocalMongod
from tests.e2e.processes import call, free_port, start, wait_until
from tests.e2e.stack import MASTER_KEY
from tests.tokens import key_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOWHERE = "mongodb://127.0.0.1:1/?replicaSet=carillon"


async def test_help_lists_the_commands() -> None:
    """`carillon --help` names every command."""
    result = await call("--help")

    assert result.code == 0
    for name in ("dev", "serve", "gateway", "apply", "hash", "token", "health", "env"):
        assert f" {name} " in result.stdout


async def test_hash(stack: Stack) -> None:
    """`carillon hash` prints what a backend computes."""
    result = await call("hash", "userId_123abc", **stack.client_settings)

    assert result.stdout == user_hash(stack.client_secret, "userId_123abc") + "\n"


async def test_token(stack: Stack) -> None:
    """`carillon token` prints a token of the user that lives as long as is asked, and says what is wrong."""
    result = await call("token", "userId_123abc", "--ttl", "90s", **stack.client_settings)
    too_long = await call("token", "userId_123abc", "--ttl", "25h", **stack.client_settings)

    claims = jwt.decode(
        result.stdout.strip(), key_of(stack.client_secret), ["HS256"], audience=stack.client_id, leeway=60
    )
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("userId_123abc", pytest.approx(90))
    assert (too_long.code, too_long.stderr) == (1, "carillon: ttl: must be 1 minute to 24 hours\n")


async def test_an_environment_is_created_once(stack: Stack) -> None:
    """`carillon env create` refuses a name that is taken, and the secret in use stays."""
    result = await stack.create_environment()

    assert (result.code, result.stdout) == (1, "")
    assert result.stderr == f"carillon: environment '{stack.client_id}' exists already; choose another client_id\n"
    assert (await stack.apply_samples()).code == 0


async def test_apply_says_what_is_wrong(stack: Stack, tmp_path: Path) -> None:
    """`carillon apply` names the file and the place, or the definition and its field."""
    file = tmp_path / "catalogue.yaml"

    file.write_text("notifications: [{id: x, titel: y}]")
    unknown_field = await call("apply", str(file), **stack.client_settings)
    file.write_text(
        'notifications: [{id: x, channels: [{channel: SMS}], templates: [{content: {sms: {text: "{{ a"}}}]}]'
    )
    refused = await call("apply", str(file), **stack.client_settings)
    stranger = await call("apply", str(file), **(stack.client_settings | {"client_secret": "wrong"}))

    for result in (unknown_field, refused, stranger):
        assert (result.code, result.stdout) == (1, "")
        assert result.stderr.count("\n") == 1
    assert unknown_field.stderr.startswith(f"carillon: {file}: notifications[0]: ")
    assert "titel" in unknown_field.stderr
    assert "notification.templates[0].content.sms.text: " in refused.stderr
    assert "UNAUTHENTICATED" in stranger.stderr


@pytest.mark.parametrize(
    ("command", "settings", "problem"),
    [
        ("serve", {"mongodb_uri": NOWHERE}, "CARILLON_MASTER_KEY is not set"),
        ("serve", {"grpc_port": "abc"}, "CARILLON_GRPC_PORT: "),
        ("serve", {"log_level": "loud"}, "CARILLON_LOG_LEVEL: "),
        ("gateway", {}, "CARILLON_MONGODB_URI is not set"),
        ("health", {"services_url": "grpc://127.0.0.1:1"}, "UNAVAILABLE: "),
    ],
)
async def test_wrong_settings(command: str, settings: dict[str, str], problem: str) -> None:
    """A setting that is missing or wrong is one line that names it."""
    result = await call(command, **settings)

    assert result.code == 1
    assert result.stderr.startswith(f"carillon: {problem}")
    assert result.stderr.count("\n") == 1


async def test_services_wait_for_mongodb(tmp_path: Path) -> None:
    """Without MongoDB the services say so in one line a try, and in health; when it comes, they serve."""
    mongodb_port, grpc_port = free_port(), free_port()
    mongod = LocalMongod(tmp_path, port=mongodb_port)
    client = {"services_url": f"grpc://127.0.0.1:{grpc_port}"}

    async def is_serving() -> bool:
        return (await call("health", **client)).code == 0

    async with start("serve", mongodb_uri=mongod.uri, master_key=MASTER_KEY, grpc_port=grpc_port) as services:
        line = await services.says("mongodb_unreachable")
        assert "Traceback" not in services.output
        assert "Connect call failed" in line
        health = await call("health", **client)
        assert (health.code, health.stdout) == (1, "NOT_SERVING\n")

        async with mongod:
            await services.says("services on grpc://")
            await wait_until(is_serving)
