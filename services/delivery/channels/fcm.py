"""PUSH over Firebase Cloud Messaging, by firebase-admin.

One request a device, with an answer of its own. How the library's client is kept is `fcm_client`'s to say, and where
access tokens come from is `fcm_token`'s.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import httpx
from firebase_admin import exceptions, messaging

from services.delivery.channels.fcm_client import FcmClient
from services.delivery.channels.fcm_token import FcmToken, NoAccessTokenError
from services.delivery.model import Answer, ProviderCheckError, target_end
from services.delivery.payload_fcm import fcm_payload
from services.delivery.retry_after import parse_retry_after
from services.kernel.process import SettingsError
from services.messages.model import AttemptOutcome
from services.messages.options import AndroidPriority
from services.users.model import PushToken

if TYPE_CHECKING:
    from types import TracebackType

    from services.delivery.model import Outgoing
    from services.delivery.settings import FcmSettings
    from services.kernel.clock import Clock
    from services.messages.options import ApnOptions, FcmOptions

LONGEST_TTL = timedelta(days=28)
"""How long FCM keeps a push at most, and where nothing is said."""

QUOTA_PAUSE = timedelta(minutes=1)
"""How long FCM wants to be left alone over a quota where it does not say: its quotas are by the minute."""

_TIMEOUT_S = 10.0
# 128 bits of which the first four are 0111, in base64url; a registration token is longer and has a colon.
_INSTALLATION_ID = re.compile(r"[c-f][A-Za-z0-9_-]{21}")
# Nobody has it, so that a check reaches nobody.
_NOBODY = "carillon-check"
_IOS_NORMAL, _IOS_HIGH = "5", "10"


class Fcm:
    """Carries pushes to the devices of one Firebase project.

    Args:
        settings: Where the service account's key is.
        now: The clock for what ends.
    """

    name = "fcm"
    deadline_s = 15.0
    # A connection each; what one process can carry needs no more (see fcm_client).
    max_in_flight = 20

    def __init__(self, settings: FcmSettings, *, now: Clock) -> None:
        self._settings = settings
        self._now = now
        self._entered = AsyncExitStack()

    async def __aenter__(self) -> Fcm:
        file = self._settings.credentials_file
        try:
            key = json.loads(await asyncio.to_thread(file.read_bytes))
            token = FcmToken(key, now=self._now)
            project_id = self._settings.project_id or str(key["project_id"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SettingsError(
                f"CARILLON_FCM__CREDENTIALS_FILE: {file} is not the key of a service account ({error})"
            ) from None
        async with AsyncExitStack() as entered:
            self._token = await entered.enter_async_context(token)
            client = FcmClient(
                project_id, token.credentials, timeout_s=_TIMEOUT_S, connect_to=self._settings.connect_to
            )
            self._client = await entered.enter_async_context(client)
            self._entered = entered.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._entered.__aexit__(kind, error, trace)

    async def deliver(self, outgoing: Outgoing) -> Answer:
        """Sends one push to one device."""
        assert isinstance(outgoing.target, PushToken)
        return await self._send(_message(outgoing, outgoing.target, self._now()), outgoing.target)

    async def check(self) -> None:
        """Gets an access token and lets FCM validate a push to nobody, which it refuses to those it knows.

        Raises:
            ProviderCheckError: If Google gives no token, or FCM does not take it.
        """
        message = messaging.Message(notification=messaging.Notification(title="Carillon"))
        _address(message, _NOBODY)
        answer = await self._send(message, PushToken("FCM", _NOBODY, {}), dry_run=True)
        if answer.outcome in (AttemptOutcome.TEMPORARY_FAILURE, AttemptOutcome.UNKNOWN):
            raise ProviderCheckError(f"FCM: {answer.detail}")

    async def _send(self, message: messaging.Message, target: PushToken, *, dry_run: bool = False) -> Answer:
        try:
            await self._token.ready()
        except NoAccessTokenError as error:
            return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=str(error))
        access_token = self._token.value
        try:
            response = await self._client.send(message, dry_run=dry_run)
        except ValueError as error:
            return Answer(AttemptOutcome.PERMANENT_FAILURE, detail=_without(target, str(error)))
        except exceptions.FirebaseError as error:
            return Answer(AttemptOutcome.UNKNOWN, detail=_without(target, str(error)))
        if response.message_id:
            return Answer(AttemptOutcome.ACCEPTED, provider_id=response.message_id)
        if response.exception is None:
            return Answer(AttemptOutcome.UNKNOWN, detail="FCM accepted it without a name")
        if is_refused_token(response.exception):
            self._token.refuse(access_token)
        return answer_to(response.exception, target, self._now())


def answer_to(error: exceptions.FirebaseError, target: PushToken, now: datetime) -> Answer:
    """Gives what a failed call means."""
    detail = _without(target, str(error))
    http = error.http_response
    if http is None:
        # Without a connection nothing was sent; whatever broke later may have come after FCM took the push.
        before = isinstance(error.cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        return Answer(AttemptOutcome.TEMPORARY_FAILURE if before else AttemptOutcome.UNKNOWN, detail=detail)

    match error:
        case messaging.UnregisteredError():
            return Answer(AttemptOutcome.TARGET_GONE, detail=detail)
        case messaging.ThirdPartyAuthError():
            return Answer(
                AttemptOutcome.TEMPORARY_FAILURE,
                detail=f"the Firebase project's key for APNs or Web Push is missing or wrong: {detail}",
            )
        case messaging.SenderIdMismatchError():
            # Not gone: with the wrong project's key configured, every device would be.
            return Answer(
                AttemptOutcome.PERMANENT_FAILURE, detail=f"the device belongs to another Firebase project: {detail}"
            )
        case exceptions.UnauthenticatedError() | exceptions.PermissionDeniedError() | exceptions.NotFoundError():
            # About the project or its key, not about the push: the operator's to mend.
            return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=f"FCM does not let the key in: {detail}")

    status = http.status_code
    if status != 429 and status < 500:
        # A token that cannot be one is refused like a bad push, so it is not known to be gone.
        return Answer(AttemptOutcome.PERMANENT_FAILURE, detail=detail)
    wait = parse_retry_after(http.headers.get("retry-after", ""), now)
    if wait is None and status == 429:
        wait = QUOTA_PAUSE
    return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=detail, retry_after=wait)


def is_refused_token(error: exceptions.FirebaseError) -> bool:
    """Tells whether FCM did not take our access token; not being let in elsewhere is another 401."""
    is_ours = isinstance(error, exceptions.UnauthenticatedError)
    return is_ours and not isinstance(error, messaging.ThirdPartyAuthError)


def _without(target: PushToken, words: str) -> str:
    """Gives a provider's words without the device's token in them."""
    return words.replace(target.token, f"…{target_end(target)}")


def _message(outgoing: Outgoing, target: PushToken, now: datetime) -> messaging.Message:
    payload = fcm_payload(
        outgoing.content,
        tracking_id=outgoing.tracking_id,
        notification_id=outgoing.notification_id,
        item_id=outgoing.item_id,
    )
    # What FCM would hold back longer than the message lasts comes too late.
    left = max(outgoing.expire_time - now, timedelta(0))
    options = outgoing.options
    message = messaging.Message(
        notification=messaging.Notification(**payload.notification),
        data=payload.data,
        android=_android(options.fcm, left),
        apns=_apns(options.apn, options.fcm, outgoing.expire_time if left < LONGEST_TTL else None),
    )
    _address(message, target.token)
    return message


def _address(message: messaging.Message, token: str) -> None:
    # Set here: a token handed to the constructor draws a DeprecationWarning for every push. Google wants apps to
    # register by installation ids from now on, and the tokens of those that do not yet go on to work.
    if _INSTALLATION_ID.fullmatch(token):
        message.fid = token
    else:
        message.token = token


def _android(options: FcmOptions, left: timedelta) -> messaging.AndroidConfig:
    ttl = options.ttl
    if left < (ttl if ttl is not None else LONGEST_TTL):
        # Whole seconds: FCM keeps no parts of them.
        ttl = timedelta(seconds=left // timedelta(seconds=1))
    return messaging.AndroidConfig(
        collapse_key=options.collapse_key or None,
        priority="normal" if options.priority is AndroidPriority.NORMAL else "high",
        ttl=ttl,
        restricted_package_name=options.restricted_package_name or None,
    )


def _apns(apn: ApnOptions, fcm: FcmOptions, expire_time: datetime | None) -> messaging.APNSConfig:
    """Gives what FCM hands to APNs where the device is Apple's; elsewhere it is ignored."""
    expire_time = apn.expire_time or expire_time
    # The seed's table: on iOS, normal and high are APNs' 5 and 10.
    priority = str(apn.priority or (_IOS_NORMAL if fcm.priority is AndroidPriority.NORMAL else _IOS_HIGH))
    headers = {"apns-priority": priority}
    if apn.collapse_id:
        headers["apns-collapse-id"] = apn.collapse_id
    if expire_time:
        headers["apns-expiration"] = str(int(expire_time.timestamp()))
    aps = messaging.Aps(
        badge=apn.badge,
        sound=apn.sound or None,
        thread_id=apn.thread_id or None,
        content_available=apn.content_available or None,
    )
    return messaging.APNSConfig(headers=headers, payload=messaging.APNSPayload(aps))
