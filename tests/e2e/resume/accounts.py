"""What happened in a run, counted, and whether each welcome was as it has to be. Pure."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.inbox.model import MAX_CHANGES, OVERLAP
from services.kernel.cursors import CursorSigner
from tests.contract.services.world import MASTER_KEY
from tests.e2e.resume.model import BrokenPromiseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.e2e.resume.model import Frame

SIGNER = CursorSigner(MASTER_KEY)
_OVERLAP_S = int(OVERLAP.total_seconds())
# The cluster's clock shows whole seconds, and a change is noted a moment after it was stamped.
_SLACK_S = 3


@dataclass
class Doing:
    """Something that is done to a user's items, and how many it may change, or has changed."""

    count: int
    ended: float | None = None


@dataclass
class Accounts:
    """The figures of a run; of all its environments."""

    events: Counter[str] = field(default_factory=Counter)
    """Changes of items, by what made them."""

    happened: Counter[str] = field(default_factory=Counter)
    """Kills, cuts, quiet points and so on."""

    snapshots: Counter[str] = field(default_factory=Counter)
    """Welcomes that began anew, by their cause."""

    full: int = 0
    news: int = 0
    overlap: int = 0
    """How many items of `full` welcomes were no later than the cursor."""

    oldest_overlap_s: int = 0
    rung: int = 0
    """How many items clients have shown as new."""

    def lines(self) -> Iterator[str]:
        """Gives the figures for people."""
        yield _line("events", {"all": self.events.total(), **self.events})
        yield _line("welcomes", {"full": self.full, **{f"snapshot {k}": v for k, v in self.snapshots.items()}})
        yield _line(
            "items of full",
            {"news": self.news, "overlap": self.overlap, "oldest overlap in s": self.oldest_overlap_s},
        )
        yield _line("happened", {**self.happened, "shown as new": self.rung})


class Ledger:
    """What is known of one user: enough to say how a welcome must be.

    Args:
        accounts: Where it is counted.
        client_id: The environment.
        user_id: The user.
    """

    def __init__(self, accounts: Accounts, client_id: str, user_id: str) -> None:
        self.deletions = 0
        """How often the user was deleted."""

        self._accounts = accounts
        self._place = {"client_id": client_id, "user_id": user_id}
        self._doings: list[Doing] = []

    def begin(self, most: int) -> Doing:
        """Notes that something begins that may change so many items."""
        doing = Doing(most)
        self._doings.append(doing)
        return doing

    def end(self, doing: Doing, kind: str, count: int) -> None:
        """Notes how many it has changed."""
        doing.count, doing.ended = count, time.time()
        self._accounts.events[kind] += count

    def happened(self, what: str) -> None:
        """Counts what is no change of an item."""
        self._accounts.happened[what] += 1

    def position(self, cursor: str) -> int:
        """Gives the place of a cursor on the cluster's clock; raises BrokenPromiseError where it is none."""
        if (read := SIGNER.verify(cursor, **self._place)) is None:
            raise BrokenPromiseError(f"no cursor of {self._place}: {cursor!r}")
        return read.position

    def judge(self, welcome: Frame, cursor: str, *, deletions: int) -> None:
        """Counts a welcome, and raises BrokenPromiseError where nothing explains it; no deletion may be under way.

        Args:
            welcome: What the client was told.
            cursor: What it had asked by.
            deletions: How often the user had been deleted at the welcome of the session that it got the cursor in.
        """
        position = self.position(cursor) if cursor else 0
        is_same_user = deletions == self.deletions
        cause = welcome.get("cause", "")
        if welcome["resume"] == "full" and not cause:
            self._judge_full(welcome["items"], position)
            is_explained = bool(cursor) and is_same_user
        else:
            self._accounts.snapshots[cause] += 1
            match cause:
                case "NO_CURSOR":
                    is_explained = not cursor
                case "OTHER_USER":
                    is_explained = bool(cursor) and not is_same_user
                case "TOO_MANY_CHANGES":
                    is_explained = bool(cursor) and is_same_user and self._changes_from(position) > MAX_CHANGES
                case _:
                    is_explained = False
        if not is_explained:
            raise BrokenPromiseError(
                f"{welcome['resume']} {cause} is not explained: {cursor=}, {deletions} deletions then,"
                f" {self.deletions} now, {self._changes_from(position)} changes"
            )

    def _judge_full(self, items: Sequence[Mapping[str, str]], position: int) -> None:
        self._accounts.full += 1
        for item in items:
            rev = int(item["rev"], 16)
            if rev < position - (_OVERLAP_S << 32):
                raise BrokenPromiseError(f"full brings what is older than the overlap: {item}, cursor {position:016x}")
            if rev > position:
                self._accounts.news += 1
            else:
                self._accounts.overlap += 1
                age_s = (position >> 32) - (rev >> 32)
                self._accounts.oldest_overlap_s = max(self._accounts.oldest_overlap_s, age_s)

    def _changes_from(self, position: int) -> int:
        """Gives how many changes the overlap before a cursor can hold, and what followed, at most."""
        begin = (position >> 32) - _OVERLAP_S - _SLACK_S
        return sum(doing.count for doing in self._doings if doing.ended is None or doing.ended >= begin)


def _line(name: str, counts: Mapping[str, int]) -> str:
    return f"{name + ':':15}" + ", ".join(f"{count:,} {what}" for what, count in counts.items())
