"""What the demo page calls: only `carillon dev` has these routes, and they act with its development secret.

The secret stays here. The page gets the hash of the one user that it shows, as a customer's page gets it from their
backend.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from carillon.v1 import channel_pb2, delivery_pb2, sender_pb2, sender_pb2_grpc, user_pb2
from services.kernel import auth, validation

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message

_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class DevAccess:
    """The backend that the demo page plays: who it is, and the way to the services."""

    client_id: str
    client_secret: str = field(repr=False)
    channel: grpc.aio.Channel


def _require_unicode(text: str) -> str:
    # JSON can hold half a character ("\ud800"), protobuf cannot.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise PydanticCustomError("unicode", "must be valid Unicode, but contains an unpaired surrogate")
    return text


def _channel_number(name: object) -> int:
    names = [known.removeprefix("CHANNEL_") for known in channel_pb2.Channel.keys()[1:]]
    if name not in names:
        raise PydanticCustomError("channel", "must be one of {names}", {"names": ", ".join(names)})
    return channel_pb2.Channel.Value(f"CHANNEL_{name}")


Text = Annotated[str, AfterValidator(_require_unicode)]
ChannelNumber = Annotated[int, BeforeValidator(_channel_number)]


class SendBody(BaseModel):
    """What the form sends; merge tags are texts, as a form has nothing else."""

    model_config = ConfigDict(extra="forbid")

    notification_id: Text
    user_id: Text
    merge_tags: dict[Text, Text] = {}
    force_channels: list[ChannelNumber] = []
    email: Text = ""
    number: Text = ""


class RetractBody(BaseModel):
    """Whose items of which notification to take back."""

    model_config = ConfigDict(extra="forbid")

    notification_id: Text
    user_id: Text


def _require_json(request: Request) -> None:
    """Lets no other site's form in: a browser asks before it sends JSON across sites, and is not told that it may."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and media_type != "application/json":
        raise HTTPException(415, "the body must be application/json")


def _forbid_storing(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


def create_router(access: DevAccess) -> APIRouter:
    """Makes the routes under /dev."""
    router = APIRouter(
        prefix="/dev", include_in_schema=False, dependencies=[Depends(_require_json), Depends(_forbid_storing)]
    )
    sender: sender_pb2_grpc.SenderAsyncStub = sender_pb2_grpc.SenderStub(access.channel)
    credentials = (auth.basic_authorization(access.client_id, access.client_secret),)

    @router.get("/session")
    async def get_session(user_id: str) -> dict[str, str]:
        """Gives what a browser needs to say hello as a user."""
        violations = validation.Violations()
        validation.user_id(user_id, violations)
        violations.raise_if_any()
        return {
            "client_id": access.client_id,
            "user_id": user_id,
            "user_hash": auth.user_hash(access.client_secret, user_id),
        }

    @router.post("/send")
    async def send(body: SendBody) -> dict[str, Any]:
        """Sends, and tells what becomes of each channel."""
        request = sender_pb2.SendRequest(
            notification_id=body.notification_id,
            user=user_pb2.User(id=body.user_id, email=body.email, number=body.number),
            force_channels=body.force_channels,  # type: ignore[arg-type]  # numbers of Channel, checked above
        )
        request.merge_tags.update(body.merge_tags)
        answer = await sender.Send(request, metadata=credentials, timeout=_DEADLINE_S)
        return {
            "tracking_id": answer.tracking_id,
            "deliveries": [_delivery(delivery) for delivery in answer.deliveries],
            "warnings": [_warning(warning) for warning in answer.warnings],
        }

    @router.post("/retract")
    async def retract(body: RetractBody) -> dict[str, int]:
        """Takes all items of one notification back from one user."""
        request = sender_pb2.RetractRequest(notification_id=body.notification_id, user_id=body.user_id)
        answer = await sender.Retract(request, metadata=credentials, timeout=_DEADLINE_S)
        return {"retracted_count": answer.retracted_count}

    return router


def _delivery(delivery: delivery_pb2.Delivery) -> dict[str, str]:
    answer = {"channel": _name(delivery, "channel"), "state": _name(delivery, "state")}
    if delivery.reason:
        answer["reason"] = _name(delivery, "reason")
    if delivery.detail:
        answer["detail"] = delivery.detail
    return answer


def _warning(warning: delivery_pb2.SendWarning) -> dict[str, str]:
    return {"code": _name(warning, "code"), "field": warning.field, "text": warning.text}


def _name(message: Message, field: str) -> str:
    """Gives the word of an enum field, without what all words of that enum begin with."""
    number: int = getattr(message, field)
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    if enum is None or number not in enum.values_by_number:
        # Newer services may answer values that we do not know.
        return str(number)
    return enum.values_by_number[number].name.removeprefix(enum.values_by_number[0].name.removesuffix("UNSPECIFIED"))
