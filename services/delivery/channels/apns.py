"""PUSH to Apple's devices over APNs, with a provider token, by aioapns.

aioapns fixes both hosts. Where something else is to be reached, the network is moved, by settings that production needs
too: ``proxy_url``, an HTTP proxy that tunnels to them, and ``ca_file``, whom to trust where that proxy opens TLS. The
connections are in ``apns_connections.py``, with what aioapns would do to them.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from aioapns.common import NotificationRequest, PushType
from aioapns.exceptions import ConnectionClosed

from services.delivery.channels.apns_connections import (
    Connections,
    NoConnection,
    NotProcessed,
    ProductionConnection,
    Result,
    SandboxConnection,
)
from services.delivery.model import Answer, ProviderCheckError
from services.delivery.payload_apns import apns_payload
from services.delivery.provider_token import ProviderToken, read_signing_key
from services.delivery.retry_after import parse_retry_after
from services.kernel import clock
from services.kernel.clock import from_milliseconds
from services.messages.model import AttemptOutcome
from services.users.model import PushToken

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from services.delivery.model import Outgoing
    from services.delivery.settings import ApnsSettings
    from services.kernel.clock import Clock

MAX_IN_FLIGHT = 500
# More than it takes to find that there is no connection, so that this is what the log says.
_ROOM_S = 6.0
# What APNs keeps a push for where no header says otherwise.
_KEPT_FOR = timedelta(days=30)
_TOPIC = re.compile(r"[A-Za-z0-9.-]{1,255}")
_MAX_MILLISECONDS = 2**47
# Ids of pushes are made in here from what they are about (RFC 9562, version 5).
_IDS = uuid.UUID("0a9ff83e-6c0e-4a52-9d6c-2a4a5f6f2c5d")


class Apns:
    """Pushes; entered by ``async with`` before the first.

    Args:
        settings: The key, the team, the app, and by which way.
        now: The clock of provider tokens.
    """

    name = "apns"
    deadline_s = 10.0
    max_in_flight = MAX_IN_FLIGHT

    def __init__(self, settings: ApnsSettings, *, now: Clock = clock.utc_now) -> None:
        self._settings = settings
        self._now = now

    async def __aenter__(self) -> Self:
        settings = self._settings
        key = read_signing_key(settings.key_file)
        token = ProviderToken(key, key_id=settings.key_id, team_id=settings.team_id, clock=self._now)
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.set_alpn_protocols(["h2"])
        proxy_url = settings.proxy_url.get_secret_value() if settings.proxy_url else ""
        self._production, self._sandbox = (
            Connections(kind, topic=settings.topic, token=token, context=context, proxy_url=proxy_url)
            for kind in (ProductionConnection, SandboxConnection)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.gather(self._production.aclose(), self._sandbox.aclose())

    async def deliver(self, outgoing: Outgoing) -> Answer:
        """Pushes to one device."""
        assert isinstance(outgoing.target, PushToken)
        topic = outgoing.target.device.get("app_id") or self._settings.topic
        if not _TOPIC.fullmatch(topic):
            # It would travel as a header.
            return Answer(AttemptOutcome.PERMANENT_FAILURE, detail="the token's app_id is no bundle id")
        request = _request(outgoing, outgoing.target, topic, self._now())
        try:
            result = await self._send(request, is_sandbox=outgoing.target.sandbox)
        except NotProcessed as error:
            return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=str(error))
        except ConnectionClosed:
            detail = "the connection was lost before an answer came"
            return Answer(AttemptOutcome.UNKNOWN, provider_id=request.notification_id, detail=detail)
        return _answer(result, self._now())

    async def check(self) -> None:
        """Pushes to a device that cannot be: APNs says so only to whom it has authenticated, for this topic."""
        request = NotificationRequest("0" * 64, {"aps": {}}, push_type=PushType.ALERT, apns_topic=self._settings.topic)
        try:
            result = await self._send(request, is_sandbox=False)
        except (NotProcessed, ConnectionClosed) as error:
            raise ProviderCheckError(str(error) or "the connection was lost") from None
        if result.description != "BadDeviceToken":
            raise ProviderCheckError(_detail(result))

    async def _send(self, request: NotificationRequest, *, is_sandbox: bool) -> Result:
        connections = self._sandbox if is_sandbox else self._production
        try:
            async with asyncio.timeout(_ROOM_S):
                connection = await connections.acquire()
        except TimeoutError:
            raise NoConnection(f"no connection had room within {_ROOM_S:g} s") from None
        result = await connection.send_notification(request)
        assert isinstance(result, Result)
        return result


class _Until(int):
    """A time to live that, added to the time as aioapns does it, is the very second that is meant."""

    def __radd__(self, now: int) -> int:
        return int(self)


def _request(outgoing: Outgoing, device: PushToken, topic: str, now: datetime) -> NotificationRequest:
    options = outgoing.options.apn
    expire_time = options.expire_time
    if expire_time is None and outgoing.expire_time - now < _KEPT_FOR:
        expire_time = outgoing.expire_time
    payload = apns_payload(
        outgoing.content,
        options,
        tracking_id=outgoing.tracking_id,
        notification_id=outgoing.notification_id,
        item_id=outgoing.item_id,
    )
    return NotificationRequest(
        quote(device.token, safe=""),
        payload,
        # The same in every attempt, so that one whose answer was lost can be found at Apple.
        notification_id=str(uuid.uuid5(_IDS, f"{outgoing.tracking_id}/{device.token}")),
        time_to_live=None if expire_time is None else _Until(expire_time.timestamp()),
        priority=options.priority or None,
        # What comes twice, because the first answer was lost, replaces the first.
        collapse_key=options.collapse_id or outgoing.tracking_id,
        push_type=PushType.ALERT,
        apns_topic=topic,
    )


def _answer(result: Result, now: datetime) -> Answer:
    detail = _detail(result)
    match result.status, result.description:
        case "200", _:
            return Answer(AttemptOutcome.ACCEPTED, provider_id=result.notification_id)
        case "410", _:
            return Answer(AttemptOutcome.TARGET_GONE, detail=detail, gone_time=_time(result.timestamp))
        case "400", "BadDeviceToken":
            return Answer(AttemptOutcome.TARGET_GONE, detail=detail)
        case ("403", _) | ("400", "IdleTimeout"):
            # Of 403 it is the operator who has to mend something; messages wait for that as long as for anything.
            return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=detail)
        case status, _ if status == "429" or not status.startswith("4"):
            retry_after = parse_retry_after(result.retry_after, now)
            return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=detail, retry_after=retry_after)
    return Answer(AttemptOutcome.PERMANENT_FAILURE, detail=detail)


def _detail(result: Result) -> str:
    said = f"{result.status} {result.description}".strip()
    if result.status == "403":
        return f"{said}: APNs does not take the provider token; see key_file, key_id, team_id and this machine's clock"
    return said


def _time(milliseconds: int | None) -> datetime | None:
    if milliseconds is None or not 0 <= milliseconds < _MAX_MILLISECONDS:
        return None
    return from_milliseconds(milliseconds)
