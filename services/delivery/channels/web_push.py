"""Web push (RFC 8030): one POST to the push service of each browser, encrypted for it and signed by the environment.

Of pywebpush this uses what encrypts (``WebPusher.encode``) and signs (``Vapid02.sign``), and posts by itself. Its own
``webpush_async`` writes into the claims that it is given, signs each push anew, follows redirects, reads whatever is
answered to its end, and calls an answer an error from 203 on. Certificates are checked by Python's defaults, so
``SSL_CERT_FILE`` adds an authority; ``HTTPS_PROXY`` and ``NO_PROXY`` are honoured. Tests reach their push services by
these alone.

Encryption stays on the loop: it costs 0.13 ms, and in a thread 0.19 ms, since it does not let go of the interpreter.
"""

from __future__ import annotations

import ipaddress
import math
import ssl
import urllib.request
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import aiohttp
from py_vapid import Vapid02, VapidException
from pywebpush import WebPusher

from services.delivery.model import Answer, ProviderCheckError
from services.delivery.payload_web_push import closing_payload, notificationapi_payload, web_push_payload
from services.delivery.retry_after import parse_retry_after
from services.kernel.public_addresses import PrivateAddressError, is_public, open_connector
from services.messages.model import AttemptOutcome
from services.users.model import NOTIFICATIONAPI_WORKER, WebPushSubscription, can_encrypt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from types import TracebackType

    from services.delivery.model import Outgoing
    from services.environments.model import Environment, VapidKeys
    from services.kernel.clock import Clock

MAX_TTL = timedelta(days=28)
"""As long as a push service keeps anything; what a push has that says nothing else."""

# RFC 8292 allows a day; half of it leaves room for a clock that is off.
_TOKEN_LIFE = timedelta(hours=12)
_TOKEN_USE = timedelta(hours=6)
# Who registers a browser names its origin, so there may be any number.
_MAX_TOKENS = 1000
_MAX_ANSWER_BYTES = 1024
_MAX_ID_CHARACTERS = 64
_NOT_PUBLIC = Answer(AttemptOutcome.PERMANENT_FAILURE, detail="the endpoint is no https URL of a public host")
_TIMEOUT = aiohttp.ClientTimeout(total=20, connect=10)


class WebPush:
    """Pushes to browsers; works inside of ``async with``.

    Args:
        clock: The time of tokens and of what is left of a message.
        private_networks: Whether a push service may have a private, loopback or link-local address.
    """

    name = "web_push"
    deadline_s = 25.0
    max_in_flight = 100

    def __init__(self, *, clock: Clock, private_networks: bool = False) -> None:
        self._clock = clock
        self._private_networks = private_networks
        self._tokens: OrderedDict[tuple[VapidKeys, str], tuple[str, datetime]] = OrderedDict()
        self._proxy = urllib.request.getproxies().get("https")

    async def __aenter__(self) -> Self:
        self._direct = self._open_session(private_networks=self._private_networks)
        # The proxy itself may be anywhere, and what is behind it is the proxy's to forbid. What goes round it is not.
        self._proxied = self._open_session(private_networks=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._direct.close()
        await self._proxied.close()

    async def deliver(self, outgoing: Outgoing) -> Answer:
        """Pushes to one browser what is to be shown, or what closes it."""
        subscription, vapid = outgoing.target, outgoing.environment.vapid
        assert isinstance(subscription, WebPushSubscription), "web push goes to browsers"
        assert vapid is not None, "an environment without keys is not configured"
        origin = origin_of(subscription.endpoint)
        if origin is None or not (self._private_networks or _may_be_public(subscription.endpoint)):
            return _NOT_PUBLIC
        body = _encrypt(subscription, _payload(outgoing, subscription))
        if body is None:
            # A browser that no push can be encrypted for gets none, now or later.
            return Answer(AttemptOutcome.TARGET_GONE, detail="the keys of the subscription cannot encrypt")
        try:
            headers = self._headers(outgoing) | {"Authorization": self._authorization(vapid, origin)}
        except (ValueError, VapidException) as error:
            return Answer(AttemptOutcome.PERMANENT_FAILURE, detail=f"the environment's VAPID keys do not sign: {error}")
        return await self._post(subscription.endpoint, headers, body)

    async def check(self) -> None:
        """Does nothing: there are no push services but those of the browsers; `check_keys` looks at an environment."""

    def _open_session(self, *, private_networks: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=open_connector(
                private_networks=private_networks, limit=self.max_in_flight, ssl=ssl.create_default_context()
            ),
            timeout=_TIMEOUT,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Of an answer at most 1 KiB is read, which must not become more by unpacking it.
            auto_decompress=False,
        )

    def _headers(self, outgoing: Outgoing) -> dict[str, str]:
        options = outgoing.options.web_push
        headers = {
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "Accept-Encoding": "identity",
            "TTL": str(_ttl_s(outgoing, self._clock())),
        }
        if options.urgency:
            headers["Urgency"] = options.urgency.value.lower().replace("_", "-")
        if options.topic:
            headers["Topic"] = options.topic
        return headers

    def _authorization(self, vapid: VapidKeys, origin: str) -> str:
        """Gives the header for an origin, the same for half of its life."""
        now = self._clock()
        held, use_until = self._tokens.get((vapid, origin), ("", now))
        if now < use_until:
            return held
        header = _sign(vapid, origin, now)
        self._tokens[vapid, origin] = (header, now + _TOKEN_USE)
        self._tokens.move_to_end((vapid, origin))
        if len(self._tokens) > _MAX_TOKENS:
            self._tokens.popitem(last=False)
        return header

    async def _post(self, endpoint: str, headers: dict[str, str], body: bytes) -> Answer:
        # What an error says of itself may have the endpoint in it, so that the words are ours.
        proxy = self._proxy_for(endpoint)
        session = self._proxied if proxy else self._direct
        try:
            async with session.post(
                endpoint, data=body, headers=headers, allow_redirects=False, proxy=proxy
            ) as response:
                answer = await response.content.read(_MAX_ANSWER_BYTES)
                return classify(response.status, response.headers, answer, endpoint=endpoint, now=self._clock())
        except aiohttp.ConnectionTimeoutError:
            return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail="no connection to the push service in time")
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, PrivateAddressError):
                return _NOT_PUBLIC
            detail = f"no connection to the push service: {type(error).__name__}"
            return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=detail)
        except (aiohttp.InvalidURL, ValueError):
            return _NOT_PUBLIC
        except (TimeoutError, aiohttp.ClientError) as error:
            return Answer(AttemptOutcome.UNKNOWN, detail=f"no answer of the push service: {type(error).__name__}")

    def _proxy_for(self, endpoint: str) -> str | None:
        if self._proxy is None or urllib.request.proxy_bypass(urlsplit(endpoint).hostname or ""):
            return None
        return self._proxy


