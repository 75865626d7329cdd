"""A Node process that runs the published SDKs, and what it is asked to do with them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.readme import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

FOLDER = Path(__file__).parent
WEB = FOLDER / "web"
MODULES = FOLDER / "node_modules"
PATIENCE_S = 30.0
_MAX_LINE_BYTES = 1 << 24


class SdkError(Exception):
    """What an SDK has thrown, or rejected with."""


class Node:
    """A process of Node's with all SDKs loaded."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def evaluate(self, code: str, argument: Any = None, *, page: int | None = None) -> Any:
        """Calls a function in JavaScript, and gives what it, or its promise, comes to.

        Args:
            code: The function. Beside the SDKs it sees ``core``, ``server`` and what else the runner has.
            argument: What it is called with: plain values.
            page: The page in which it runs instead, by its number.

        Raises:
            SdkError: If it throws.
        """
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin
        self._process.stdin.write(
            json.dumps({"id": number, "code": code, "argument": argument, "page": page}).encode() + b"\n"
        )
        async with asyncio.timeout(PATIENCE_S):
            return await self._waiting[number]

    async def read(self) -> None:
        """Hands the answers on, until the process ends."""
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["id"])
            if waiting.done():
                continue
            if "error" in answer:
                waiting.set_exception(SdkError(answer["error"]))
            else:
                waiting.set_result(answer.get("value"))
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(SdkError("node has ended"))


async def install() -> None:
    """Installs the SDKs at the versions of package-lock.json, unless they are there."""
    installed, lock = MODULES / ".package-lock.json", FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        await run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=FOLDER)


@asynccontextmanager
async def run_node(certificate: Path) -> AsyncIterator[Node]:
    """Runs Node until the block ends; it trusts the certificate, as a machine does the one of its company."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(FOLDER / "runner.mjs"),
        env=os.environ | {"NODE_EXTRA_CA_CERTS": str(certificate)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_MAX_LINE_BYTES,
    )
    node = Node(process)
    reader = asyncio.create_task(node.read())
    try:
        yield node
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reader


async def comes_to(expected: object, read: Callable[[], Awaitable[object]]) -> None:
    """Reads until it is what is expected; what it was instead is in the failure."""
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while (value := await read()) != expected:
        assert asyncio.get_running_loop().time() < end, f"it is {value!r}, and does not come to {expected!r}"
        await asyncio.sleep(0.05)
