"""The local MongoDB: that it starts, that it stays out of the way, and that each of its errors is one line."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from services.kernel.clock import utc_now
from services.kernel.errors import Unavailable
from services.kernel.mongo import (
    deadline,
    open_client,
    run_transaction,
    translate_errors,
    wait_until_reachable,
    watch_reachability,
)
from services.kernel.mongod import LocalMongod
from services.kernel.mongod_binary import LocalMongodError

if TYPE_CHECKING:
    from pathlib import Path

START_AND_HANG = """
import asyncio, pathlib, sys
from services.kernel.mongod import LocalMongod

async def main():
    mongod = LocalMongod(pathlib.Path(sys.argv[1]))
    await mongod.start()
    print(mongod.uri, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def free_port() -> int:
    """Gives a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def refusal(mongod: LocalMongod) -> str:
    """Starts what cannot start and gives its one line."""
    with pytest.raises(LocalMongodError) as caught:
        await mongod.start()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def script(path: Path, body: str) -> str:
    """Makes a program that stands in for mongod."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


async def test_it_keeps_its_data_and_moves_to_another_port(tmp_path: Path) -> None:
    """Data outlives a restart in order on another port and a crash on the same one; transactions work."""
    now = utc_now()
    async with LocalMongod(tmp_path) as mongod, open_client(mongod.uri) as client:
        await client.test.things.insert_one({"time": now})

    moved = LocalMongod(tmp_path, port=free_port())
    await moved.start()
    assert moved.port != mongod.port
    await moved.kill()
    await moved.start()
    try:
        async with open_client(moved.uri) as client:
            await run_transaction(client, lambda session: client.test.things.insert_one({"n": 2}, session=session))
            documents = [one async for one in client.test.things.find().sort("_id")]
    finally:
        await moved.stop()

    assert documents[0]["time"] == now
    assert documents[1]["n"] == 2


async def test_a_second_one_on_the_same_data_is_refused(tmp_path: Path) -> None:
    """The second is told who has the data and how to share its MongoDB, and the first goes on."""
    async with LocalMongod(tmp_path) as mongod, open_client(mongod.uri) as client:
        line = await refusal(LocalMongod(tmp_path))
        await client.admin.command("ping")

    assert str(os.getpid()) in line
    assert f"CARILLON_MONGODB_URI={mongod.uri}" in line


async def test_what_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    """After SIGKILL of its owner the orphaned mongod is stopped and its data used."""
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", START_AND_HANG, str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert owner.stdout is not None
    uri = (await owner.stdout.readline()).decode().strip()
    async with open_client(uri) as client:
        await client.test.things.insert_one({"n": 1})
    owner.kill()
    await owner.wait()
    orphan = int((tmp_path / "mongod" / "mongod.lock").read_text())
    os.kill(orphan, 0)  # raises if it were not running

    async with LocalMongod(tmp_path) as mongod, open_client(mongod.uri) as client:
        assert await client.test.things.count_documents({}) == 1


async def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    """A port that is taken is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = await refusal(LocalMongod(tmp_path, port=port))

    assert f"port {port}" in line


async def test_a_missing_program_is_one_line(tmp_path: Path) -> None:
    """A program that is not there, or is none, is named with the setting that chooses it."""
    assert "CARILLON_MONGOD" in await refusal(LocalMongod(tmp_path, binary="/nowhere/mongod"))
    assert "CARILLON_MONGOD" in await refusal(LocalMongod(tmp_path, binary=str(tmp_path)))


async def test_a_missing_library_is_one_line(tmp_path: Path) -> None:
    """A library that the loader does not find is told as the package to install."""
    says = "echo 'mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file' >&2"
    line = await refusal(LocalMongod(tmp_path, binary=script(tmp_path / "fake", f"{says}; exit 127")))

    assert "apt install libcurl4" in line


async def test_a_failed_start_is_one_line(tmp_path: Path) -> None:
    """A mongod that ends at its start is told with the log to look at, and leaves the data free."""
    line = await refusal(LocalMongod(tmp_path, binary=script(tmp_path / "fake", "echo bad option >&2; exit 2")))

    assert "bad option" in line
    assert str(tmp_path / "mongod.log") in line
    async with LocalMongod(tmp_path):
        pass


async def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """A data directory that cannot be written is told with the setting that chooses it."""
    (tmp_path / "file").write_text("")

    assert "CARILLON_DATA_DIR" in await refusal(LocalMongod(tmp_path / "file" / "data"))


async def test_an_unreachable_mongodb_is_unavailable(tmp_path: Path) -> None:
    """Calls to a MongoDB that went away are Unavailable, the watch sees it go and come, and waiting ends with it."""
    seen: asyncio.Queue[bool] = asyncio.Queue()
    waits: list[float] = []
    mongod = LocalMongod(tmp_path)
    await mongod.start()

    async def restart(seconds: float) -> None:
        waits.append(seconds)
        await mongod.start()

    options: dict[str, Any] = {"serverSelectionTimeoutMS": 300}
    async with open_client(mongod.uri, **options) as client, asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(watch_reachability(client, seen.put, interval_s=0.05))
        assert await seen.get()

        await mongod.kill()
        with pytest.raises(Unavailable), translate_errors(), deadline(1):
            await client.test.things.insert_one({})
        assert not await seen.get()

        await wait_until_reachable(client, sleep=restart)
        assert len(waits) == 1
        assert await seen.get()
        watch.cancel()
    await mongod.stop()
