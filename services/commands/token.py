"""`carillon token`: a token that lets a browser act as a user, from the command line."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from carillon.v1 import users_pb2, users_pb2_grpc
from services.commands.calls import backend, call, console
from services.commands.env import parse_duration
from services.kernel.process import read_settings
from services.settings import ClientSettings


def create_token(
    user_id: Annotated[str, typer.Argument(metavar="USER", help="The user's id.", show_default=False)],
    ttl: Annotated[str, typer.Option(help="How long it lives: 1m to 24h.")] = "1h",
) -> None:
    """Print a token that lets a browser act as a user for a while; your backend may make it by itself."""
    request = users_pb2.CreateUserTokenRequest(user_id=user_id)
    request.ttl.FromTimedelta(parse_duration(ttl))
    settings = read_settings(ClientSettings)

    async def run() -> users_pb2.CreateUserTokenResponse:
        async with backend(settings) as (channel, options):
            stub: Any = users_pb2_grpc.UsersStub(channel)
            answer: users_pb2.CreateUserTokenResponse = await stub.CreateUserToken(request, **options)
            return answer

    console.print(call(run()).user_token)
