"""Every query on ``messages``, and others that grow: each with the index that it names and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from services.delivery.outbox import Outbox
from services.delivery.rounds import interrupted
from services.inbox.model import MAX_CHANGES, Box, ItemFilter, Mark, Selection, marking
from services.kernel.clock import new_id
from services.kernel.links import ReportLink
from services.kernel.vocabulary import Channel
from services.messages.entry import LogFilter
from services.messages.log import MAX_EXAMINED
from services.messages.model import DeliveryState, Fired, Report, RetractionFilter
from tests.contract.indexes.collection import (
    CLIENT,
    DEFINED,
    EARLY,
    PUSHED_USER,
    RECEIVED,
    RECEIVER,
    USER,
    WAITING,
    waiting_message,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from services.app import Stores
    from services.delivery.outbox import Leased
    from tests.contract.indexes.collection import Collection
    from tests.contract.indexes.explainer import Plan

# An index is entered and left once for each range: a few keys beside those that are answered.
_EDGES = 4
_BY_INDEX = {"IXSCAN", "COUNT_SCAN", "IDHACK"}
# A welcome also reads the user and whether they are being deleted, both by their id.
_BESIDE = ("IDHACK", "_id_")


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that a store is asked for."""

    name: str
    method: str
    """The store and the method, so that none is forgotten."""

    run: Callable[[Stores, Collection], Awaitable[Any]]
    indexes: frozenset[str]
    most_docs: Callable[[Collection], int]
    """How many documents it may examine, all of its commands together."""

    most_keys: Callable[[Collection], int]
    sorts: bool = False
    """Whether it may sort in memory what the request itself keeps few."""

    def problems(self, plans: Sequence[Plan], collection: Collection) -> list[str]:
        """Tells what is wrong with how it was answered, of which there should be nothing."""
        accesses = {access for plan in plans for access in plan.accesses}
        docs, keys = sum(plan.docs for plan in plans), sum(plan.keys for plan in plans)
        most_docs, most_keys = self.most_docs(collection), self.most_keys(collection)
        found = {
            f"reads by {sorted(accesses)}": {access.split()[-1] for access in accesses} != self.indexes
            or not {access.split()[0] for access in accesses} <= _BY_INDEX,
            "sorts in memory": not self.sorts and any(plan.sorts for plan in plans),
            f"examines {docs} documents, more than {most_docs}": docs > most_docs,
            f"examines {keys} keys, more than {most_keys}": keys > most_keys,
        }
        return [problem for problem, is_so in found.items() if is_so]


def _case(
    name: str,
    method: str,
    run: Callable[[Stores, Collection], Awaitable[Any]],
    *indexes: str,
    docs: int | Callable[[Collection], int],
    keys: int | Callable[[Collection], int] | None = None,
    sorts: bool = False,
) -> Case:
    most_docs = docs if callable(docs) else lambda _: docs
    given_keys = docs if keys is None else keys
    most_keys = given_keys if callable(given_keys) else lambda _: given_keys
    return Case(name, method, run, frozenset(indexes), most_docs, lambda all_: most_keys(all_) + _EDGES, sorts)


