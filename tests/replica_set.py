"""Three local mongods in one replica set, one of which can be killed: for what only an election shows."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from services.kernel.mongod_binary import find_binary

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

HOST = "127.0.0.1"
NAME = "three"
START_S = 60.0
ELECTION_S = 30.0


@dataclass
class Member:
    """One mongod; its process is replaced when it is started again."""

    path: Path
    port: int
    process: Process | None = None

    @property
    def address(self) -> str:
        """Host and port, as the replica set knows it."""
        return f"{HOST}:{self.port}"


class ReplicaSet:
    """Runs three members inside of ``async with``; elections take about a second.

    Args:
        path: Where the members keep their data.
        extra_args: What each mongod is started with besides.
    """

    def __init__(self, path: Path, *, extra_args: Sequence[str] = ()) -> None:
        self._extra_args = extra_args
        self.members = [Member(path / str(number), _free_port()) for number in range(3)]

    @property
    def uri(self) -> str:
        """Where clients connect to."""
        return f"mongodb://{','.join(member.address for member in self.members)}/?replicaSet={NAME}"

    async def __aenter__(self) -> Self:
        for member in self.members:
            await self.start(member)
        config = {
            "_id": NAME,
            "members": [{"_id": number, "host": member.address} for number, member in enumerate(self.members)],
            "settings": {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200},
        }
        async with _connect(self.members[0]) as client:
            await client.admin.command("replSetInitiate", config)
        await self.primary()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for member in self.members:
            await self.kill(member)

    async def start(self, member: Member) -> None:
        """Starts a member and returns once it answers."""
        member.path.mkdir(parents=True, exist_ok=True)
        member.process = await asyncio.create_subprocess_exec(
            find_binary(None),
            *("--replSet", NAME, "--bind_ip", HOST, "--port", str(member.port), "--nounixsocket"),
            *("--dbpath", str(member.path), "--logpath", str(member.path / "mongod.log"), "--logappend"),
            *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "100"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *self._extra_args,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        async with _connect(member) as client:
            await client.admin.command("ping")

    async def kill(self, member: Member) -> None:
        """Ends a member at once, as a crash would."""
        if member.process is not None:
            with contextlib.suppress(ProcessLookupError):
                member.process.kill()
            await member.process.wait()
            member.process = None

    async def step_down(self) -> None:
        """Lets the primary hand over to another member, as for maintenance."""
        async with AsyncMongoClient[dict[str, Any]](self.uri) as client:
            await client.admin.command("replSetStepDown", 10)

    async def primary(self) -> Member:
        """Awaits a primary that can write with a majority, and gives it."""
        async with asyncio.timeout(ELECTION_S), AsyncMongoClient[dict[str, Any]](self.uri) as client:
            while True:
                with contextlib.suppress(PyMongoError):
                    await client.test.get_collection("probe").insert_one({})
                    host, port = (await client.primary) or (HOST, 0)
                    if found := [member for member in self.members if (HOST, member.port) == (host, port)]:
                        return found[0]

    async def all_members(self) -> None:
        """Starts again what was killed, and returns once a write is on all three."""
        for member in self.members:
            if member.process is None:
                await self.start(member)
        await self.primary()
        async with AsyncMongoClient[dict[str, Any]](self.uri) as client:
            await client.test.command("insert", "probe", documents=[{}], writeConcern={"w": 3, "wtimeout": 30_000})


def _connect(member: Member) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(HOST, member.port, directConnection=True, serverSelectionTimeoutMS=round(START_S * 1000))


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
