"""A send as NotificationAPI's SDKs write it, in their names of all years.

What is not named here is kept for the log: unknown fields, and what Carillon does not have, as SLACK.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.http.notificationapi.bodies import FEW, Lenient
from gateway.http.notificationapi.users import UserBody


def _one_recipient(value: Any) -> Any:
    if isinstance(value, list):
        raise PydanticCustomError("recipient", "must be one recipient, an object: send once for each of several")
    return value


def _object(value: Any) -> Any:
    # PHP writes an empty array for an empty object.
    return None if value == [] else value


def _number(value: Any) -> Any:
    # Go writes "" for a number that is not set, and a Duration of Google's ends in "s".
    return (value.strip().removesuffix("s") or None) if isinstance(value, str) else value


Recipient = Annotated[UserBody | None, BeforeValidator(_one_recipient)]
Texts = Annotated[list[str] | None, FEW]
# Room for every moment in milliseconds, and far from what a double or protobuf cannot hold.
Number = Annotated[
    Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)] | None,
    BeforeValidator(_number),
]
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class AttachmentBody(Lenient):
    """A file of a mail; its name has three names."""

    filename: str | None = None
    fileName: str | None = None
    name: str | None = None
    url: str | None = None
    content: str | None = None
    contentType: str | None = None


class EmailOptionsBody(Lenient):
    """The envelope of a mail."""

    replyToAddresses: Texts = None
    ccAddresses: Texts = None
    bccAddresses: Texts = None
    fromName: str | None = None
    fromAddress: str | None = None
    attachments: Annotated[list[AttachmentBody] | None, FEW] = None


class ApnBody(Lenient):
    """Options of pushes over APNs."""

    expiry: Number = None
    priority: Int32 | None = None
    collapseId: str | None = None
    threadId: str | None = None
    badge: Int32 | None = None
    sound: str | None = None
    contentAvailable: bool | None = None


class AndroidBody(Lenient):
    """Options of pushes to Android."""

    collapseKey: str | None = None
    priority: str | None = None
    ttl: Number = None
    restrictedPackageName: str | None = None


class FcmBody(Lenient):
    """Options of pushes over FCM."""

    android: Annotated[AndroidBody | None, BeforeValidator(_object)] = None


class OptionsBody(Lenient):
    """What only some channels understand."""

    email: Annotated[EmailOptionsBody | None, BeforeValidator(_object)] = None
    apn: Annotated[ApnBody | None, BeforeValidator(_object)] = None
    fcm: Annotated[FcmBody | None, BeforeValidator(_object)] = None


class EmailBody(Lenient):
    """A mail that needs no template."""

    subject: str | None = None
    html: str | None = None
    previewText: str | None = None
    senderName: str | None = None
    senderEmail: str | None = None


class InappBody(Lenient):
    """An item that needs no template."""

    title: str | None = None
    url: str | None = None
    image: str | None = None


class SpokenBody(Lenient):
    """A text message or a call that needs no template."""

    message: str | None = None


class WebPushBody(Lenient):
    """A browser push that needs no template."""

    title: str | None = None
    message: str | None = None
    icon: str | None = None
    url: str | None = None


class MobilePushBody(Lenient):
    """A mobile push that needs no template."""

    title: str | None = None
    message: str | None = None


class SendBody(Lenient):
    """What happened to whom."""

    type: str | None = None
    notificationId: str | None = None
    to: Recipient = None
    user: Recipient = None
    parameters: Annotated[dict[str, Any] | None, BeforeValidator(_object)] = None
    mergeTags: Annotated[dict[str, Any] | None, BeforeValidator(_object)] = None
    replace: Annotated[dict[str, str] | None, FEW, BeforeValidator(_object)] = None
    forceChannels: Texts = None
    templateId: str | None = None
    subNotificationId: str | None = None
    secondaryId: str | None = None
    # Whatever it is, the refusal of a wrong one has a code of its own.
    schedule: Annotated[Any, WithJsonSchema({"type": "string", "format": "date-time"})] = None
    options: Annotated[OptionsBody | None, BeforeValidator(_object)] = None
    email: EmailBody | None = None
    inapp: InappBody | None = None
    sms: SpokenBody | None = None
    call: SpokenBody | None = None
    web_push: WebPushBody | None = None
    mobile_push: MobilePushBody | None = None
