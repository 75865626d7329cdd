"""Users as NotificationAPI's SDKs send and read them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from carillon.v1 import user_pb2
from gateway.http.notificationapi.bodies import FEW, Lenient
from gateway.items import iso_of

_DEVICE_FIELDS = ("app_id", "ad_id", "device_id", "platform", "manufacturer", "model")
_PROVIDERS = {"APN": user_pb2.PUSH_PROVIDER_APN, "FCM": user_pb2.PUSH_PROVIDER_FCM}
_TYPES = {number: name for name, number in _PROVIDERS.items()}


def _type(value: object) -> object:
    # Their documentation has small letters, their C# has this slip.
    upper = value.strip().upper() if isinstance(value, str) else value
    return "APN" if upper == "APM" else upper


class DeviceBody(Lenient):
    """What is known of a device."""

    app_id: str | None = None
    ad_id: str | None = None
    device_id: str | None = None
    # As their documentation calls it in one place.
    device: str | None = None
    platform: str | None = None
    manufacturer: str | None = None
    # As their iOS and Android write it.
    manufactuer: str | None = None
    model: str | None = None


class PushTokenBody(Lenient):
    """One app on one device."""

    type: Annotated[Literal["APN", "FCM"], BeforeValidator(_type)]
    token: str = Field(min_length=1)
    device: DeviceBody | None = None
    environment: str | None = None


class KeysBody(Lenient):
    """What a push to a browser is encrypted with."""

    p256dh: str
    auth: str


class SubscriptionBody(Lenient):
    """What ``PushSubscription.toJSON()`` gives."""

    endpoint: str
    keys: KeysBody


class WebPushTokenBody(Lenient):
    """One browser."""

    sub: SubscriptionBody


class UserBody(Lenient):
    """A user: what is missing, null or empty stays as it is stored."""

    id: str | None = None
    email: str | None = None
    number: str | None = None
    timezone: str | None = None
    pushTokens: Annotated[list[PushTokenBody] | None, FEW] = None
    webPushTokens: Annotated[list[WebPushTokenBody] | None, FEW] = None


class UserAnswer(BaseModel):
    """A user as stored; of one who is not stored, the id."""

    id: str
    email: str | None = None
    number: str | None = None
    timezone: str | None = None
    pushTokens: list[dict[str, Any]] | None = None
    webPushTokens: list[dict[str, Any]] | None = None
    createdAt: datetime | None = None
    updatedAt: datetime | None = None


def user_from_body(body: UserBody, user_id: str) -> user_pb2.User:
    """Gives what the services take."""
    return user_pb2.User(
        id=user_id,
        email=body.email or "",
        number=body.number or "",
        timezone=body.timezone or "",
        push_tokens=map(_push_token, body.pushTokens or ()),
        web_push_subscriptions=[
            user_pb2.WebPushSubscription(
                endpoint=one.sub.endpoint,
                keys=user_pb2.WebPushKeys(p256dh=one.sub.keys.p256dh, auth=one.sub.keys.auth),
                # Their SDKs bring their own, which does not know what ours is pushed.
                worker=user_pb2.WEB_PUSH_WORKER_NOTIFICATIONAPI,
            )
            for one in body.webPushTokens or ()
        ],
    )


def user_to_json(user: user_pb2.User) -> dict[str, Any]:
    """Gives a user as they read it; what is not known is left out."""
    optional = {
        "email": user.email,
        "number": user.number,
        "timezone": user.timezone,
        "pushTokens": [_push_token_to_json(one) for one in user.push_tokens],
        "webPushTokens": [
            {"sub": {"endpoint": one.endpoint, "keys": {"p256dh": one.keys.p256dh, "auth": one.keys.auth}}}
            for one in user.web_push_subscriptions
        ],
        "createdAt": iso_of(user.create_time) if user.HasField("create_time") else None,
        "updatedAt": iso_of(user.update_time) if user.HasField("update_time") else None,
    }
    return {"id": user.id, **{name: value for name, value in optional.items() if value}}


def _push_token(body: PushTokenBody) -> user_pb2.PushToken:
    device = body.device or DeviceBody()
    known = {name: getattr(device, name) or "" for name in _DEVICE_FIELDS}
    known["device_id"] = known["device_id"] or device.device or ""
    known["manufacturer"] = known["manufacturer"] or device.manufactuer or ""
    return user_pb2.PushToken(
        provider=_PROVIDERS[body.type],
        token=body.token,
        device=user_pb2.Device(**known),
        sandbox=(body.environment or "").lower() == "sandbox",
    )


def _push_token_to_json(token: user_pb2.PushToken) -> dict[str, Any]:
    device = {name: text for name in _DEVICE_FIELDS if (text := getattr(token.device, name))}
    return {
        "type": _TYPES[token.provider],
        "token": token.token,
        "device": device,
        **({"environment": "sandbox"} if token.sandbox else {}),
    }
