"""The RPCs of carillon.v1.Messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import messages_pb2, messages_pb2_grpc
from services.kernel import validation
from services.kernel.auth import current_principal
from services.kernel.errors import Unauthenticated
from services.kernel.links import ReportLink
from services.kernel.paging import decode_page_token, encode_page_token
from services.kernel.validation import Violations
from services.messages import convert

if TYPE_CHECKING:
    from services.kernel.clock import Clock
    from services.kernel.interceptors import Context
    from services.kernel.links import LinkTokens
    from services.messages.log import MessageLog
    from services.messages.store import MessageStore


OPEN_METHODS = ("ReportDelivery",)


class MessagesServicer(messages_pb2_grpc.MessagesServicer):
    """Serves the log to backends, and takes providers' reports."""

    def __init__(self, log: MessageLog, messages: MessageStore, links: LinkTokens, *, clock: Clock) -> None:
        self._log = log
        self._messages = messages
        self._links = links
        self._clock = clock

    async def GetMessage(
        self, request: messages_pb2.GetMessageRequest, context: Context
    ) -> messages_pb2.GetMessageResponse:
        """Gets one message, whole."""
        violations = Violations()
        tracking_id = validation.lookup_id(request.tracking_id, violations, field="tracking_id")
        violations.raise_if_any()

        entry = await self._log.get(current_principal().client_id, tracking_id, self._clock())
        return messages_pb2.GetMessageResponse(message=convert.entry_to_proto(entry))

    async def ListMessages(
        self, request: messages_pb2.ListMessagesRequest, context: Context
    ) -> messages_pb2.ListMessagesResponse:
        """Lists messages, the newest first."""
        client_id = current_principal().client_id
        violations = Violations()
        selected = convert.filter_from_proto(request.filter, violations)
        is_full = convert.is_full_from_proto(request.view, violations)
        page_size = validation.page_size(request.page_size, violations)
        violations.raise_if_any()

        filters = {"rpc": "ListMessages", "client_id": client_id, "filter": repr(selected)}
        position = decode_page_token(request.page_token, filters, types=(str,))
        below = str(position[0]) if position else ""
        page = await self._log.page(client_id, selected, self._clock(), below=below, limit=page_size, is_full=is_full)
        return messages_pb2.ListMessagesResponse(
            messages=map(convert.entry_to_proto, page.entries),
            next_page_token=encode_page_token((page.end,), filters) if page.end else "",
        )

    async def DeleteMessage(
        self, request: messages_pb2.DeleteMessageRequest, context: Context
    ) -> messages_pb2.DeleteMessageResponse:
        """Deletes every trace of a message; its item disappears live."""
        violations = Violations()
        tracking_id = validation.lookup_id(request.tracking_id, violations, field="tracking_id")
        violations.raise_if_any()

        await self._messages.delete(current_principal().client_id, tracking_id, self._clock())
        return messages_pb2.DeleteMessageResponse()

    async def ReportDelivery(
        self, request: messages_pb2.ReportDeliveryRequest, context: Context
    ) -> messages_pb2.ReportDeliveryResponse:
        """Records what a provider says about a message; its token is the only credential that is looked at."""
        link = self._links.read(request.report_token, ReportLink)
        if link is None:
            raise Unauthenticated(
                "the report token is none of ours, or not whole; call back the address as it was given",
                reason="REPORT_TOKEN_INVALID",
            )
        violations = Violations()
        report = convert.report_from_proto(request, violations)
        violations.raise_if_any()

        await self._messages.report(link, report, self._clock())
        return messages_pb2.ReportDeliveryResponse()
