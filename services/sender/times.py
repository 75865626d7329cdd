"""When a message fires and when it ends: what a send asks for, and what may be asked for. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.kernel.validation import Violations
from services.sender.civil_time import CivilTime, moment_of
from services.users.model import merged

if TYPE_CHECKING:
    from datetime import datetime

    from services.environments.model import Environment
    from services.sender.model import Send
    from services.users.model import User

MAX_AHEAD = timedelta(days=366)
"""A year, whichever: the same day of the next one is not refused."""

MAX_LIFE = timedelta(days=10 * 366)


def schedule_time_of(send: Send, profile: User | None, environment: Environment, now: datetime) -> datetime | None:
    """Gives when a send is to fire; None: at once, as its time is not given, or has come.

    Args:
        send: What the caller asks for.
        profile: The user as stored: whose timezone a civil time is in where the send has none.
        environment: Whose timezone it is in where the user has none either.
        now: The time.
    """
    at = send.schedule
    if isinstance(at, CivilTime):
        at = moment_of(at, _zone(merged(send.user, profile).timezone, environment.default_timezone), now)
    return at if at and at > now else None


def check_times(send: Send, schedule_time: datetime | None, now: datetime, *, prefix: str = "") -> None:
    """Checks what depends on the time: when a message fires, and that it does not end before.

    Raises:
        InvalidArgument: If it is too far ahead, or too early.
    """
    violations = Violations()
    if schedule_time and schedule_time > now + MAX_AHEAD:
        field = "schedule_local_time" if isinstance(send.schedule, CivilTime) else "schedule_time"
        violations.add(f"{prefix}{field}", "must be at most a year ahead", "OUT_OF_RANGE")
    if send.expire_time:
        field = f"{prefix}expire_time"
        if send.expire_time <= (schedule_time or now):
            problem = "must be later than the time that the message is sent at"
            violations.add(field, problem, "OUT_OF_RANGE")
        elif send.expire_time > now + MAX_LIFE:
            violations.add(field, "must be at most 10 years ahead", "OUT_OF_RANGE")
    violations.raise_if_any()


def _zone(*names: str) -> ZoneInfo:
    for name in names:
        try:
            # The environment's may be of a newer tz database than this machine's.
            return ZoneInfo(name or "?")
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return ZoneInfo("UTC")