def _log(
    name: str,
    *indexes: str,
    docs: int,
    keys: int | None = None,
    sorts: bool = False,
    ids: Callable[[Collection], dict[str, Any]] = lambda _: {},
    **narrowed: Any,
) -> Case:
    async def run(stores: Stores, all_: Collection) -> Any:
        selected = LogFilter(**narrowed, **ids(all_))
        below = all_.id(all_.size * 3 // 4)
        return await stores.log.page(CLIENT, selected, all_.time(0), below=below, limit=50, is_full=False)

    return _case(f"log: {name}", "log.page", run, *indexes, docs=docs, keys=keys, sorts=sorts)


async def _log_of_time(stores: Stores, all_: Collection) -> Any:
    quarter = all_.size // 4
    selected = LogFilter(start_time=all_.time(quarter), end_time=all_.time(2 * quarter))
    return await stores.log.page(CLIENT, selected, all_.time(0), below="", limit=50, is_full=False)


async def _later_page(stores: Stores, all_: Collection) -> Any:
    number = all_.newest(1) - 10 * all_.users
    after = (all_.time(number), all_.id(number))
    return await stores.inbox.page(_INBOX, after=after, skip=0, limit=20)


async def _retract(stores: Stores, all_: Collection, user: str, cancel: bool = False, **narrowed: Any) -> Any:
    return await stores.messages.retract(
        CLIENT, user, RetractionFilter(**narrowed), all_.time(all_.size), cancel_deliveries=cancel
    )


async def _change(stores: Stores, _: Collection) -> bool:
    return await stores.schedules.change(await stores.schedules.get(CLIENT, WAITING[1]), waiting_message(WAITING[1]))


async def _fire(stores: Stores, all_: Collection) -> bool:
    waiting = await stores.schedules.get(CLIENT, WAITING[2])
    return await stores.schedules.fire(waiting, "token", Fired(waiting.deliveries, (), None), all_.time(0))


async def _claimed(stores: Stores, all_: Collection, then: Callable[[Outbox, list[Leased]], Awaitable[Any]]) -> None:
    outbox = Outbox(stores.database, owner="me", new_id=new_id, now=lambda: all_.time(all_.size))
    async with outbox:
        await then(outbox, await outbox.claim(0, limit=10))


async def _finish(outbox: Outbox, leased: list[Leased]) -> None:
    for one in leased:
        sent = [replace(delivery, state=DeliveryState.SENT) for delivery in one.deliveries]
        await outbox.finish(one, sent, one.create_time)


async def _record(outbox: Outbox, leased: list[Leased]) -> None:
    for one in leased:
        sent = [replace(delivery, state=DeliveryState.SENT) for delivery in one.deliveries]
        await outbox.record(one, one.deliveries, sent)


async def _interrupt(outbox: Outbox, leased: list[Leased]) -> None:
    for one in leased:
        now = one.create_time
        await outbox.record_interruption(one, [interrupted(each, now, "") for each in one.deliveries], now)


# What a claim costs: it looks at 400 to choose from, writes ten and reads them.
_CLAIM = 400 + 10 + 10


def _claim(name: str, then: Callable[[Outbox, list[Leased]], Awaitable[Any]], *, docs: int) -> Case:
    return _case(
        f"outbox: {name}",
        f"outbox.{name}",
        lambda stores, all_: _claimed(stores, all_, then),
        "due",
        "_id_",
        docs=_CLAIM + docs,
        keys=_CLAIM + docs + 40,
    )


async def _nothing(outbox: Outbox, leased: list[Leased]) -> None:
    assert len(leased) == 10


_INBOX = Selection(CLIENT, USER)
_USERS = tuple(f"user-{number}" for number in range(1, 9))
_NOTIFICATION = "notification-1"


def _per_user(all_: Collection) -> int:
    return all_.per_user


CASES = [
    _case(
        "inbox: first page",
        "inbox.page",
        lambda stores, _: stores.inbox.page(_INBOX, after=None, skip=0, limit=20),
        "inbox",
        docs=20,
    ),
    _case("inbox: later page", "inbox.page", _later_page, "inbox", docs=22),
    _case(
        "inbox: with archive",
        "inbox.page",
        lambda stores, _: stores.inbox.page(
            Selection(CLIENT, USER, (Box.INBOX, Box.ARCHIVE)), after=None, skip=0, limit=20
        ),
        "inbox",
        docs=21,
    ),
    _case(
        "inbox: one category",
        "inbox.page",
        lambda stores, _: stores.inbox.page(
            Selection(CLIENT, USER, narrowed=ItemFilter(categories=("orders",))), after=None, skip=0, limit=20
        ),
        "inbox",
        docs=20,
    ),
    _case(
        "inbox: count",
        "inbox.count",
        lambda stores, _: stores.inbox.count(CLIENT, USER, (Box.INBOX,)),
        "inbox",
        docs=0,
        keys=_per_user,
    ),
    _case(
        "inbox: count unread",
        "inbox.count_unread",
        lambda stores, _: stores.inbox.count_unread(CLIENT, USER),
        "unread",
        docs=0,
        keys=_per_user,
    ),
    _case(
        "inbox: welcome",
        "inbox.newest",
        lambda stores, _: stores.inbox.newest(CLIENT, USER, limit=50),
        "inbox",
        "unread",
        *_BESIDE,
        docs=51,
        keys=_per_user,
    ),
    _case(
        "inbox: resume",
        "inbox.changed",
        lambda stores, _: stores.inbox.changed(CLIENT, USER, since=0),
        "changed",
        "unread",
        *_BESIDE,
        docs=lambda all_: min(all_.per_user, MAX_CHANGES + 1),
        keys=lambda all_: all_.per_user + min(all_.per_user, MAX_CHANGES + 1),
    ),
    _case(
        "marks: by id",
        "marks.mark",
        lambda stores, all_: stores.marks.mark(
            CLIENT, USER, [all_.id(all_.newest(1))], marking([Mark.SEEN], []), all_.time(0)
        ),
        "_id_",
        docs=2,
    ),
    _case(
        "marks: all read",
        "marks.mark_selected",
        lambda stores, all_: stores.marks.mark_selected(
            Selection(CLIENT, "user-3"), marking([Mark.SEEN], []), all_.time(0)
        ),
        "unread",
        "_id_",
        docs=lambda all_: 3 * all_.per_user,
        keys=lambda all_: 6 * all_.per_user,
    ),
    _case(
        "marks: all archived",
        "marks.mark_selected",
        lambda stores, all_: stores.marks.mark_selected(
            Selection(CLIENT, "user-4"), marking([Mark.ARCHIVED], []), all_.time(0)
        ),
        "inbox",
        "_id_",
        docs=lambda all_: 3 * all_.per_user,
        keys=lambda all_: 6 * all_.per_user,
    ),
    _log("newest", "tracking", docs=51),
    _case("log: a time", "log.page", _log_of_time, "tracking", docs=100),
    _log("one user", "_id_", docs=51, user_ids=(USER,)),
    _log("eight users", "_id_", docs=8 * 51, keys=8 * 55, user_ids=_USERS),
    _log("one notification", "log", docs=51, notification_ids=(_NOTIFICATION,)),
    _log("three notifications", "log", docs=52, keys=60, notification_ids=(_NOTIFICATION, "notification-2", "x")),
    _log(
        "three request ids",
        "request",
        docs=3,
        keys=6,
        sorts=True,
        ids=lambda all_: {"request_ids": tuple(f"request-{1 + i * all_.users}" for i in range(3))},
        user_ids=(USER,),
    ),
    _log(
        "three tracking ids",
        "tracking",
        docs=3,
        keys=6,
        ids=lambda all_: {"tracking_ids": tuple(all_.id(1 + i * all_.users) for i in range(3))},
    ),
    _log("a common tag", "tracking", docs=120, keys=MAX_EXAMINED + 120, tags=("even",)),
    _log("a rare tag", "tracking", docs=MAX_EXAMINED, keys=2 * MAX_EXAMINED, tags=("rare",)),
    _log("a rare tag of a user", "_id_", docs=MAX_EXAMINED, keys=2 * MAX_EXAMINED, user_ids=(USER,), tags=("rare",)),
    _log(
        "a channel of a notification",
        "log",
        docs=MAX_EXAMINED,
        keys=2 * MAX_EXAMINED,
        notification_ids=(_NOTIFICATION,),
        channels=(Channel.SMS,),
    ),
    _case(
        "log: one message",
        "log.get",
        lambda stores, all_: stores.log.get(CLIENT, all_.id(1), all_.time(0)),
        "tracking",
        docs=1,
    ),
    _case(
        "send: replay",
        "messages.find_request",
        lambda stores, _: stores.messages.find_request(CLIENT, USER, "request-1"),
        "request",
        docs=1,
    ),
    _case(
        "retract: a notification",
        "messages.retract",
        lambda stores, all_: _retract(stores, all_, "user-5", notification_id=_NOTIFICATION),
        "live",
        "_id_",
        docs=lambda all_: 2 * all_.per_user // 10 + 2,
        keys=lambda all_: 4 * all_.per_user // 10 + 4,
    ),
    _case(
        "retract: a group",
        "messages.retract",
        lambda stores, all_: _retract(stores, all_, "user-2", group_id="group"),
        "live",
        docs=_per_user,
    ),
    _case(
        "retract: a message",
        "messages.retract",
        lambda stores, all_: _retract(stores, all_, "user-6", tracking_ids=(all_.id(all_.newest(6)),)),
        "_id_",
        docs=2,
    ),
    _case(
        "retract: what browsers show",
        "messages.retract",
        lambda stores, all_: _retract(stores, all_, PUSHED_USER, notification_id=_NOTIFICATION),
        "live",
        "_id_",
        docs=lambda all_: 3 * all_.per_user // 10 + 3,
        keys=lambda all_: 6 * all_.per_user // 10 + 6,
    ),
    _case(
        "retract: with deliveries",
        "messages.retract",
        lambda stores, all_: _retract(stores, all_, "user-7", cancel=True, tracking_ids=(all_.id(all_.newest(7)),)),
        "_id_",
        docs=4,
    ),
    _case(
        "retract: a notification with deliveries",
        "messages.retract",
        lambda stores, all_: _retract(stores, all_, "user-9", cancel=True, notification_id=_NOTIFICATION),
        "live",
        "_id_",
        # Nothing but the user's own messages finds those whose items are gone.
        docs=lambda all_: all_.per_user * 13 // 10 + 2,
        keys=lambda all_: all_.per_user * 15 // 10 + 4,
    ),
    _case(
        "delete: one message",
        "messages.delete",
        lambda stores, all_: stores.messages.delete(CLIENT, all_.id(all_.newest(8)), all_.time(0)),
        "tracking",
        "_id_",
        docs=2,
    ),
    _case(
        "report: one message",
        "messages.report",
        lambda stores, all_: stores.messages.report(
            ReportLink(CLIENT, USER, all_.id(1), Channel.EMAIL), Report("id", DeliveryState.DELIVERED, ""), all_.time(0)
        ),
        "_id_",
        docs=1,
    ),
    _case(
        "files: which are needed",
        "messages.find_needing_files",
        lambda stores, all_: stores.messages.find_needing_files(
            [(CLIENT, USER, all_.id(1 + i * all_.users)) for i in range(10)]
        ),
        "_id_",
        docs=10,
        keys=20,
    ),
    _claim("claim", _nothing, docs=0),
    _claim("renew", lambda outbox, leased: outbox.renew(leased), docs=20),
    _claim("standing", lambda outbox, leased: outbox.standing(leased[0]), docs=1),
    _claim("record_interruption", _interrupt, docs=10),
    _claim("record", _record, docs=10),
    # Twice the one that browsers were pushed: it may have been taken back meanwhile.
    _claim("finish", _finish, docs=20),
    _case(
        "schedule: read",
        "schedules.get",
        lambda stores, _: stores.schedules.get(CLIENT, WAITING[0]),
        "tracking",
        docs=1,
    ),
    _case(
        "schedule: read by its worker",
        "schedules.leased",
        lambda stores, all_: stores.schedules.leased(CLIENT, USER, all_.id(all_.newest(1)), "token"),
        "_id_",
        docs=1,
    ),
    _case("schedule: change", "schedules.change", _change, "tracking", "_id_", docs=2),
    _case("schedule: fire", "schedules.fire", _fire, "tracking", "_id_", docs=2),
    _case(
        "schedule: cancel",
        "schedules.cancel",
        lambda stores, all_: stores.schedules.cancel(CLIENT, WAITING[3], all_.time(0)),
        "tracking",
        "_id_",
        docs=2,
    ),
    _case(
        "received: note one",
        "users.note_received",
        lambda stores, _: stores.users.note_received(CLIENT, RECEIVER, DEFINED[0]),
        "_id_",
        docs=1,
    ),
    _case(
        "received: a page of definitions",
        "notifications.page",
        lambda stores, _: stores.notifications.page(CLIENT, after=RECEIVED[1], limit=3, only={*RECEIVED, "gone"}),
        "_id_",
        docs=3,
        keys=6,
    ),
    _case(
        "expiry: a user's items",
        "expiry.sweep",
        lambda stores, _: stores.expiry.sweep(EARLY),
        "expiry",
        "_id_",
        docs=lambda all_: 2 * all_.per_user,
        # A few more for each slice.
        keys=lambda all_: 4 * all_.per_user + all_.per_user // 100,
    ),
]
