"""A query of the log: its filters in their names, and the id that says the same. Pure.

The id of a query is the query, so that nothing is stored: whoever has it can ask for the result at any time, with the
credentials of the environment.
"""

from __future__ import annotations

import json
import zlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from carillon.v1 import delivery_pb2, messages_pb2
from gateway.http.notificationapi.bodies import Lenient
from gateway.http.notificationapi.options_to_proto import timestamp_of
from gateway.http.notificationapi.send_bodies import Number, Texts  # noqa: TC001 # pydantic reads it at run time
from gateway.http.notificationapi.send_to_proto import CHANNELS
from services.kernel.encoding import decode_base64
from services.kernel.errors import FieldViolation, InvalidArgument
from services.kernel.validation import Violations

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_QUERY_ID_CHARS = 4096
"""What fits into a path anywhere."""

_MAX_QUERY_BYTES = 256 * 1024
_INSTEAD = (
    "is not supported; use dateRangeFilter, notificationFilter, channelFilter, userFilter, statusFilter or trackingIds"
)
_STATES = {
    value.name.removeprefix("DELIVERY_STATE_"): value.number
    for value in delivery_pb2.DeliveryState.DESCRIPTOR.values
    if value.number
}
_STATUSES: dict[str, tuple[int, ...]] = {
    "SUCCESS": (delivery_pb2.DELIVERY_STATE_SENT, delivery_pb2.DELIVERY_STATE_DELIVERED),
    "FAILURE": (delivery_pb2.DELIVERY_STATE_FAILED,),
    "IGNORED": (delivery_pb2.DELIVERY_STATE_SKIPPED,),
    "SENDING": (delivery_pb2.DELIVERY_STATE_PENDING,),
    **{name: (number,) for name, number in _STATES.items()},
}
_NAMES = {
    "filter.user_ids": "userFilter",
    "filter.notification_ids": "notificationFilter",
    "filter.channels": "channelFilter",
    "filter.states": "statusFilter",
    "filter.tracking_ids": "trackingIds",
    "filter.start_time": "dateRangeFilter.startTime",
    "filter.end_time": "dateRangeFilter.endTime",
    "page_token": "pageToken",
}


class DateRangeBody(Lenient):
    """From when to when: UNIX times, of milliseconds as their example has them, or of seconds."""

    startTime: Number = None
    endTime: Number = None


class QueryBody(Lenient):
    """What narrows the log."""

    dateRangeFilter: DateRangeBody | None = None
    notificationFilter: Texts = None
    channelFilter: Texts = None
    userFilter: Texts = None
    statusFilter: Texts = None
    trackingIds: Texts = None
    envIdFilter: Texts = None
    requestFilter: Texts = None
    customFilter: str | None = None


class UnreadableQueryError(ValueError):
    """What stands where the id of a query belongs is none of ours."""


def filter_to_proto(body: QueryBody, client_id: str) -> messages_pb2.MessageFilter:
    """Gives the filter of a query in an environment.

    Raises:
        InvalidArgument: If it asks for something that cannot be asked for.
    """
    violations = Violations()
    for name, value in (("customFilter", body.customFilter), ("requestFilter", body.requestFilter)):
        if value:
            violations.add(name, _INSTEAD, "NOT_SUPPORTED")
    for i, env_id in enumerate(body.envIdFilter or ()):
        if env_id != client_id:
            violations.add(
                f"envIdFilter[{i}]", "must be the clientId of the credentials; ask with those of the other environment"
            )
    channels = _numbers(body.channelFilter, {name: (number,) for name, number in CHANNELS.items()}, "channelFilter")
    states = _numbers(body.statusFilter, _STATUSES, "statusFilter")
    for field, problem in (*channels[1], *states[1]):
        violations.add(field, problem)
    violations.raise_if_any()

    times = body.dateRangeFilter or DateRangeBody()
    return messages_pb2.MessageFilter(
        user_ids=body.userFilter,
        notification_ids=body.notificationFilter,
        channels=channels[0],  # type: ignore[arg-type] # numbers of Channel
        states=states[0],  # type: ignore[arg-type] # numbers of DeliveryState
        tracking_ids=body.trackingIds,
        start_time=None if times.startTime is None else timestamp_of(times.startTime),
        end_time=None if times.endTime is None else timestamp_of(times.endTime),
    )


def query_id_of(body: QueryBody) -> str:
    """Gives the id of a query.

    Raises:
        InvalidArgument: If it says too much for an id.
    """
    given = body.model_dump(exclude_none=True, include=set(QueryBody.model_fields))
    given["dateRangeFilter"] = {
        name: time
        for name in ("startTime", "endTime")
        if body.dateRangeFilter and (time := getattr(body.dateRangeFilter, name)) is not None
    }
    said = {name: value for name, value in given.items() if value}
    raw = json.dumps(said, separators=(",", ":"), sort_keys=True).encode()
    query_id = urlsafe_b64encode(zlib.compress(raw, 9)).decode().rstrip("=")
    if len(query_id) > MAX_QUERY_ID_CHARS or len(raw) > _MAX_QUERY_BYTES:
        problem = "has too many values for one query; narrow it, or ask in several"
        raise InvalidArgument([FieldViolation("body", problem, "TOO_LARGE")])
    return query_id


def read_query_id(query_id: str) -> QueryBody:
    """Reads the query out of its id.

    Raises:
        UnreadableQueryError: If it is none of ours.
    """
    try:
        if len(query_id) > MAX_QUERY_ID_CHARS:
            raise UnreadableQueryError
        inflater = zlib.decompressobj()
        raw = inflater.decompress(decode_base64(query_id), _MAX_QUERY_BYTES)
        if not inflater.eof or inflater.unused_data:
            raise UnreadableQueryError
        value = json.loads(raw)
        # Half a character is a text of JSON, and none of protobuf.
        json.dumps(value, ensure_ascii=False).encode()
        return QueryBody.model_validate(value)
    # Pydantic's, JSON's, base64's and Unicode's errors are ValueErrors.
    except (ValueError, RecursionError, zlib.error):
        raise UnreadableQueryError from None


def query_name(path: str) -> str:
    """Gives their name for a field of ListMessages."""
    for ours, theirs in _NAMES.items():
        if path == ours or path.startswith(f"{ours}["):
            return theirs + path[len(ours) :]
    return path


def _numbers(
    words: Iterable[str] | None, known: dict[str, tuple[int, ...]], field: str
) -> tuple[list[int], list[tuple[str, str]]]:
    """Gives the numbers of words, each once, and what is wrong."""
    found: dict[int, None] = {}
    problems = []
    for i, word in enumerate(words or ()):
        numbers = known.get(word.strip().upper())
        if numbers:
            found |= dict.fromkeys(numbers)
        else:
            problems.append((f"{field}[{i}]", f"must be one of {', '.join(known)}"))
    return list(found), problems


def page_of_query(body: QueryBody, client_id: str, *, page_token: str, page_size: int) -> Any:
    """Makes the request for a page of a query's result."""
    return messages_pb2.ListMessagesRequest(
        filter=filter_to_proto(body, client_id),
        page_token=page_token,
        page_size=page_size,
        view=messages_pb2.MESSAGE_VIEW_FULL,
    )
