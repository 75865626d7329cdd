"""Whom a path names: PHP and Go write a space as "+", which is a character of its own in other ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from carillon.v1 import users_pb2
from gateway.services_client import DEADLINE_S

if TYPE_CHECKING:
    from gateway.http.notificationapi.callers import Caller
    from gateway.http.notificationapi.services import Services


async def user_id_of(services: Services, caller: Caller) -> str:
    """Gives the user that a path names; asks only where it can be read in two ways and an account calls.

    The user with the "+" in their id, if there is one; else the one with the space, if there is one. Of a user whom
    nobody has seen yet it is what the caller's language makes of a space; "%2B" can be read in one way only.
    """
    if not caller.other_user_id or await _is_known(services, caller, caller.user_id):
        return caller.user_id
    if caller.plus_is_space or await _is_known(services, caller, caller.other_user_id):
        return caller.other_user_id
    return caller.user_id


async def _is_known(services: Services, caller: Caller, user_id: str) -> bool:
    asked = users_pb2.GetUserRequest(user_id=user_id)
    try:
        await services.users.GetUser(asked, metadata=caller.metadata, timeout=DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return False
    return True
