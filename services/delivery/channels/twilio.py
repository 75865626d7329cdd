"""SMS and CALL over Twilio's REST API, by Twilio's own client.

The client makes the requests and reads the answers; the transport below it is ours, by the public argument
``http_client``. The one that comes with the client has no deadline at all (it overrules its session's with None), logs
every call's headers, forgets Retry-After, and would repeat calls by itself. The same argument moves the host, which the
client fixes: to ``api_url``, where an operator reaches Twilio by a gateway or in another region.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import aiohttp
from twilio.base.exceptions import TwilioException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse

from services.delivery.model import Answer, ProviderCheckError
from services.delivery.retry_after import parse_retry_after
from services.kernel import clock
from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from services.delivery.model import Outgoing
    from services.delivery.settings import TwilioSettings
    from services.kernel.clock import Clock

MAX_IN_FLIGHT = 50
_CONNECT_S = 5.0
_MAX_VALIDITY_S = 36_000

# What the operator has to mend, not the caller: credentials, the account, the number that texts come from. Messages
# outlast an evening with a wrong token that way; those that do not get through fail after a day as all others do.
_OPERATORS_STATUSES = frozenset({*range(300, 400), 401, 403, 404})
_OPERATORS_CODES = frozenset({20003, 20005, 20006, 21210, 21212, 21603, 21606, 21659})
# Too many requests; too many messages queued for the sender.
_BUSY_CODES = frozenset({20429, 14107, 21611})
# About one number or one text, whatever the status says: 21211 invalid, 21408 region not enabled, 21610 unsubscribed.
_RECIPIENTS_CODES = range(21000, 22000)
# XML cannot say these even escaped, and there is nothing to hear of them.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFUSED_STATES = frozenset({"failed", "undelivered", "canceled"})


class _RefusedError(Exception):
    """Twilio's answer to a call that it does not take."""

    def __init__(self, status: int, body: str, retry_after: str) -> None:
        self.status = status
        self.retry_after = retry_after
        problem = _json_object(body)
        code, message = problem.get("code"), problem.get("message")
        self.code = code if isinstance(code, int) else 0
        self.detail = f"HTTP {status}" + (f", error {self.code}" if self.code else "") + f": {message or 'no reason'}"
        super().__init__(self.detail)


class Twilio:
    """Texts and calls; entered by ``async with`` before the first.

    Args:
        settings: The account, and where Twilio is.
        report_url: Gives where Twilio reports what became of a text or a call, or None for nowhere.
        timeout_s: How long a request may take; short of the deadline, so that its end has a reason.
        now: The clock that tells how long a text is still worth sending.
    """

    name = "twilio"
    deadline_s = 20.0
    max_in_flight = MAX_IN_FLIGHT

    def __init__(
        self,
        settings: TwilioSettings,
        *,
        report_url: Callable[[Outgoing], str | None] = lambda _: None,
        timeout_s: float = 15.0,
        now: Clock = clock.utc_now,
    ) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._report_url = report_url
        self._now = now

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_IN_FLIGHT),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=_CONNECT_S),
        )
        settings = self._settings
        self._client = Client(
            settings.account_sid,
            settings.auth_token.get_secret_value(),
            http_client=_Transport(self._session, settings.api_url),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def deliver(self, outgoing: Outgoing) -> Answer:
        """Texts or calls a number."""
        try:
            made = await (self._call(outgoing) if outgoing.content.channel is Channel.CALL else self._text(outgoing))
        except _RefusedError as refusal:
            return _answer(refusal, self._now())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=_problem(error))
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(AttemptOutcome.UNKNOWN, detail=_problem(error))
        except (TwilioException, ValueError, TypeError, AttributeError):
            # It said yes, in words that its own client does not understand.
            return Answer(AttemptOutcome.UNKNOWN, detail="Twilio's answer cannot be read")
        if not made.sid:
            return Answer(AttemptOutcome.UNKNOWN, detail="Twilio's answer has no id")
        if made.status in _REFUSED_STATES:
            return Answer(AttemptOutcome.PERMANENT_FAILURE, provider_id=made.sid, detail=_failure(made))
        return Answer(AttemptOutcome.ACCEPTED, provider_id=made.sid)

    async def check(self) -> None:
        """Reads the account, which must be active.

        Raises:
            ProviderCheckError: If it cannot be read, or is not.
        """
        try:
            account = await self._client.api.v2010.accounts(self._settings.account_sid).fetch_async()
        except (_RefusedError, aiohttp.ClientError, TimeoutError) as error:
            raise ProviderCheckError(f"Twilio at {self._settings.api_url}: {_problem(error)}") from None
        except (TwilioException, ValueError, TypeError, AttributeError):
            raise ProviderCheckError(f"{self._settings.api_url} does not answer as Twilio does") from None
        if account.status != "active":
            raise ProviderCheckError(f"Twilio: the account is {account.status}, not active")

    async def _text(self, outgoing: Outgoing) -> Any:
        options: dict[str, Any] = {}
        if callback := self._report_url(outgoing):
            options["status_callback"] = callback
        left_s = int((outgoing.expire_time - self._now()).total_seconds())
        if left_s < _MAX_VALIDITY_S:
            options["validity_period"] = max(left_s, 1)
        return await self._client.messages.create_async(
            to=str(outgoing.target),
            from_=self._settings.from_number,
            body=outgoing.content.texts["text"],
            **options,
        )

    async def _call(self, outgoing: Outgoing) -> Any:
        options: dict[str, Any] = {}
        if callback := self._report_url(outgoing):
            options = {"status_callback": callback, "status_callback_event": ["completed"]}
        return await self._client.calls.create_async(
            to=str(outgoing.target),
            from_=self._settings.from_number,
            twiml=spoken(outgoing.content.texts["text"]),
            **options,
        )


