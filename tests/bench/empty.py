"""The floor: a grpc.aio server without interceptors that gives every Send the same bytes and does nothing else."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import uvloop

from carillon.v1 import channel_pb2, delivery_pb2, sender_pb2


async def serve(port: int) -> None:
    """Serves until the process is ended."""
    tracking_id = "0197f5e8-0000-7000-8000-000000000000"
    answer = sender_pb2.SendResponse(tracking_id=tracking_id, item_id=tracking_id)
    answer.deliveries.add(channel=channel_pb2.CHANNEL_EMAIL, state=delivery_pb2.DELIVERY_STATE_PENDING)
    answer.deliveries.add(channel=channel_pb2.CHANNEL_INAPP_WEB, state=delivery_pb2.DELIVERY_STATE_DELIVERED)
    raw = answer.SerializeToString()

    async def send(_request: bytes, _context: object) -> bytes:
        return raw

    server = grpc.aio.server()
    handlers: Any = {"Send": grpc.unary_unary_rpc_method_handler(send)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("carillon.v1.Sender", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
