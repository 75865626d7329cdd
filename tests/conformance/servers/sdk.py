"""A published SDK in a process of its own, whose functions are called from here, one line for one call."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conformance.npm import install_locked
from tests.e2e.readme import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.stack import Stack

HERE = Path(__file__).parent
NODE_SDK = "notificationapi-node-server-sdk"
OLDER_NODE_SDKS = ("node-server-sdk-0.21", "node-server-sdk-2.2")
ANSWER_S = 30.0


@dataclass(frozen=True)
class Answer:
    """What became of a call: what the SDK returned or threw, and what it printed."""

    printed: list[str]
    status: int | None = None
    data: Any = None
    thrown: str | None = None


class Sdk:
    """An SDK while its process runs; `call` takes its functions as they are named there."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def call(self, name: str, *values: Any) -> Answer:
        """Calls a function of the SDK."""
        return await self._ask(name=name, values=values)

    async def run(self, source: str) -> Answer:
        """Runs an example as it stands; what it gives is the answer."""
        return await self._ask(source=source)

    async def _ask(self, **fields: Any) -> Answer:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(fields).encode() + b"\n")
        async with asyncio.timeout(ANSWER_S):
            line = await self._process.stdout.readline()
        assert line, "the SDK's process has ended"
        return Answer(**json.loads(line))


def base_url(stack: Stack) -> str:
    """Gives the one thing that somebody who comes to Carillon changes."""
    return f"http://127.0.0.1:{stack.http_port}"


async def install_node_sdks(folder: Path) -> None:
    """Installs the Node SDK into a folder that is not there yet, older ones beside it."""
    await install_locked(HERE / "node", folder)


@asynccontextmanager
async def run_node_sdk(stack: Stack, folder: Path, package: str = NODE_SDK) -> AsyncIterator[Sdk]:
    """Runs a Node SDK that is installed there."""
    async with _run("node", "calls.mjs", package, cwd=folder) as sdk:
        await init_node(sdk, stack)
        yield sdk


async def init_node(sdk: Sdk, stack: Stack, *, secret: str = "", slash: str = "") -> None:
    """Initialises the Node SDK, as a backend does when it starts."""
    config = {"baseURL": base_url(stack) + slash}
    assert not (await sdk.call("init", stack.client_id, secret or stack.client_secret, config)).thrown


async def install_python_sdk(folder: Path) -> Path:
    """Installs the Python SDK into an environment of its own, and gives that one's Python."""
    await run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = folder / "bin" / "python"
    requirements = str(HERE / "python" / "requirements.txt")
    quiet = ("--quiet", "--disable-pip-version-check")
    await run(sys.executable, "-m", "pip", "--python", str(python), "install", *quiet, "--no-deps", "-r", requirements)
    return python


@asynccontextmanager
async def run_python_sdk(stack: Stack, python: Path) -> AsyncIterator[Sdk]:
    """Runs the Python SDK that is installed for a Python."""
    async with _run(str(python), "-I", str(HERE / "python" / "calls.py"), cwd=python.parent) as sdk:
        await init_python(sdk, stack)
        yield sdk


async def init_python(sdk: Sdk, stack: Stack, *, secret: str = "", slash: str = "") -> None:
    """Initialises the Python SDK."""
    assert not (await sdk.call("init", stack.client_id, secret or stack.client_secret, base_url(stack) + slash)).thrown


@asynccontextmanager
async def _run(*command: str, cwd: Path) -> AsyncIterator[Sdk]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        # The proxies of the machine are not for a stack on it.
        env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        yield Sdk(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
