"""A private MongoDB for a laptop and for tests: a single-member replica set on loopback that ends with the process.

Each of its errors is one line that says what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure, OperationFailure

from services.kernel.mongo import raise_if_cancelled
from services.kernel.mongod_binary import LocalMongodError, find_binary, why_it_did_not_start

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence
    from types import TracebackType

HOST = "127.0.0.1"
REPLICA_SET = "carillon"
START_S = 60.0
STOP_S = 10.0

_NOT_YET_INITIALIZED = 94


class LocalMongod:
    """A mongod that runs inside of ``async with``, or between ``start`` and ``stop``.

    Args:
        data_dir: Where data, log and lock are kept; made if it is not there. One process at a time may use it.
        port: 0 takes a free one at the first start and keeps it.
        binary: The mongod to run; else the one on PATH, else the one that the ``local`` extra installs.
        extra_args: What else it is started with.
    """

    def __init__(
        self, data_dir: Path, *, port: int = 0, binary: str | None = None, extra_args: Sequence[str] = ()
    ) -> None:
        self._data_dir = data_dir.resolve()
        self._db_path = self._data_dir / "mongod"
        self._log_path = self._data_dir / "mongod.log"
        self._output_path = self._data_dir / "mongod.out"
        self._given_binary = binary
        self._extra_args = extra_args
        self._process: Process | None = None
        self._lock: IO[str] | None = None
        self.port = port

    @property
    def uri(self) -> str:
        """Where clients connect to."""
        return f"mongodb://{HOST}:{self.port}/?replicaSet={REPLICA_SET}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Starts mongod and returns once it takes writes; raises LocalMongodError if it cannot."""
        binary = find_binary(self._given_binary)
        self._take_lock()
        try:
            await _stop_orphan(self._db_path)
            self.port = self.port or _free_port()
            _check_port(self.port)
            await self._spawn(binary)
            async with asyncio.timeout(START_S):
                await self._until_writable()
        except TimeoutError:
            await self.kill()
            raise LocalMongodError(
                f"mongod takes no writes after {START_S:.0f} s; see {self._log_path} for what it waits for"
            ) from None
        except BaseException:
            await self.kill()
            raise
        self._note_in_lock(self.uri)

    async def stop(self) -> None:
        """Stops mongod in order, by force after 10 s; does nothing if it is not running."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """Stops mongod at once, as a crash would; what was acknowledged is in its journal."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        try:
            self._db_path.mkdir(parents=True, exist_ok=True)
            lock = (self._data_dir / "lock").open("a+")
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            raise LocalMongodError(
                f"cannot write to {self._data_dir}: {problem}; choose another directory with CARILLON_DATA_DIR"
            ) from None

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid, _, uri = lock.read().strip().partition(" ")
            lock.close()
            share = f"set CARILLON_MONGODB_URI={uri} to share its MongoDB" if uri else "wait until it has started"
            raise LocalMongodError(
                f"{self._data_dir} is in use by process {pid or 'unknown'}; stop that one, or {share}"
            ) from None

        self._lock = lock
        self._note_in_lock("")

    def _note_in_lock(self, uri: str) -> None:
        assert self._lock is not None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()} {uri}")
        self._lock.flush()

    async def _spawn(self, binary: str) -> None:
        arguments = [
            *("--replSet", REPLICA_SET, "--bind_ip", HOST, "--port", str(self.port), "--nounixsocket"),
            *("--dbpath", str(self._db_path), "--logpath", str(self._log_path), "--logappend"),
            # It shares a laptop with everything else.
            *("--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "990"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            # Nobody can take over from a single member, so nobody is waited for.
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),
            *self._extra_args,
        ]
        with self._output_path.open("wb") as output:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    binary,
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # Ctrl-C in the terminal reaches us alone; we stop it in order, after our own connections.
                    start_new_session=True,
                )
            except OSError as error:
                problem = (error.strerror or str(error)).lower()
                raise LocalMongodError(f"cannot run {binary}: {problem}; set CARILLON_MONGOD to a mongod") from None

    async def _until_writable(self) -> None:
        assert self._process is not None
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            HOST, self.port, directConnection=True, serverSelectionTimeoutMS=500
        )
        async with client:
            while True:
                if self._process.returncode is not None:
                    raise why_it_did_not_start(self._process.returncode, self._output_path, self._log_path)

                with contextlib.suppress(ConnectionFailure, OperationFailure):
                    hello = await client.admin.command("hello")
                    if hello["isWritablePrimary"]:
                        return

                    await self._configure(client)
                raise_if_cancelled()
                await asyncio.sleep(0.05)

    async def _configure(self, client: AsyncMongoClient[dict[str, Any]]) -> None:
        """Makes the replica set, or moves it here: its configuration holds the port that it last had."""
        member = {"_id": 0, "host": f"{HOST}:{self.port}"}
        try:
            reply = await client.admin.command("replSetGetConfig")
        except OperationFailure as error:
            if error.code == _NOT_YET_INITIALIZED:
                await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
            return

        config = reply["config"]
        if [one["host"] for one in config["members"]] != [member["host"]]:
            moved = config | {"members": [member], "version": config["version"] + 1}
            await client.admin.command("replSetReconfig", moved, force=True)


async def _stop_orphan(db_path: Path) -> None:
    """Stops the mongod that a killed process of ours left behind on the same data."""
    try:
        pid = int((db_path / "mongod.lock").read_text())
    except (OSError, ValueError):
        # There is none, or it is empty: mongod empties it when it stops in order.
        return

    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            async with asyncio.timeout(STOP_S):
                if _is_mongod_on(pid, db_path):
                    os.kill(pid, number)
                while _is_mongod_on(pid, db_path):  # noqa: ASYNC110 - it is not our child, so there is no event
                    await asyncio.sleep(0.05)


def _is_mongod_on(pid: int, db_path: Path) -> bool:
    """Tells whether the process is a mongod on this data: a number alone may have been given to another process."""
    if Path("/proc/self/cmdline").exists():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
        except OSError:
            return False
    else:
        listing = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        command = listing.stdout.decode(errors="replace")
    return "mongod" in command and f"--dbpath {db_path} " in command


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _check_port(port: int) -> None:
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise LocalMongodError(
            f"mongod cannot listen on {HOST} port {port}: {problem}; stop what uses it, or choose another port"
        ) from None
