"""Changes of a send that waits for its time: which fields of its request are replaced, and which cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from carillon.v1 import content_pb2, send_options_pb2, sender_pb2, user_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message

    from services.kernel.validation import Violations

    M = TypeVar("M", bound=Message)

MAX_PATHS = 100
_NAMES = frozenset(field.name for field in sender_pb2.SendRequest.DESCRIPTOR.fields)
# Within these a mask may name a single field.
_PARTED: Mapping[str, type[Message]] = {
    "user": user_pb2.User,
    "options": send_options_pb2.SendOptions,
    "content": content_pb2.ContentByChannel,
}
_PATHS = _NAMES | {f"{name}.{part.name}" for name, kind in _PARTED.items() for part in kind.DESCRIPTOR.fields}


def changed_request(
    stored: sender_pb2.SendRequest, request: sender_pb2.UpdateScheduleRequest, violations: Violations
) -> sender_pb2.SendRequest:
    """Gives the request that a message is to be fired by from now on, without its request_id.

    Args:
        stored: The request until now, with its request_id.
        request: What is to be changed.
        violations: Where what is wrong is recorded.
    """
    given, paths = request.request, list(request.update_mask.paths)
    _check_paths(paths, violations)
    _check_fixed(stored, given, paths, violations)
    if "*" in paths:
        names = sorted(_NAMES)
    elif paths:
        names = [path for path in paths if path in _PATHS]
    else:
        names = _set_fields(given)

    changed = sender_pb2.SendRequest()
    changed.CopyFrom(stored)
    for name in names:
        first, _, part = name.partition(".")
        if part:
            _replace(getattr(changed, first), getattr(given, first), part)
        else:
            _replace(changed, given, first)
    changed.notification_id = stored.notification_id
    changed.user.id = stored.user.id
    changed.ClearField("request_id")
    attachments = changed.options.email.attachments
    if attachments and list(attachments) != list(stored.options.email.attachments):
        # Theirs were fetched or stored with the send; what is stored is told apart by its place among them.
        problem = "cannot be exchanged yet; leave them out, or mask them to take them away"
        violations.add("request.options.email.attachments", problem, "NOT_SUPPORTED_YET")
    return changed


def is_timed_anew(before: sender_pb2.SendRequest, after: sender_pb2.SendRequest) -> bool:
    """Tells whether a change says when to fire: else "09:00" would be tomorrow once today's has come."""
    schedules = [(one.WhichOneof("schedule"), one.schedule_time, one.schedule_local_time) for one in (before, after)]
    has_moved = after.WhichOneof("schedule") == "schedule_local_time" and before.user.timezone != after.user.timezone
    return schedules[0] != schedules[1] or has_moved


def _check_paths(paths: Sequence[str], violations: Violations) -> None:
    if len(paths) > MAX_PATHS:
        violations.add("update_mask.paths", f"must be at most {MAX_PATHS}, but are {len(paths)}", "TOO_MANY")
    for i, path in enumerate(paths[:MAX_PATHS]):
        if path != "*" and path not in _PATHS:
            problem = "must be '*', a field of SendRequest, or one of its user, options or content"
            violations.add(f"update_mask.paths[{i}]", problem, "UNKNOWN_PATH")


def _check_fixed(
    stored: sender_pb2.SendRequest, given: sender_pb2.SendRequest, paths: Sequence[str], violations: Violations
) -> None:
    for path, is_, wanted in (
        ("notification_id", stored.notification_id, given.notification_id),
        ("user.id", stored.user.id, given.user.id),
        ("request_id", stored.request_id, given.request_id),
    ):
        if wanted != is_ and (wanted or path in paths):
            violations.add(f"request.{path}", f"cannot change; leave it out, or give '{is_}'", "INVALID")


def _set_fields(given: sender_pb2.SendRequest) -> list[str]:
    """Gives the paths of what is set; a user is given in parts, for one with an id alone is no other user."""
    names = [field.name for field, _ in given.ListFields() if field.name != "user"]
    return names + [f"user.{field.name}" for field, _ in given.user.ListFields()]


def _replace(target: M, source: M, name: str) -> None:
    target.ClearField(name)
    part = type(source)()
    part.CopyFrom(source)
    for field, _ in source.ListFields():
        if field.name != name:
            part.ClearField(field.name)
    target.MergeFrom(part)
