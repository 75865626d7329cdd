"""Users between protobuf and the model, with every rule about what a profile may hold."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import Struct

from carillon.v1 import user_pb2
from services.kernel import validation
from services.kernel.tokens import MAX_LIFETIME
from services.kernel.wire import struct_to_dict, to_timestamp
from services.messages.model import SendWarning, WarningCode
from services.notifications.convert import LANGUAGE, LANGUAGE_FORM
from services.users.model import (
    MAX_TOKENS,
    NOTIFICATIONAPI_WORKER,
    OUR_WORKER,
    PROFILE_TEXTS,
    PushToken,
    User,
    UserFilter,
    WebPushSubscription,
    can_encrypt,
    fold_email,
    is_email,
    to_e164,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from carillon.v1 import users_pb2
    from services.kernel.validation import Violations

    Refuse = Callable[[str, str], None]

MAX_PROPERTIES_BYTES = 16 * 1024
DEFAULT_TTL = timedelta(hours=1)
_MIN_TTL = timedelta(minutes=1)
_TEXT_BYTES = {"email": 320, "number": 64, "language": 64, "timezone": 64, "photo_url": 2048, "country": 2}
_NAME_BYTES = 256
_TOKEN_BYTES = 4096
_ENDPOINT_BYTES = 2048
_KEY_BYTES = 256
_DEVICE_FIELDS = ("app_id", "ad_id", "device_id", "platform", "manufacturer", "model")
_PROVIDERS = {user_pb2.PUSH_PROVIDER_APN: "APN", user_pb2.PUSH_PROVIDER_FCM: "FCM"}
_PROVIDER_NUMBERS = {name: number for number, name in _PROVIDERS.items()}
_WORKERS = {
    user_pb2.WEB_PUSH_WORKER_UNSPECIFIED: OUR_WORKER,
    user_pb2.WEB_PUSH_WORKER_NOTIFICATIONAPI: NOTIFICATIONAPI_WORKER,
}
_WORKER_NUMBERS = {name: number for number, name in _WORKERS.items()}
_COUNTRY = re.compile(r"[A-Z]{2}")


def sent_user_from_proto(
    proto: user_pb2.User, violations: Violations, *, region: str, needs_id: bool = True
) -> tuple[User, dict[str, SendWarning]]:
    """Reads a user as it comes with a send: an address that cannot be one is left out, for it must not cost the rest.

    Returns:
        The user, and a warning for each field that was left out.
    """
    warnings: dict[str, SendWarning] = {}

    def warn(name: str, problem: str) -> None:
        code = WarningCode.INVALID_TIMEZONE if name == "timezone" else WarningCode.INVALID_ADDRESS
        warnings[name] = SendWarning(code, f"user.{name}", f"user.{name} {problem}; it was not used")

    user_id = validation.user_id(proto.id, violations, field="user.id") if needs_id or proto.id else ""
    return _user(proto, violations, region=region, user_id=user_id, refuse=warn), warnings


def user_from_proto(proto: user_pb2.User, violations: Violations, *, region: str, user_id: str) -> User:
    """Reads a user as it is identified: an address that cannot be one is a violation."""

    def refuse(name: str, problem: str) -> None:
        violations.add(f"user.{name}", problem, "INVALID_ADDRESS" if name != "timezone" else "INVALID")

    return _user(proto, violations, region=region, user_id=user_id, refuse=refuse)


def ttl_from_proto(proto: users_pb2.CreateUserTokenRequest, violations: Violations) -> timedelta:
    """Reads how long a user token is to live, in whole milliseconds."""
    if not proto.HasField("ttl"):
        return DEFAULT_TTL
    # Compared as numbers: a Duration reaches further than a timedelta.
    seconds = proto.ttl.seconds + proto.ttl.nanos / 1e9
    if not _MIN_TTL.total_seconds() <= seconds <= MAX_LIFETIME.total_seconds():
        violations.add("ttl", "must be 1 minute to 24 hours", "OUT_OF_RANGE")
        return DEFAULT_TTL
    return timedelta(seconds=proto.ttl.seconds, milliseconds=proto.ttl.nanos // 1_000_000)


def removals_from_proto(
    proto: users_pb2.IdentifyUserRequest, user: User, violations: Violations
) -> tuple[list[str], list[str]]:
    """Reads which push tokens and which endpoints are to be forgotten; one that is registered, too, is a violation."""
    tokens = {token.token for token in user.push_tokens}
    endpoints = {subscription.endpoint for subscription in user.web_push_subscriptions}
    return (
        _removals(proto.remove_push_tokens, "remove_push_tokens", tokens, _TOKEN_BYTES, violations),
        _removals(proto.remove_web_push_endpoints, "remove_web_push_endpoints", endpoints, _ENDPOINT_BYTES, violations),
    )


def filter_from_proto(proto: users_pb2.ListUsersRequest, violations: Violations, *, region: str) -> UserFilter:
    """Reads which users are listed; an address that cannot be one is a violation."""
    texts = {
        name: validation.text(getattr(proto, name), violations, field=name, max_bytes=_TEXT_BYTES[name])
        for name in ("email", "number")
    }

    def refuse(name: str, problem: str) -> None:
        violations.add(name, problem, "INVALID_ADDRESS")

    _check_addresses(texts, region=region, refuse=refuse)
    return UserFilter(email=fold_email(texts["email"]), number=texts["number"])


def warn_of_keys(user: User) -> list[SendWarning]:
    """Gives a warning for each web push subscription whose keys cannot encrypt; they are kept as they came."""
    return [
        SendWarning(
            WarningCode.INVALID_PUSH_KEYS,
            f"user.web_push_subscriptions[{i}].keys",
            "cannot encrypt; p256dh must be base64url of 65 bytes, auth of 16, as a browser gives them",
        )
        for i, subscription in enumerate(user.web_push_subscriptions)
        if not can_encrypt(subscription)
    ]


def user_to_proto(user: User) -> user_pb2.User:
    """Gives a user as it is answered."""
    properties = None
    if user.properties is not None:
        properties = Struct()
        properties.update(dict(user.properties))
    return user_pb2.User(
        id=user.id,
        **{name: getattr(user, name) for name in PROFILE_TEXTS},
        properties=properties,
        push_tokens=[
            user_pb2.PushToken(
                provider=_PROVIDER_NUMBERS[token.provider],
                token=token.token,
                device=user_pb2.Device(**dict(token.device)) if token.device else None,
                sandbox=token.sandbox,
                register_time=to_timestamp(token.register_time),
            )
            for token in user.push_tokens
        ],
        web_push_subscriptions=[
            user_pb2.WebPushSubscription(
                endpoint=subscription.endpoint,
                keys=user_pb2.WebPushKeys(p256dh=subscription.p256dh, auth=subscription.auth),
                register_time=to_timestamp(subscription.register_time),
                worker=_WORKER_NUMBERS[subscription.worker],
            )
            for subscription in user.web_push_subscriptions
        ],
        create_time=to_timestamp(user.create_time),
        update_time=to_timestamp(user.update_time),
    )


def _user(proto: user_pb2.User, violations: Violations, *, region: str, user_id: str, refuse: Refuse) -> User:
    texts: dict[str, Any] = {
        name: validation.text(
            getattr(proto, name), violations, field=f"user.{name}", max_bytes=_TEXT_BYTES.get(name, _NAME_BYTES)
        )
        for name in PROFILE_TEXTS
    }
    _check_texts(texts, violations, region=region, refuse=refuse)
    if (size := proto.properties.ByteSize()) > MAX_PROPERTIES_BYTES:
        violations.add("user.properties", f"must be at most 16 KiB serialised, but is {size} bytes", "TOO_LARGE")
    return User(
        id=user_id,
        **texts,
        properties=struct_to_dict(proto.properties, violations, field="user.properties")
        if proto.HasField("properties")
        else None,
        push_tokens=_push_tokens(proto, violations),
        web_push_subscriptions=_subscriptions(proto, violations),
    )


def _removals(
    identities: Sequence[str], field: str, registered: set[str], max_bytes: int, violations: Violations
) -> list[str]:
    _check_count(identities, field, violations)
    for i, identity in enumerate(identities[:MAX_TOKENS]):
        path = f"{field}[{i}]"
        validation.text(identity, violations, field=path, max_bytes=max_bytes, required=True)
        if identity and identity in registered:
            violations.add(path, "must not be registered by the same call", "CONFLICT")
    return list(identities[:MAX_TOKENS])


def _check_addresses(texts: dict[str, str], *, region: str, refuse: Refuse) -> None:
    if texts["email"] and not is_email(texts["email"]):
        refuse("email", "is not a mail address such as 'spongebob@squarepants.com'")
        texts["email"] = ""
    if texts["number"]:
        number = to_e164(texts["number"], region=region)
        if number is None:
            refuse("number", f"is not a phone number such as '+15005550006', nor one as dialled in {region}")
        texts["number"] = number or ""


def _check_texts(texts: dict[str, str], violations: Violations, *, region: str, refuse: Refuse) -> None:
    _check_addresses(texts, region=region, refuse=refuse)
    if texts["timezone"] and not validation.is_timezone(texts["timezone"]):
        refuse("timezone", "is not in the tz database; give a name such as 'Europe/Berlin'")
        texts["timezone"] = ""
    if texts["language"] and not LANGUAGE.fullmatch(texts["language"]):
        violations.add("user.language", LANGUAGE_FORM)
    if texts["photo_url"] and not validation.is_web_url(texts["photo_url"]):
        violations.add("user.photo_url", "must be an http or https URL")
    if texts["country"] and not _COUNTRY.fullmatch(texts["country"]):
        violations.add("user.country", "must be two capital letters of ISO 3166-1, for instance 'US'")


def _push_tokens(proto: user_pb2.User, violations: Violations) -> tuple[PushToken, ...]:
    _check_count(proto.push_tokens, "user.push_tokens", violations)
    tokens: dict[str, PushToken] = {}
    for i, token in enumerate(proto.push_tokens[:MAX_TOKENS]):
        path = f"user.push_tokens[{i}]"
        provider = _PROVIDERS.get(token.provider)
        if provider is None:
            problem = "UNKNOWN_VALUE" if token.provider else "REQUIRED"
            violations.add(f"{path}.provider", "must be PUSH_PROVIDER_APN or PUSH_PROVIDER_FCM", problem)
        validation.text(token.token, violations, field=f"{path}.token", max_bytes=_TOKEN_BYTES, required=True)
        device = {name: text for name in _DEVICE_FIELDS if (text := getattr(token.device, name))}
        for name, text in device.items():
            validation.text(text, violations, field=f"{path}.device.{name}", max_bytes=_NAME_BYTES)
        tokens[token.token] = PushToken(provider or "", token.token, device, sandbox=token.sandbox)
    return tuple(tokens.values())


def _subscriptions(proto: user_pb2.User, violations: Violations) -> tuple[WebPushSubscription, ...]:
    _check_count(proto.web_push_subscriptions, "user.web_push_subscriptions", violations)
    subscriptions: dict[str, WebPushSubscription] = {}
    for i, one in enumerate(proto.web_push_subscriptions[:MAX_TOKENS]):
        path = f"user.web_push_subscriptions[{i}]"
        endpoint = f"{path}.endpoint"
        validation.text(one.endpoint, violations, field=endpoint, max_bytes=_ENDPOINT_BYTES, required=True)
        if one.endpoint and not one.endpoint.startswith("https://"):
            violations.add(endpoint, "must be an https URL, as PushManager.subscribe gives it")
        for name in ("p256dh", "auth"):
            text = getattr(one.keys, name)
            validation.text(text, violations, field=f"{path}.keys.{name}", max_bytes=_KEY_BYTES, required=True)
        worker = _WORKERS.get(one.worker)
        if worker is None:
            violations.add(f"{path}.worker", "must be WEB_PUSH_WORKER_NOTIFICATIONAPI, or left out", "UNKNOWN_VALUE")
            worker = OUR_WORKER
        subscriptions[one.endpoint] = WebPushSubscription(one.endpoint, one.keys.p256dh, one.keys.auth, worker=worker)
    return tuple(subscriptions.values())


def _check_count(items: object, field: str, violations: Violations) -> None:
    count = len(items)  # type: ignore[arg-type] # the generated containers share no public type
    if count > MAX_TOKENS:
        violations.add(field, f"must be at most {MAX_TOKENS}, but are {count}", "TOO_MANY")
