"""Carillon's commands as processes of their own, started as a person starts them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0
STOP_S = 10.0


def free_port() -> int:
    """Gives a port that nothing uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Child(asyncio.SubprocessProtocol):
    """A process that runs; all that it writes is shown when the test fails."""

    _transport: asyncio.SubprocessTransport

    def __init__(self, name: str) -> None:
        self._name = name
        self._written: list[str] = []
        self._begun = b""
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._exited = asyncio.Event()
        self._silent = asyncio.Event()

    @property
    def output(self) -> str:
        """Gives all that it has written."""
        return "".join(self._written)

    @property
    def pid(self) -> int:
        """Gives the id of the process."""
        return self._transport.get_pid()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps what the process is held by."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Takes what it writes, line by line."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            text = line.decode() + "\n"
            sys.stderr.write(f"{self._name}: {text}")
            self._written.append(text)
            self._lines.put_nowait(text)

    def process_exited(self) -> None:
        """Notes that it has ended."""
        self._exited.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Notes that it writes nothing more."""
        self._lines.put_nowait(None)
        self._silent.set()

    async def says(self, text: str) -> str:
        """Awaits the next line that has ``text`` in it, and gives it."""
        async with asyncio.timeout(PATIENCE_S):
            while (line := await self._lines.get()) is not None:
                if text in line:
                    return line
        raise AssertionError(f"{self._name} ended without {text!r}")

    async def falls_silent(self) -> None:
        """Awaits that nobody holds its output any more: it has ended, and so have all that it has started."""
        async with asyncio.timeout(PATIENCE_S):
            await self._silent.wait()

    async def stop(self) -> int:
        """Ends it by SIGTERM, by force after 10 s, and gives its exit code, which is negative for the force."""
        with contextlib.suppress(ProcessLookupError):
            self._transport.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await self._exited.wait()
        except TimeoutError:
            await self.kill()
        code = self._transport.get_returncode()
        assert code is not None
        return code

    async def kill(self) -> None:
        """Ends it at once, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            self._transport.kill()
        await self._exited.wait()


@dataclass(frozen=True)
class Result:
    """What a command that ended has left."""

    code: int
    stdout: str
    stderr: str


@contextlib.asynccontextmanager
async def start(*arguments: str, environment: Any = None, **settings: object) -> AsyncIterator[Child]:
    """Starts ``carillon ARGUMENTS``; ends it with the block, if the block has not.

    Args:
        arguments: The command and what it takes.
        environment: Variables that are no settings of Carillon's, by name. Untyped, as settings are mappings too.
        settings: Its environment variables, named without ``CARILLON_`` and in small letters.
    """
    transport, child = await asyncio.get_running_loop().subprocess_exec(
        lambda: Child(f"carillon {arguments[0]}"),
        *_command(arguments),
        env=_environment(settings) | dict(environment or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield child
    finally:
        await child.stop()
        transport.close()


async def call(*arguments: str, environment: Any = None, **settings: object) -> Result:
    """Runs ``carillon ARGUMENTS`` to its end; the environment as for `start`."""
    process = await asyncio.create_subprocess_exec(
        *_command(arguments),
        env=_environment(settings) | dict(environment or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            stdout, stderr = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode is not None
    return Result(process.returncode, stdout.decode(), stderr.decode())


async def wait_until(is_true: Callable[[], Awaitable[bool]]) -> None:
    """Asks until the answer is yes: for what cannot be awaited, as the state of another process."""
    async with asyncio.timeout(PATIENCE_S):
        while not await is_true():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)


async def is_healthy(url: str) -> bool:
    """Tells whether a health check answers 200."""
    with contextlib.suppress(httpx.TransportError):
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(url)).status_code == 200
    return False


def _command(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return (sys.executable, "-m", "services", *arguments)


def _environment(settings: Mapping[str, object]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")}
    given = {f"CARILLON_{name.upper()}": str(value) for name, value in settings.items()}
    return inherited | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"} | given
