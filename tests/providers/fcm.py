"""Firebase Cloud Messaging on this machine: FCM v1 over HTTP/2 and TLS, and Google's token endpoint beside it."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.providers.http2 import Http2Server, Reply, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from tests.providers.authority import Authority

HOST = "fcm.googleapis.com"
PROJECT = "carillon-test"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_PATH = re.compile(r"/v1/projects/([^/]+)/messages:send")
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


@dataclass(frozen=True)
class Pushed:
    """One push as it arrived."""

    message: Mapping[str, Any]
    access_token: str
    is_validated_only: bool

    @property
    def token(self) -> str:
        """The device that it is for."""
        return str(self.message.get("token") or self.message.get("fid", ""))


def accepted(pushed: Pushed) -> Reply:
    """Takes a push as FCM does."""
    body = {"name": f"projects/{PROJECT}/messages/0:{secrets.token_hex(8)}"}
    return Reply(200, {"content-type": "application/json; charset=UTF-8"}, json.dumps(body).encode())


def refused(
    status: int, reason: str, code: str = "", *, message: str = "refused", headers: Mapping[str, str] | None = None
) -> Callable[[Pushed], Reply]:
    """Makes the answer that refuses a push, in Google's form of an error.

    Args:
        status: The status of HTTP.
        reason: Google's canonical code: ``NOT_FOUND``.
        code: FCM's own: ``UNREGISTERED``; empty: it says none.
        message: The words for people.
        headers: As ``Retry-After``.
    """
    error: dict[str, Any] = {"code": status, "message": message, "status": reason}
    if code:
        error["details"] = [{"@type": _FCM_ERROR, "errorCode": code}]
    reply = Reply(
        status,
        {"content-type": "application/json; charset=UTF-8", **(headers or {})},
        json.dumps({"error": error}).encode(),
    )
    return lambda _: reply


UNREGISTERED = refused(404, "NOT_FOUND", "UNREGISTERED", message="Requested entity was not found.")
INVALID_TOKEN = refused(
    400,
    "INVALID_ARGUMENT",
    "INVALID_ARGUMENT",
    message="The registration token is not a valid FCM registration token",
)
UNAVAILABLE = refused(503, "UNAVAILABLE", "UNAVAILABLE", message="The service is currently unavailable.")
UNAUTHENTICATED = refused(401, "UNAUTHENTICATED", message="Request had invalid authentication credentials.")


@dataclass
class FcmServer:
    """What a test tells FCM to answer, and what FCM was asked."""

    answer: Callable[[Pushed], Reply | None] = accepted
    """Answers a push that is authenticated; None: it is never answered."""

    held: frozenset[str] = frozenset()
    """The devices whose answers wait for `gate`."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)

    keeps: bool = True
    """Whether pushes are kept in `pushed`, or only counted."""

    pushed: list[Pushed] = field(default_factory=list)
    push_count: int = 0
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released by each push as it arrives; only where they are kept."""

    token_problem: str = ""
    """Why nobody gets an access token, in Google's words."""

    token_body: str = ""
    """What is answered in a token's place."""

    token_lasts_s: int = 3600
    token_gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Calls for a token wait here."""

    token_asked: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    tokens: list[str] = field(default_factory=list)
    """The access tokens that were handed out and not revoked."""

    token_count: int = 0
    """How many were ever asked for."""

    def __post_init__(self) -> None:
        self.token_gate.set()
        self.http = Http2Server(self._send)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._key_id = secrets.token_hex(20)
        self._email = f"worker@{PROJECT}.iam.gserviceaccount.com"
        self._token_uri = ""

    @asynccontextmanager
    async def serve(self, authority: Authority) -> AsyncIterator[FcmServer]:
        """Listens on this machine until the block ends."""
        app = web.Application()
        app.router.add_post("/token", self._grant)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            self._token_uri = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
            async with self.http.serve(authority.server_context(HOST, alpn="h2")):
                yield self
        finally:
            await runner.cleanup()

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return f"127.0.0.1:{self.http.port}"

    def write_key(self, directory: Path, **changes: str) -> Path:
        """Writes the service account's key as Google gives it."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = directory / "service-account.json"
        key = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": self._key_id,
            "private_key": pem.decode(),
            "client_email": self._email,
            "client_id": "1",
            "token_uri": self._token_uri,
        }
        file.write_text(json.dumps(key | changes))
        return file

    async def _grant(self, request: web.Request) -> web.Response:
        self.token_count += 1
        self.token_asked.release()
        await self.token_gate.wait()
        if self.token_body:
            return web.Response(text=self.token_body, content_type="application/json")
        form = await request.post()
        problem = self.token_problem or self._problem_of(str(form.get("grant_type")), str(form.get("assertion")))
        if problem:
            return web.json_response({"error": "invalid_grant", "error_description": problem}, status=400)
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self.tokens.append(token)
        return web.json_response({"access_token": token, "expires_in": self.token_lasts_s, "token_type": "Bearer"})

    def _problem_of(self, grant: str, assertion: str) -> str:
        """Tells what is wrong with an assertion, as Google does."""
        if grant != GRANT:
            return "Unsupported grant"
        try:
            claims = jwt.decode(
                assertion,
                self._key.public_key(),
                algorithms=["RS256"],
                audience=self._audience,
                issuer=self._email,
                options={"require": ["iss", "aud", "iat", "exp"]},
            )
        except jwt.InvalidTokenError as error:
            return f"Invalid JWT: {error}"
        if jwt.get_unverified_header(assertion).get("kid") != self._key_id:
            return "Invalid JWT Signature."
        if claims["exp"] - claims["iat"] > 3600 or claims["exp"] > time.time() + 3600:
            return "Invalid JWT: Token must be a short-lived token (60 minutes)"
        return "" if claims.get("scope") == SCOPE else "Invalid scope"

    @property
    def _audience(self) -> list[str]:
        return [self._token_uri, "https://oauth2.googleapis.com/token"]

    async def _send(self, request: Request) -> Reply | None:
        scheme, _, access_token = request.headers.get("authorization", "").partition(" ")
        asked = json.loads(request.body)
        pushed = Pushed(asked["message"], access_token, asked.get("validate_only", False))
        self.push_count += 1
        if self.keeps:
            self.pushed.append(pushed)
            self.arrived.release()
        path = _PATH.fullmatch(request.path)
        if request.method != "POST" or path is None:
            return refused(404, "NOT_FOUND")(pushed)
        if scheme != "Bearer" or access_token not in self.tokens:
            return UNAUTHENTICATED(pushed)
        if path[1] != PROJECT:
            return refused(403, "PERMISSION_DENIED", message="Permission denied on resource project.")(pushed)
        if pushed.token in self.held:
            await self.gate.wait()
        return self.answer(pushed)