def origin_of(endpoint: str) -> str | None:
    """Gives the origin of an endpoint as a VAPID token names it, or None for what is no https URL of a named host."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    # An IPv6 literal is none that the library signs for.
    if parts.scheme != "https" or not host or ":" in host or "@" in parts.netloc:
        return None
    return f"https://{host}" if port in (None, 443) else f"https://{host}:{port}"


def classify(status: int, headers: Mapping[str, str], body: bytes, *, endpoint: str, now: datetime) -> Answer:
    """Tells what an answer of a push service means.

    Args:
        status: The HTTP status.
        headers: The answer's.
        body: What it says for a person; none of the endpoint is kept of it.
        endpoint: Where the push went.
        now: When it came.
    """
    if 200 <= status < 300:
        return Answer(AttemptOutcome.ACCEPTED, provider_id=_last_part(headers.get("Location", ""))[:_MAX_ID_CHARACTERS])
    text = body.decode(errors="replace")
    for secret in (endpoint, _last_part(endpoint)):
        text = text.replace(secret, "…") if secret else text
    detail = f"HTTP {status} {text}"
    if status in (404, 410):
        return Answer(AttemptOutcome.TARGET_GONE, detail=detail)
    if status in (408, 429) or status >= 500:
        wait = parse_retry_after(headers.get("Retry-After", ""), now)
        return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=detail, retry_after=wait)
    return Answer(AttemptOutcome.PERMANENT_FAILURE, detail=detail)


def check_keys(environment: Environment, now: datetime) -> None:
    """Signs with the keys of an environment, if it has some.

    Raises:
        ProviderCheckError: If that fails.
    """
    try:
        if environment.vapid:
            _sign(environment.vapid, "https://push.example.com", now)
    except (ValueError, VapidException) as error:
        raise ProviderCheckError(
            f"the VAPID keys of environment '{environment.client_id}' do not sign ({error}); "
            f"`carillon env vapid {environment.client_id} --replace` makes new ones"
        ) from None


def _sign(vapid: VapidKeys, origin: str, now: datetime) -> str:
    claims = {"aud": origin, "sub": vapid.subject, "exp": int((now + _TOKEN_LIFE).timestamp())}
    authorization: str = Vapid02.from_raw(vapid.private_key.encode()).sign(claims)["Authorization"]
    return authorization


def _ttl_s(outgoing: Outgoing, now: datetime) -> int:
    if outgoing.retracts:
        # What is shown stays until somebody closes it, however short the push itself was kept.
        return int(MAX_TTL.total_seconds())
    ttl = MAX_TTL if outgoing.options.web_push.ttl is None else outgoing.options.web_push.ttl
    left = outgoing.expire_time - now
    return max(0, min(math.ceil(ttl.total_seconds()), int(left.total_seconds())))


def _payload(outgoing: Outgoing, subscription: WebPushSubscription) -> bytes:
    if outgoing.retracts:
        return closing_payload(outgoing.item_id)
    make = notificationapi_payload if subscription.worker == NOTIFICATIONAPI_WORKER else web_push_payload
    return make(
        outgoing.content,
        tracking_id=outgoing.tracking_id,
        item_id=outgoing.item_id,
        logo_url=outgoing.environment.logo_url,
    )


def _encrypt(subscription: WebPushSubscription, payload: bytes) -> bytes | None:
    """Gives what only the browser can read; None if its keys are none."""
    if not can_encrypt(subscription):
        return None
    keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
    try:
        body: bytes = WebPusher({"endpoint": subscription.endpoint, "keys": keys}).encode(payload)["body"]
    except ValueError:
        # 65 bytes that are no point on the curve.
        return None
    return body


def _may_be_public(endpoint: str) -> bool:
    """Tells whether an endpoint names no private address itself; names are looked at when they are resolved."""
    try:
        address = ipaddress.ip_address(urlsplit(endpoint).hostname or "")
    except ValueError:
        return True
    return is_public(str(address))


def _last_part(url: str) -> str:
    return urlsplit(url).path.rstrip("/").rpartition("/")[2]