def spoken(text: str) -> str:
    """Gives the TwiML that speaks a text, in the language that the account's voice is set to."""
    response = VoiceResponse()
    response.say(_NOT_IN_XML.sub("", text))
    return str(response)


class _Transport(AsyncHttpClient):  # type: ignore[misc] # the client has no types
    """Makes the client's requests over one session, at another host, and raises what is refused."""

    def __init__(self, session: aiohttp.ClientSession, api_url: str) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._session = session
        self._api_url = api_url.rstrip("/")

    async def request(
        self,
        method: str,
        uri: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the client's word; the session has its own
        allow_redirects: bool = False,
    ) -> Response:
        """Makes one request.

        Raises:
            _RefusedError: If it is answered with anything but success.
        """
        assert auth is not None, "the client is made with credentials"
        async with self._session.request(
            method,
            self._api_url + urlsplit(uri).path,
            data=urlencode(dict[str, Any](data or {}), doseq=True),
            headers={**(headers or {}), "Authorization": aiohttp.encode_basic_auth(*auth)},
            allow_redirects=False,
        ) as answer:
            body = await answer.text(errors="replace")
            if not 200 <= answer.status < 300:
                raise _RefusedError(answer.status, body, answer.headers.get("Retry-After", ""))
            return Response(answer.status, body, answer.headers)


def _answer(refusal: _RefusedError, now: datetime) -> Answer:
    if refusal.status in (408, 429) or refusal.status >= 500 or refusal.code in _BUSY_CODES:
        retry_after = parse_retry_after(refusal.retry_after, now)
        return Answer(AttemptOutcome.TEMPORARY_FAILURE, detail=refusal.detail, retry_after=retry_after)
    is_operators = refusal.code in _OPERATORS_CODES or (
        refusal.status in _OPERATORS_STATUSES and refusal.code not in _RECIPIENTS_CODES
    )
    outcome = AttemptOutcome.TEMPORARY_FAILURE if is_operators else AttemptOutcome.PERMANENT_FAILURE
    return Answer(outcome, detail=refusal.detail)


def _failure(made: Any) -> str:
    """Gives why a text or a call has failed by the time of the answer; a call says no more than that it has."""
    code, message = getattr(made, "error_code", None), getattr(made, "error_message", None)
    return f"{made.status}" + (f", error {code}" if code else "") + (f": {message}" if message else "")


def _problem(error: Exception) -> str:
    return str(error) or type(error).__name__


def _json_object(body: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
