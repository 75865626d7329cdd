"""Where a call comes from, as far as its metadata can be believed."""

from __future__ import annotations

import pytest

from services.kernel.origin import Origin, read_origin

GRPC = ("user-agent", "grpc-python-asyncio/1.66 grpc-c/43 (linux; chttp2)")
Metadata = list[tuple[str, str | bytes]]


@pytest.mark.parametrize("protocol", ["grpc", "notificationapi", "notifuse", "sendbird"])
def test_a_gateway_says_what_it_speaks_and_for_whom(protocol: str) -> None:
    """Protocol and caller are those of the gateway's own words, not of its connection."""
    metadata = [GRPC, ("carillon-protocol", protocol), ("carillon-caller", "axios/1.7.2")]

    assert read_origin(metadata, key_id="k1") == Origin(protocol, "k1", "axios/1.7.2")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ([], Origin("grpc", "k1", "")),
        ([GRPC], Origin("grpc", "k1", GRPC[1])),
        ([GRPC, ("carillon-caller", "")], Origin("grpc", "k1", "")),
        ([GRPC, ("carillon-protocol", "telepathy")], Origin("grpc", "k1", GRPC[1])),
        ([GRPC, ("carillon-protocol", "Notifuse")], Origin("grpc", "k1", GRPC[1])),
        ([("carillon-caller", "first"), ("carillon-caller", "second")], Origin("grpc", "k1", "first")),
        ([("carillon-caller", b"bytes")], Origin("grpc", "k1", "")),
    ],
)
def test_what_is_not_said_is_grpc(metadata: Metadata, expected: Origin) -> None:
    """Without a gateway, and with a protocol that nobody knows, it is gRPC, by the name that gRPC gives itself."""
    assert read_origin(metadata, key_id="k1") == expected


@pytest.mark.parametrize(
    ("caller", "kept"),
    [
        ("x" * 256, "x" * 256),
        ("x" * 257, "x" * 256),
        ("x" * 255 + "é", "x" * 255),
        ("é" * 200, "é" * 128),
        ("a\x1b[31m\r\n\0b\x85c", "a[31mbc"),
        ("\x07" * 300 + "x", "x"),
        ("\ud800x", "x"),
    ],
)
def test_a_caller_is_short_and_moves_no_cursor(caller: str, kept: str) -> None:
    """It is cut at 256 bytes, between characters, and has no control characters."""
    assert read_origin([("carillon-caller", caller)], key_id="").user_agent == kept
