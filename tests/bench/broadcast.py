"""The gateway's floor: a websockets server that sends a given frame to all who are there, and does nothing else."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import uvloop
from websockets.asyncio.server import broadcast, serve

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

BATCH = 100
"""How many times SIGUSR1 has it send the frame."""

_TURN = 16


async def run(port: int, frame: str) -> None:
    """Serves until the process is ended."""
    connections: set[ServerConnection] = set()
    wanted = asyncio.Event()

    async def handle(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send('{"type":"welcome"}')
        connections.add(socket)
        await socket.wait_closed()
        connections.discard(socket)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, wanted.set)
    # As the gateway has it.
    async with serve(handle, "127.0.0.1", port, subprotocols=["carillon.v1"], compression=None, write_limit=16 * 1024):  # type: ignore[list-item] # a NewType of str
        while await wanted.wait():
            wanted.clear()
            for number in range(1, BATCH + 1):
                broadcast(connections, frame)
                if number % _TURN == 0:
                    await asyncio.sleep(0)


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1]), sys.argv[2]))
