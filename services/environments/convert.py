"""Environments between protobuf and the model, with every rule about their settings; secrets are in neither."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import phonenumbers

from carillon.v1 import environments_pb2
from services.environments.model import DEFAULTS
from services.kernel import validation
from services.kernel.vocabulary import Channel
from services.kernel.wire import to_timestamp
from services.notifications.convert import CHANNELS, LANGUAGE, LANGUAGE_FORM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from services.environments.model import Environment
    from services.kernel.validation import Violations

_NAME_BYTES = 256
_URL_BYTES = 2048
_LANGUAGE_BYTES = 64
_TIMEZONE_BYTES = 64
# Far more than there are channels; each unknown number is a violation, and a request has room for millions.
_MAX_CHANNELS = 100
_MIN_RETENTION, _MAX_RETENTION = timedelta(days=1), timedelta(days=3650)
_OUTPUT_ONLY = ("client_id", "vapid_public_key", "create_time", "update_time")


def environment_to_proto(environment: Environment) -> environments_pb2.Environment:
    """Gives an environment as a backend sees it."""
    proto = environments_pb2.Environment(
        client_id=environment.client_id,
        secure_mode=environment.secure_mode,
        disabled_channels=map(CHANNELS.to_wire, sorted(environment.disabled_channels, key=CHANNELS.to_wire)),
        default_region=environment.default_region,
        default_timezone=environment.default_timezone,
        default_language=environment.default_language,
        create_time=to_timestamp(environment.create_time),
        update_time=to_timestamp(environment.update_time),
    )
    proto.retention.FromTimedelta(environment.retention)
    proto.MergeFrom(environment_to_user_proto(environment))
    return proto


def environment_to_user_proto(environment: Environment) -> environments_pb2.Environment:
    """Gives what a browser needs of an environment."""
    vapid = None if Channel.WEB_PUSH in environment.disabled_channels else environment.vapid
    return environments_pb2.Environment(
        name=environment.name or environment.client_id,
        logo_url=environment.logo_url,
        vapid_public_key=vapid.public_key if vapid else "",
    )


def changes_from_proto(
    proto: environments_pb2.Environment, paths: Iterable[str], violations: Violations
) -> dict[str, Any]:
    """Reads what is to be written, by the names of the model's fields.

    Args:
        proto: The new values; one that is masked and empty takes its default again.
        paths: The mask; empty: the fields that are set.
        violations: Where what is wrong is recorded.
    """
    names = list(paths)
    for i, name in enumerate(names):
        if name != "*" and name not in _READERS and name not in _OUTPUT_ONLY:
            violations.add(f"update_mask.paths[{i}]", f"must be '*' or one of {', '.join(_READERS)}", "UNKNOWN_PATH")
    if not names:
        names = [field.name for field, _ in proto.ListFields()]
    if "*" in names:
        if "secure_mode" not in names and not proto.secure_mode:
            # Who writes all of what they know may have left out the one thing that opens every inbox.
            problem = "must be true with '*' alone; to switch it off, name it in the mask too"
            violations.add("environment.secure_mode", problem, "CONFLICT")
        names = list(_READERS)
    return {name: _READERS[name](proto, violations) for name in names if name in _READERS}


def _name(proto: environments_pb2.Environment, violations: Violations) -> str:
    return validation.text(proto.name, violations, field="environment.name", max_bytes=_NAME_BYTES)


def _logo_url(proto: environments_pb2.Environment, violations: Violations) -> str:
    field = "environment.logo_url"
    validation.text(proto.logo_url, violations, field=field, max_bytes=_URL_BYTES)
    if proto.logo_url and not validation.is_web_url(proto.logo_url):
        violations.add(field, "must be an http or https URL")
    return proto.logo_url


def _secure_mode(proto: environments_pb2.Environment, _: Violations) -> bool:
    return proto.secure_mode


def _disabled_channels(proto: environments_pb2.Environment, violations: Violations) -> frozenset[Channel]:
    field = "environment.disabled_channels"
    if (count := len(proto.disabled_channels)) > _MAX_CHANNELS:
        violations.add(field, f"must be at most {_MAX_CHANNELS}, but are {count}", "TOO_MANY")
        return frozenset()
    numbers = enumerate(proto.disabled_channels)
    found = [CHANNELS.from_wire(number, violations, field=f"{field}[{i}]") for i, number in numbers]
    return frozenset(channel for channel in found if channel)


def _retention(proto: environments_pb2.Environment, violations: Violations) -> timedelta:
    if not proto.HasField("retention"):
        return DEFAULTS.retention
    # Compared as numbers: a Duration reaches further than a timedelta.
    seconds = proto.retention.seconds + proto.retention.nanos / 1e9
    if not _MIN_RETENTION.total_seconds() <= seconds <= _MAX_RETENTION.total_seconds():
        violations.add("environment.retention", "must be 1 to 3,650 days", "OUT_OF_RANGE")
        return DEFAULTS.retention
    return proto.retention.ToTimedelta()


def _default_region(proto: environments_pb2.Environment, violations: Violations) -> str:
    region = proto.default_region or DEFAULTS.default_region
    if region not in phonenumbers.SUPPORTED_REGIONS:
        problem = "must be two capital letters of ISO 3166-1 that have a numbering plan, for instance 'US'"
        violations.add("environment.default_region", problem)
    return region


def _default_timezone(proto: environments_pb2.Environment, violations: Violations) -> str:
    field = "environment.default_timezone"
    timezone = proto.default_timezone or DEFAULTS.default_timezone
    validation.text(timezone, violations, field=field, max_bytes=_TIMEZONE_BYTES)
    if not validation.is_timezone(timezone):
        violations.add(field, "is not in the tz database; give a name such as 'Europe/Berlin'")
    return timezone


def _default_language(proto: environments_pb2.Environment, violations: Violations) -> str:
    field = "environment.default_language"
    language = proto.default_language or DEFAULTS.default_language
    validation.text(language, violations, field=field, max_bytes=_LANGUAGE_BYTES)
    if not LANGUAGE.fullmatch(language):
        violations.add(field, LANGUAGE_FORM)
    return language


_READERS: dict[str, Callable[[environments_pb2.Environment, Violations], Any]] = {
    "name": _name,
    "logo_url": _logo_url,
    "secure_mode": _secure_mode,
    "disabled_channels": _disabled_channels,
    "retention": _retention,
    "default_region": _default_region,
    "default_timezone": _default_timezone,
    "default_language": _default_language,
}
