"""Where a page of the log is read: which index a filter chooses, and what is left to compare message by message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bson import MaxKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.messages.entry import LogFilter

ID_INDEX = "_id_"
TRACKING_INDEX = "tracking"
LOG_INDEX = "log"
REQUEST_INDEX = "request"
DUE_INDEX = "due"
LEASE_S = 60.0
"""How long a worker that has claimed a message keeps it, unless it says so again."""

_COMPARED = {
    "user_ids": "_id.u",
    "notification_ids": "notification_id",
    "sub_notification_ids": "sub_notification_id",
    "group_ids": "group_id",
    "tags": "tags",
    "request_ids": "request_id",
    "secondary_ids": "secondary_id",
    "categories": "category",
    "sections": "section",
}
_OF_DELIVERY = {"channels": "channel", "states": "state", "reasons": "reason"}


@dataclass(frozen=True, slots=True)
class Source:
    """A part of an index, which holds messages in the order of their tracking ids."""

    index: str
    query: Mapping[str, Any]
    user: Mapping[str, str] | None = None
    """Whose messages, by a range of ``_id``; absent: those of the query, by ``_id.m``."""

    tracking_ids: tuple[str, ...] = ()
    """Exactly these, where they are given."""

    is_finite: bool = False
    """Whether the filter itself says how many there can be."""

    @property
    def key(self) -> str:
        """The field that orders it."""
        return "_id" if self.user else "_id.m"

    def between(self, low: str, high: str) -> dict[str, Any]:
        """Gives the query for tracking ids from ``low`` on and below ``high``, where that is not empty."""
        if self.user:
            return {"_id": {"$gte": {**self.user, "m": low}, "$lt": {**self.user, "m": high or MaxKey()}}}
        if self.tracking_ids:
            ids = [one for one in self.tracking_ids if low <= one and (one < high or not high)]
            return {**self.query, "_id.m": {"$in": ids}}
        return {**self.query, "_id.m": {"$gte": low, "$lt": high} if high else {"$gte": low}}


def choose(client_id: str, selected: LogFilter) -> tuple[list[Source], dict[str, Any]]:
    """Gives what to read for a filter, and what each message found there is still compared with.

    Several users are several sources: no index has the messages of more than one in the order of time. A request id is
    one user's, so its index serves only who names the user too.
    """
    environment = {"_id.e": client_id}
    served: tuple[str, ...] = ()
    if selected.tracking_ids:
        sources = [Source(TRACKING_INDEX, environment, tracking_ids=selected.tracking_ids, is_finite=True)]
    elif selected.user_ids and selected.request_ids:
        served = ("user_ids", "request_ids")
        requests = {"request_id": {"$in": list(selected.request_ids)}}
        queries = [environment | {"_id.u": user_id} | requests for user_id in selected.user_ids]
        sources = [Source(REQUEST_INDEX, query, is_finite=True) for query in queries]
    elif selected.user_ids:
        served = ("user_ids",)
        sources = [Source(ID_INDEX, {}, user={"e": client_id, "u": user_id}) for user_id in selected.user_ids]
    elif selected.notification_ids:
        served = ("notification_ids",)
        notifications = {"notification_id": {"$in": list(selected.notification_ids)}}
        sources = [Source(LOG_INDEX, environment | notifications)]
    else:
        sources = [Source(TRACKING_INDEX, environment)]
    return sources, _compared(selected, served)


def times(selected: LogFilter) -> dict[str, Any]:
    """Gives the exact comparison of the times, of which the range of tracking ids is a little wider."""
    bounds = {"$gte": selected.start_time, "$lt": selected.end_time}
    given = {operator: time for operator, time in bounds.items() if time}
    return {"create_time": given} if given else {}


def _compared(selected: LogFilter, served: tuple[str, ...]) -> dict[str, Any]:
    query: dict[str, Any] = {
        path: {"$in": list(values)}
        for name, path in _COMPARED.items()
        if name not in served and (values := getattr(selected, name))
    }
    of_delivery = {
        field: {"$in": list(values)} for name, field in _OF_DELIVERY.items() if (values := getattr(selected, name))
    }
    if of_delivery:
        # One and the same delivery must have them all.
        query["deliveries"] = {"$elemMatch": of_delivery}
    return query
