"""Where a call comes from, as its metadata says: what is kept with a message, for who reads the log. Pure.

Whoever makes a call chooses its metadata, so nothing is decided by it that its credentials do not allow.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROTOCOL_KEY = "carillon-protocol"
CALLER_KEY = "carillon-caller"
GRPC = "grpc"
NOTIFICATIONAPI = "notificationapi"

_PROTOCOLS = frozenset({GRPC, NOTIFICATIONAPI, "notifuse", "sendbird"})
_MAX_CALLER_BYTES = 256


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call came from."""

    protocol: str
    """What the caller spoke: ``grpc``, or what a gateway has translated from."""

    key_id: str
    """Which secret it was made with."""

    user_agent: str
    """The caller's own name for itself."""


def read_protocol(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Tells what the caller of a call speaks; what nobody has heard of is gRPC, which it is in any case."""
    return _protocol(_texts(metadata))


def read_origin(metadata: Iterable[tuple[str, str | bytes]], *, key_id: str) -> Origin:
    """Gives where a call comes from; a gateway names the caller that it speaks for, another is what gRPC says."""
    texts = _texts(metadata)
    # One that is named, and empty, has no name: gRPC's is that of the gateway then.
    caller = texts.get(CALLER_KEY, texts.get("user-agent", ""))
    return Origin(_protocol(texts), key_id, _shortened(caller))


def _texts(metadata: Iterable[tuple[str, str | bytes]]) -> dict[str, str]:
    # The first of each counts.
    return {key: value for key, value in reversed(list(metadata)) if isinstance(value, str)}


def _protocol(texts: Mapping[str, str]) -> str:
    protocol = texts.get(PROTOCOL_KEY, GRPC)
    return protocol if protocol in _PROTOCOLS else GRPC


def _shortened(text: str) -> str:
    # A surrogate is none of UTF-8, and "Cc" has all that moves a cursor in somebody's terminal.
    seen = text if text.isascii() and text.isprintable() else _visible(text)
    return seen.encode()[:_MAX_CALLER_BYTES].decode(errors="ignore")


def _visible(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cs"))
