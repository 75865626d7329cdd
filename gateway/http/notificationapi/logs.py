"""The log. Its answer is there at once, and again for whoever asks for it by the query's id, as their service does."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request

from gateway.http.errors import Refusal
from gateway.http.notificationapi.bodies import checked, json_body, read_json
from gateway.http.notificationapi.callers import CallerOf  # noqa: TC001 # FastAPI reads it at run time
from gateway.http.notificationapi.documented import responses
from gateway.http.notificationapi.log_queries import (
    QueryBody,
    UnreadableQueryError,
    page_of_query,
    query_id_of,
    query_name,
    read_query_id,
)
from gateway.http.notificationapi.log_to_json import message_to_json
from gateway.http.notificationapi.refusals import in_their_words
from gateway.services_client import DEADLINE_S

if TYPE_CHECKING:
    from gateway.http.notificationapi.callers import Caller
    from gateway.http.notificationapi.services import Services

_PAGE_SIZE = 100


def create_router(services: Services) -> APIRouter:
    """Makes the routes."""
    router = APIRouter()

    @router.post(
        "/{client_id}/logs/query",
        responses=responses(body=True),
        openapi_extra=json_body(QueryBody, is_required=False),
    )
    async def query_logs(caller: CallerOf, request: Request) -> dict[str, Any]:
        """Asks the log, and gives the first page at once."""
        query = checked(QueryBody, await read_json(request) or {})
        query_id = query_id_of(query)
        return {"queryId": query_id, **await _page(services, caller, query, "")}

    @router.get("/{client_id}/logs/query/{query_id}", responses=responses(404))
    async def get_query_result(
        caller: CallerOf, query_id: str, page_token: Annotated[str, Query(alias="pageToken")] = ""
    ) -> dict[str, Any]:
        """Gives a page of what a query finds now."""
        try:
            query = read_query_id(query_id)
        except UnreadableQueryError:
            raise Refusal(
                HTTPStatus.NOT_FOUND,
                "QUERY_NOT_FOUND",
                "there is no such query",
                fix="Use the queryId that POST logs/query answered.",
            ) from None
        return await _page(services, caller, query, page_token)

    return router


async def _page(services: Services, caller: Caller, query: QueryBody, page_token: str) -> dict[str, Any]:
    asked = page_of_query(query, caller.client_id, page_token=page_token, page_size=_PAGE_SIZE)
    with in_their_words(query_name):
        answer = await services.messages.ListMessages(asked, metadata=caller.metadata, timeout=DEADLINE_S)
    page = {
        "status": "Complete",
        "logs": [message_to_json(message, caller.client_id) for message in answer.messages],
    }
    return page | ({"nextPageToken": answer.next_page_token} if answer.next_page_token else {})
