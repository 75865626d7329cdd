"""Push services on loopback, over TLS: they decrypt as browsers would, and verify who pushes (RFC 8291, RFC 8292)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from carillon.v1 import user_pb2
from services.kernel.encoding import decode_base64

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from ssl import SSLContext

MAX_BODY_BYTES = 4096
_POINT_BYTES = 65
_HEADER_BYTES = 16 + 4 + 1 + _POINT_BYTES


class Browser:
    """A browser that has subscribed: the one that can read what is pushed to it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.worker = user_pb2.WEB_PUSH_WORKER_UNSPECIFIED
        """Which service worker shows what is pushed."""

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._point = point(self._key.public_key())
        self._auth = os.urandom(16)

    @property
    def keys(self) -> dict[str, str]:
        """The keys as PushSubscription.toJSON gives them."""
        return {"p256dh": base64url(self._point), "auth": base64url(self._auth)}

    @property
    def subscription(self) -> user_pb2.WebPushSubscription:
        """The subscription as a backend sends it."""
        keys = user_pb2.WebPushKeys(**self.keys)
        return user_pb2.WebPushSubscription(endpoint=self.endpoint, keys=keys, worker=self.worker)

    def read(self, body: bytes) -> bytes:
        """Decrypts a push of one record (RFC 8291, section 3.4); raises for any other."""
        salt, record_size, id_size = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        assert id_size == _POINT_BYTES
        sender, record = body[21:_HEADER_BYTES], body[_HEADER_BYTES:]
        assert len(record) <= record_size
        secret = self._key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        secret = _derive(secret, self._auth, b"WebPush: info\0" + self._point + sender, 32)
        key = _derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _derive(secret, salt, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
        assert padded[-1:] == b"\2"
        return padded[:-1]


@dataclass(frozen=True)
class Push:
    """A push that a service has taken."""

    browser: Browser
    headers: Mapping[str, str]
    payload: Any
    """What the service worker gets, as JSON."""

    claims: Mapping[str, Any]
    """Who pushes, as it was signed."""

    public_key: str
    size: int


@dataclass(frozen=True)
class Scripted:
    """An answer that a test wants to the next push to a browser, in place of the right one."""

    status: int = 201
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False
    """The push is taken, and the connection ends without an answer."""


@dataclass
class PushService:
    """What was pushed to the browsers of one service, and what it answers next."""

    origin: str = ""
    pushes: list[Push] = field(default_factory=list)
    """Every push that was addressed, encrypted and signed right, whatever was answered."""

    refused: list[str] = field(default_factory=list)
    """What was wrong with the others."""

    connections: set[object] = field(default_factory=set)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Pushes wait here for their answer."""

    _browsers: dict[str, Browser] = field(default_factory=dict)
    _scripts: dict[str, deque[Scripted]] = field(default_factory=lambda: defaultdict(deque))
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.gate.set()

    def browser(self, name: str = "one") -> Browser:
        """Subscribes a browser."""
        browser = Browser(f"{self.origin}/push/{name}-{base64url(os.urandom(24))}")
        self._browsers[browser.endpoint] = browser
        return browser

    def say(self, browser: Browser, *answers: Scripted) -> None:
        """Says what is answered to the next pushes to a browser."""
        self._scripts[browser.endpoint].extend(answers)

    async def has(self, count: int) -> list[Push]:
        """Waits until so many pushes have come, and gives them all."""
        async with asyncio.timeout(60), self._came:
            await self._came.wait_for(lambda: len(self.pushes) >= count or self.refused)
        assert self.refused == []
        return self.pushes

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Takes one push, and answers as a push service does or as the test says."""
        self.connections.add(request.transport)
        browser = self._browsers.get(f"{self.origin}{request.path}")
        if browser is None:
            return web.Response(status=404, text="no such subscription")
        body = await request.read()
        try:
            self.pushes.append(self._read(browser, request.headers, body))
        except (AssertionError, ValueError, KeyError, jwt.InvalidTokenError) as error:
            self.refused.append(repr(error))
            return web.Response(status=400)
        finally:
            async with self._came:
                self._came.notify_all()
        await self.gate.wait()
        script = self._scripts[browser.endpoint]
        accepted = {"Location": f"{self.origin}/message/{len(self.pushes)}", "Set-Cookie": "who=you"}
        answer = script.popleft() if script else Scripted(headers=accepted)
        if answer.is_cut and request.transport:
            request.transport.abort()
        return web.Response(status=answer.status, text=answer.text, headers=answer.headers)

    def _read(self, browser: Browser, headers: Mapping[str, str], body: bytes) -> Push:
        assert len(body) <= MAX_BODY_BYTES
        assert headers["Content-Encoding"] == "aes128gcm"
        assert headers["TTL"].isdecimal()
        scheme, _, parameters = headers["Authorization"].partition(" ")
        assert scheme == "vapid"
        given = dict(one.strip().split("=", 1) for one in parameters.split(","))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode_base64(given["k"]))
        claims = jwt.decode(
            given["t"], key, algorithms=["ES256"], audience=self.origin, options={"require": ["aud", "exp", "sub"]}
        )
        assert datetime.fromtimestamp(claims["exp"], UTC) - datetime.now(UTC) <= timedelta(hours=24)
        return Push(browser, dict(headers), json.loads(browser.read(body)), claims, given["k"], len(body))


@asynccontextmanager
async def serve_push_service(context: SSLContext) -> AsyncIterator[PushService]:
    """Serves one on a port of its own, so an origin of its own, until the block ends.

    Args:
        context: Its certificate, for ``localhost``.
    """
    service = PushService()
    app = web.Application()
    app.router.add_post("/push/{name}", service.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        service.origin = f"https://localhost:{runner.addresses[0][1]}"
        yield service
    finally:
        # What still waits is let go.
        service.gate.set()
        await runner.cleanup()


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Gives a public key as web push writes it."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def base64url(key: bytes) -> str:
    """Writes a key as a browser does."""
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def _derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)
