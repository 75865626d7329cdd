"""Times as the SDKs' callers write them, and as the protos have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from services.kernel.clock import utc_now


def ago(minutes: float) -> str:
    """Gives a moment in the past as JavaScript writes it."""
    return iso(utc_now() - timedelta(minutes=minutes))


def iso(time: datetime) -> str:
    """Gives a time as JavaScript writes it."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamp(text: str) -> Timestamp:
    """Gives the time that a text means."""
    made = Timestamp()
    made.FromDatetime(datetime.fromisoformat(text))
    return made
