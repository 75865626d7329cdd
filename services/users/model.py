"""Users: what is known of a person, and the rules for addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import phonenumbers

from services.kernel.encoding import decode_base64
from services.kernel.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from services.kernel.vocabulary import Json

MAX_TOKENS = 50
MAX_RECEIVED = 200
"""How many notifications are remembered as received: they are read with every send to the user."""

# The shape that SMTP can carry: one @, no spaces or control characters, a domain with a dot. More is for the mail
# server to say: an address is only proved by a mail that arrives.
_EMAIL = re.compile(
    r"[^\s@\x00-\x1f\x7f<>\"(),:;\\\[\]]{1,64}@[^\s@\x00-\x1f\x7f<>\"(),:;\\\[\]]+\.[^\s@.\x00-\x1f\x7f<>\"(),:;\\\[\]]+"
)


@dataclass(frozen=True, slots=True)
class PushToken:
    """One app on one mobile device."""

    provider: str
    """``APN`` or ``FCM``."""

    token: str
    device: Mapping[str, str]
    sandbox: bool = False
    register_time: datetime | None = None


OUR_WORKER = ""
NOTIFICATIONAPI_WORKER = "NOTIFICATIONAPI"


@dataclass(frozen=True, slots=True)
class WebPushSubscription:
    """One browser."""

    endpoint: str
    p256dh: str
    auth: str
    register_time: datetime | None = None
    worker: str = OUR_WORKER
    """Which service worker shows what is pushed."""


@dataclass(frozen=True, slots=True)
class User:
    """A person who can receive notifications. An empty field is one that nothing is known of."""

    id: str
    email: str = ""
    number: str = ""
    """In E.164."""

    language: str = ""
    timezone: str = ""
    first_name: str = ""
    last_name: str = ""
    photo_url: str = ""
    country: str = ""
    properties: Mapping[str, Json] | None = None
    push_tokens: tuple[PushToken, ...] = ()
    web_push_subscriptions: tuple[WebPushSubscription, ...] = ()
    create_time: datetime | None = None
    update_time: datetime | None = None
    received: tuple[str, ...] = ()
    """The notifications that the user has received once, 200 at most; no part of the profile that anybody is shown."""


PROFILE_TEXTS = ("email", "number", "language", "timezone", "first_name", "last_name", "photo_url", "country")
"""The fields of a user that are plain texts; templates read them too."""


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which users of an environment are meant; what is empty does not narrow."""

    email: str = ""
    """As `fold_email` gives it."""

    number: str = ""
    """In E.164."""


def user_not_found(user_id: str) -> NotFound:
    """Makes the error for a user whom the environment does not have."""
    return NotFound("user", user_id, reason="USER_NOT_FOUND")


def is_email(text: str) -> bool:
    """Tells whether a text can be a mail address."""
    return _EMAIL.fullmatch(text) is not None and ".." not in text and "@." not in text


def fold_email(email: str) -> str:
    """Gives the form in which mail addresses are compared: without case."""
    return email.casefold()


def to_e164(text: str, *, region: str) -> str | None:
    """Gives a phone number in E.164, or None where the text cannot be one.

    Args:
        text: The number as people write it: ``+15005550006``, ``(415) 555-1212``.
        region: What a number without a country code is read in, as ISO 3166-1 alpha-2.
    """
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    # Possible, not valid: ranges are opened faster than anybody updates, and test numbers are in none. Possible from
    # anywhere, too: a number without its area code is dialled in one town, and is none in E.164.
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def can_encrypt(subscription: WebPushSubscription) -> bool:
    """Tells whether a push can be encrypted for this browser: a point on P-256 and 16 random bytes (RFC 8291)."""
    try:
        point, auth = decode_base64(subscription.p256dh), decode_base64(subscription.auth)
    except ValueError:
        return False
    return len(point) == 65 and point[0] == 4 and len(auth) == 16


def has_news(sent: User, stored: User) -> bool:
    """Tells whether what came with a send fills anything that the profile lacks."""
    if any(getattr(sent, name) and not getattr(stored, name) for name in PROFILE_TEXTS):
        return True
    return bool(sent.properties and not stored.properties) or brings_devices(sent, stored)


def brings_devices(sent: User, stored: User) -> bool:
    """Tells whether a device or a browser came with a send that the profile does not have."""
    tokens = {token.token for token in stored.push_tokens}
    endpoints = {subscription.endpoint for subscription in stored.web_push_subscriptions}
    return not (
        {token.token for token in sent.push_tokens} <= tokens
        and {subscription.endpoint for subscription in sent.web_push_subscriptions} <= endpoints
    )


def merged(sent: User, stored: User | None) -> User:
    """Gives the user that a message is rendered for: what came with the send, and the profile where it says nothing."""
    if stored is None:
        return sent
    texts = {name: getattr(sent, name) or getattr(stored, name) for name in PROFILE_TEXTS}
    return replace(stored, properties=sent.properties or stored.properties, **texts)
