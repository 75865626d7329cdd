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

from tests.conformance.npm import install_locked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

FOLDER = Path(__file__).parent
WEB = FOLDER / "web"
PATIENCE_S = 30.0
_MAX_LINE_BYTES = 1 << 24


class SdkError(Exception):
    """What an SDK has thrown, or rejected with."""


class Node:
    """A process of Node's with all SDKs loaded."""

    def __init__(self, process: asyncio.subprocess.Process, modules: Path, certificate: Path) -> None:
        self.modules = modules
        """Where the packages are."""

        self._process = process
        self._certificate = certificate
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

    async def terminate_tls(self, port: int) -> str:
        """Puts TLS before a port of this machine; gives the host and port to call instead."""
        files = {name: (self._certificate.parent / f"{name}.pem").read_text() for name in ("key", "cert")}
        return f"127.0.0.1:{await self.evaluate('options => terminateTls(options)', files | {'port': port})}"

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


@asynccontextmanager
async def run_node(folder: Path, certificate: Path) -> AsyncIterator[Node]:
    """Runs Node until the block ends, with the SDKs at the versions of package-lock.json.

    Args:
        folder: Where they are installed; there must be nothing yet.
        certificate: What it trusts, as a machine does the one of its company; its key is beside it.
    """
    await install_locked(FOLDER, folder)
    process = await asyncio.create_subprocess_exec(
        "node",
        str(folder / "runner.mjs"),
        env=os.environ | {"NODE_EXTRA_CA_CERTS": str(certificate)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_MAX_LINE_BYTES,
    )
    node = Node(process, folder / "node_modules", certificate)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(node.read())
        try:
            yield node
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def comes_to(expected: object, read: Callable[[], Awaitable[object]]) -> None:
    """Reads until it is what is expected; what it was instead is in the failure."""
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while (value := await read()) != expected:
        assert asyncio.get_running_loop().time() < end, f"it is {value!r}, and does not come to {expected!r}"
        await asyncio.sleep(0.05)
