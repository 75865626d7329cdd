"""Strangers learn nothing: what is wrong with a body is told to those alone whom the services let in.

They check the credentials of every call. But what is wrong with a body is found before there is a call, and a large one
would be read for anybody.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import grpc
from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError

from carillon.v1 import environments_pb2
from gateway.http.errors import Refusal, rpc_refusal
from gateway.http.notificationapi.callers import caller_of
from gateway.services_client import DEADLINE_S
from services.kernel.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.http.notificationapi.services import Services

MAX_UNASKED_BYTES = 64 * 1024
"""How much is read for whoever comes, before it is asked whether they are let in."""

_FOUND_HERE = (RequestValidationError, HTTPException, InvalidArgument, Refusal)


def admission(services: Services) -> Callable[[Request], AsyncIterator[None]]:
    """Makes the dependency of all routes that have a client's id in their path."""

    async def check(request: Request) -> None:
        caller = caller_of(request, request.path_params["client_id"])
        asked = environments_pb2.GetEnvironmentRequest()
        try:
            # The cheapest call that everybody may make who is let in.
            await services.environments.GetEnvironment(asked, metadata=caller.metadata, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            raise rpc_refusal(error) from None

    async def admit(request: Request) -> AsyncIterator[None]:
        if "client_id" not in request.path_params:
            yield
            return

        if _announced_bytes(request) > MAX_UNASKED_BYTES:
            await check(request)
        try:
            yield
        except _FOUND_HERE as error:
            if isinstance(error, Refusal) and error.http != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                # The services have said it, so they had let the caller in.
                raise
            try:
                await check(request)
            except Refusal as refusal:
                # Whatever else keeps them from saying so changes no answer.
                if refusal.http == HTTPStatus.UNAUTHORIZED:
                    raise
            raise

    return admit


def _announced_bytes(request: Request) -> float:
    """Gives how large the body says it is: one in chunks does not say."""
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        return int(length)
    return float("inf") if "transfer-encoding" in request.headers else 0
