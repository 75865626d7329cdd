"""The user behind an inbox: who they are, and what their browser may know of the environment."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from carillon.v1 import environments_pb2, inbox_pb2, users_pb2
from gateway.http import errors
from gateway.http.notificationapi.bodies import checked, json_body, read_json
from gateway.http.notificationapi.callers import Caller, UserCallerOf  # noqa: TC001 # FastAPI reads it at run time
from gateway.http.notificationapi.documented import SUCCESS, Success, responses
from gateway.http.notificationapi.people import user_id_of
from gateway.http.notificationapi.refusals import in_their_words
from gateway.http.notificationapi.spelling import Spelling, camel
from gateway.http.notificationapi.users import UserAnswer, UserBody, user_from_body, user_to_json
from gateway.services_client import DEADLINE_S
from services.kernel.errors import FieldViolation, InvalidArgument

if TYPE_CHECKING:
    from gateway.http.notificationapi.services import Services

_EXAMPLE = {"email": "spongebob@squarepants.com", "number": "+15005550006", "timezone": "America/New_York"}
_USER = "/{client_id}/users/{user_id:path}"

HashedUserId = Annotated[
    str, Query(description="What iOS and Android append; passed over, as the credentials have it, too.")
]


class AccountMetadata(BaseModel):
    """What a page may know of the environment."""

    logo: str
    environmentVapidPublicKey: str
    hasWebPushEnabled: bool


class AccountMetadataAnswer(BaseModel):
    """The same, as core unwraps it."""

    userAccountMetadata: AccountMetadata


def create_router(services: Services) -> APIRouter:
    """Makes the routes; those of whole users come last, as an id may have slashes."""
    router = APIRouter()

    @router.get(f"{_USER}/account_metadata", responses=responses(answer=AccountMetadataAnswer))
    async def get_account_metadata(caller: UserCallerOf) -> JSONResponse:
        """Gives the logo, and what a browser subscribes to web push with."""
        asked = environments_pb2.GetEnvironmentRequest()
        answer, _ = await asyncio.gather(
            services.environments.GetEnvironment(asked, metadata=caller.metadata, timeout=DEADLINE_S),
            check_user(services, caller),
        )
        key = answer.environment.vapid_public_key
        metadata = {
            "logo": answer.environment.logo_url,
            "environmentVapidPublicKey": key,
            "hasWebPushEnabled": bool(key),
        }
        return JSONResponse({"userAccountMetadata": metadata})

    @router.get(f"{_USER}/slack/channels", responses=responses(404))
    async def list_slack_channels(caller: UserCallerOf) -> JSONResponse:
        """Says that there is no Slack."""
        await check_user(services, caller)
        return errors.error_response(
            HTTPStatus.NOT_FOUND,
            "NOT_SUPPORTED",
            "Carillon has no Slack",
            fix="Leave Slack out of the page: no notification has it among its channels.",
        )

    @router.get(f"{_USER}/validateUser", responses=responses(answer=Success))
    async def validate_user(caller: UserCallerOf) -> JSONResponse:
        """Says whether the credentials are right."""
        await check_user(services, caller)
        return JSONResponse(SUCCESS)

    @router.get(f"{_USER}/validateUserWithRequest", responses=responses(answer=Success))
    async def validate_user_with_request(caller: UserCallerOf) -> JSONResponse:
        """Says the same."""
        await check_user(services, caller)
        return JSONResponse(SUCCESS)

    @router.post(
        _USER,
        responses=responses(body=True, answer=UserAnswer),
        openapi_extra=json_body(UserBody, example=_EXAMPLE, is_required=False),
    )
    async def identify(caller: UserCallerOf, request: Request, hashedUserId: HashedUserId = "") -> JSONResponse:
        """Writes what is given of the user, and creates one who is not there; tokens are merged, never replaced."""
        body = checked(UserBody, await read_json(request) or {})
        user_id = await user_id_of(services, caller)
        if body.id and body.id != user_id:
            raise InvalidArgument([FieldViolation("id", f"must be the user of the path, '{user_id}', or be left out")])
        asked = users_pb2.IdentifyUserRequest(user=user_from_body(body, user_id))
        with in_their_words(_field_of_user):
            answer = await services.users.IdentifyUser(asked, metadata=caller.metadata, timeout=DEADLINE_S)
        return JSONResponse(user_to_json(answer.user))

    @router.get(_USER, responses=responses(answer=UserAnswer))
    async def get_user(caller: UserCallerOf) -> JSONResponse:
        """Gives the user as stored; of one who is not stored, the id."""
        user_id = await user_id_of(services, caller)
        asked = users_pb2.GetUserRequest(user_id=user_id)
        try:
            with in_their_words(camel):
                answer = await services.users.GetUser(asked, metadata=caller.metadata, timeout=DEADLINE_S)
        except errors.Refusal as refusal:
            if refusal.http == HTTPStatus.NOT_FOUND:
                return JSONResponse({"id": user_id})
            raise
        return JSONResponse(user_to_json(answer.user))

    return router


async def check_user(services: Services, caller: Caller) -> None:
    """Has the services check the credentials, and that they may act for the user of the path."""
    asked = inbox_pb2.CountUnreadRequest(user_id=caller.user_id)
    with in_their_words(camel):
        await services.inbox.CountUnread(asked, metadata=caller.metadata, timeout=DEADLINE_S)


def _field_of_user(path: str) -> str:
    return Spelling(to="").name(path).removeprefix(".")
