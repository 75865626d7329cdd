"""A user as NotificationAPI's SDKs write one, and as the services take it. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from carillon.v1 import user_pb2
from gateway.http.notificationapi.bodies import Lenient


def _push_type(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    name = value.strip().upper()
    # The typing error is of the C# package.
    return "APN" if name == "APM" else name


class DeviceBody(Lenient):
    """What is known of a mobile device: its id is "device" in their documentation, "manufactuer" is in their apps."""

    app_id: str | None = None
    ad_id: str | None = None
    device_id: str | None = None
    device: str | None = None
    platform: str | None = None
    manufacturer: str | None = None
    manufactuer: str | None = None
    model: str | None = None


class PushTokenBody(Lenient):
    """One app on one mobile device."""

    type: Annotated[Literal["APN", "FCM"], BeforeValidator(_push_type)]
    token: str
    device: DeviceBody | None = None
    environment: str | None = None


class KeysBody(Lenient):
    """The keys of a browser's subscription."""

    p256dh: str
    auth: str


class SubscriptionBody(Lenient):
    """A browser's subscription, as the browser gives it."""

    endpoint: str
    keys: KeysBody


class WebPushTokenBody(Lenient):
    """One browser."""

    sub: SubscriptionBody


class UserBody(Lenient):
    """A user; an empty text is as good as none."""

    id: str | None = None
    email: str | None = None
    number: str | None = None
    timezone: str | None = None
    pushTokens: list[PushTokenBody] | None = None
    webPushTokens: list[WebPushTokenBody] | None = None


def user_to_proto(body: UserBody) -> user_pb2.User:
    """Gives the user that the services are told of."""
    return user_pb2.User(
        id=body.id or "",
        email=body.email or "",
        number=body.number or "",
        timezone=body.timezone or "",
        push_tokens=[_push_token(token) for token in body.pushTokens or ()],
        web_push_subscriptions=[
            user_pb2.WebPushSubscription(
                endpoint=token.sub.endpoint,
                keys=user_pb2.WebPushKeys(p256dh=token.sub.keys.p256dh, auth=token.sub.keys.auth),
            )
            for token in body.webPushTokens or ()
        ],
    )


def _push_token(body: PushTokenBody) -> user_pb2.PushToken:
    provider = user_pb2.PUSH_PROVIDER_APN if body.type == "APN" else user_pb2.PUSH_PROVIDER_FCM
    return user_pb2.PushToken(
        provider=provider,
        token=body.token,
        device=_device(body.device) if body.device else None,
        sandbox=(body.environment or "").lower() == "sandbox",
    )


def _device(body: DeviceBody) -> user_pb2.Device:
    return user_pb2.Device(
        app_id=body.app_id or "",
        ad_id=body.ad_id or "",
        device_id=body.device_id or body.device or "",
        platform=body.platform or "",
        manufacturer=body.manufacturer or body.manufactuer or "",
        model=body.model or "",
    )
