"""The access token for FCM: fetched from Google in a thread, so that the event loop never waits for it.

The library would fetch it in the middle of a push, by a blocking call of up to 120 s on the event loop, once for each
push that finds it gone. So it is handed credentials that never fetch; what they hold is renewed here, by one call at a
time, ten minutes before it ends.
"""

from __future__ import annotations

import asyncio
import functools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.oauth2 import service_account

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from services.kernel.clock import Clock

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
RENEW_BEFORE = timedelta(minutes=10)
"""How long before its end a token is renewed, while pushes go on with it."""

LEAST = timedelta(minutes=1)
"""A token that lasts less than that is not used any more."""

_CALL_S = 5.0
"""How long Google's answer may take. The library behind it asks up to three times where Google is in trouble."""

_WAIT_S = 8.0
"""How long a push waits for a token; less than a call to FCM may take, so that it is known that nothing was sent."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)


class NoAccessTokenError(Exception):
    """There is no access token: Google refuses it or is out of reach. The message has Google's words."""


class HandedCredentials(Credentials):
    """Holds the token that others fetch: no call of its own, on whatever loop the library is."""

    def refresh(self, request: object) -> None:
        """Does nothing; the library calls it where FCM answers 401, and a call here would hold up every push."""


class FcmToken:
    """The access token of a service account, renewed before it ends.

    Args:
        key: The service account's key, as Google gives it.
        now: The clock that tells how long a token still lasts.
    """

    def __init__(self, key: Mapping[str, str], *, now: Clock) -> None:
        self.credentials = HandedCredentials()  # type: ignore[no-untyped-call] # google-auth types only some of it
        made = service_account.Credentials.from_service_account_info(key, scopes=[SCOPE])  # type: ignore[no-untyped-call] # as above
        self._account: service_account.Credentials = made
        self._now = now
        self._expire_time = _EPOCH
        self._tasks = asyncio.TaskGroup()
        self._renewing: asyncio.Task[str] | None = None

    async def __aenter__(self) -> FcmToken:
        self._request = Request()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A call that is under way ends first: it is bounded, and a thread cannot be cut off.
        await self._tasks.__aexit__(None, None, None)
        self._request.session.close()

    async def ready(self) -> None:
        """Returns once `credentials` hold a token that lasts; at once, but for the first and after an outage.

        Raises:
            NoAccessTokenError: If there is none within 8 s.
        """
        left = self._expire_time - self._now()
        if left > RENEW_BEFORE:
            return
        if self._renewing is None:
            self._renewing = self._tasks.create_task(self._renew(), name="fcm token")
        if left > LEAST:
            return
        try:
            async with asyncio.timeout(_WAIT_S):
                # Shielded: one that waits no longer leaves the call to the others.
                problem = await asyncio.shield(self._renewing)
        except TimeoutError:
            raise NoAccessTokenError(f"Google gave no access token within {_WAIT_S:g} s") from None
        if problem:
            raise NoAccessTokenError(f"Google gave no access token: {problem}")

    @property
    def value(self) -> str:
        """The token that pushes are sent with now; only after `ready`."""
        return str(self.credentials.token)

    def refuse(self, token: str) -> None:
        """Notes that FCM does not take a token, so that the next push gets another one."""
        if token == self.value:
            self._expire_time = _EPOCH

    async def _renew(self) -> str:
        """Fetches a token, and gives what went wrong; does not raise."""
        try:
            await asyncio.to_thread(self._account.refresh, functools.partial(self._request, timeout=_CALL_S))
        except GoogleAuthError as error:
            return str(error.args[0]) if error.args else type(error).__name__
        except (TypeError, ValueError):
            # So it ends in google-auth where the answer is a 200 and not what it takes for granted.
            return "what it answered is none"
        else:
            self.credentials.token = self._account.token
            # In UTC, without saying so; None where the token does not end.
            expiry = self._account.expiry
            self._expire_time = expiry.replace(tzinfo=UTC) if expiry else _NEVER
            return ""
        finally:
            self._renewing = None
