"""The RPCs of carillon.v1.Sender."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carillon.v1 import sender_pb2, sender_pb2_grpc
from services.kernel import validation
from services.kernel.auth import credentials_invalid, current_credentials, current_principal
from services.kernel.interceptors import current_call_id
from services.kernel.origin import read_origin
from services.kernel.validation import Violations
from services.messages.model import Call, StoredRequest
from services.sender import convert

if TYPE_CHECKING:
    from services.environments.authenticator import Authenticator
    from services.environments.cache import Catalogue
    from services.environments.model import Environment
    from services.kernel.clock import Clock
    from services.kernel.interceptors import Context
    from services.messages.schedules import ScheduleStore
    from services.messages.store import MessageStore
    from services.sender.scheduling import Scheduling
    from services.sender.sending import Sending


class SenderServicer(sender_pb2_grpc.SenderServicer):
    """Serves sends, schedules and retractions to backends."""

    def __init__(
        self,
        sending: Sending,
        scheduling: Scheduling,
        messages: MessageStore,
        schedules: ScheduleStore,
        catalogue: Catalogue,
        authenticator: Authenticator,
        *,
        clock: Clock,
    ) -> None:
        self._sending = sending
        self._scheduling = scheduling
        self._schedules = schedules
        self._messages = messages
        self._catalogue = catalogue
        self._authenticator = authenticator
        self._clock = clock

    async def Send(self, request: sender_pb2.SendRequest, context: Context) -> sender_pb2.SendResponse:
        """Sends one notification to one user."""
        principal = current_principal()
        environment = self._readmit(await self._catalogue.environment(principal.client_id))
        violations = Violations()
        send = await convert.read_send(request, violations, region=environment.default_region)
        violations.raise_if_any()

        call = Call(current_call_id(), read_origin(context.invocation_metadata() or (), key_id=principal.key_id))
        sent = await self._sending.send(send, environment, self._readmit, call)
        if isinstance(sent, StoredRequest):
            return convert.replay_to_response(sent)
        return convert.message_to_response(sent)

    async def Retract(self, request: sender_pb2.RetractRequest, context: Context) -> sender_pb2.RetractResponse:
        """Takes items of one user back."""
        violations = Violations()
        user_id = validation.user_id(request.user_id, violations)
        selected = convert.retraction_from_proto(request, violations)
        violations.raise_if_any()

        retraction = await self._messages.retract(
            current_principal().client_id,
            user_id,
            selected,
            self._clock(),
            cancel_deliveries=request.cancel_deliveries,
        )
        return sender_pb2.RetractResponse(
            retracted_count=retraction.retracted_count, cancelled_count=retraction.cancelled_count
        )

    async def UpdateSchedule(
        self, request: sender_pb2.UpdateScheduleRequest, context: Context
    ) -> sender_pb2.UpdateScheduleResponse:
        """Changes a message that waits for its time."""
        environment = self._readmit(await self._catalogue.environment(current_principal().client_id))
        violations = Violations()
        validation.lookup_id(request.tracking_id, violations, field="tracking_id")
        violations.raise_if_any()

        message = await self._scheduling.update(request, environment, self._readmit)
        return convert.message_to_update_response(message)

    async def CancelSchedule(
        self, request: sender_pb2.CancelScheduleRequest, context: Context
    ) -> sender_pb2.CancelScheduleResponse:
        """Cancels a message that waits for its time."""
        violations = Violations()
        tracking_id = validation.lookup_id(request.tracking_id, violations, field="tracking_id")
        violations.raise_if_any()

        await self._schedules.cancel(current_principal().client_id, tracking_id, self._clock())
        return sender_pb2.CancelScheduleResponse()

    def _readmit(self, environment: Environment | None) -> Environment:
        """Checks the caller against an environment as it was just read."""
        self._authenticator.check(current_credentials(), environment)
        if environment is None:
            raise credentials_invalid()
        return environment
