"""Whether pushes cost memory: `make soak`.

100,000 pushes in all, in turn through each push service's library to a server that speaks its protocol, all in one
process; the resident memory is read after a warm-up and again and again until the end. The servers are in it too, and
keep nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from services.delivery.channels.fcm import Fcm
from services.delivery.model import Outgoing
from services.delivery.settings import FcmSettings
from services.environments.model import Environment
from services.kernel.clock import utc_now
from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome
from services.notifications.model import Content
from services.users.model import PushToken
from tests.providers.authority import Authority
from tests.providers.fcm import FcmServer
from tests.providers.retained import resident_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from services.delivery.model import Provider, Target

PUSHES = 100_000
WARM_UP = 10_000
"""Of each service: pools have filled by then, and clients were replaced."""

TURN = 1_000
MAX_GROWTH = 0.05
"""How much of the memory after the warm-up may come on top until the end."""

console = Console(highlight=False)


@dataclass(frozen=True)
class Soaked:
    """A push service that is soaked: its server and its provider, and where pushes go.

    Args:
        name: The provider's name.
        target: Gives the target of the n-th push.
        open: Runs the server and gives the provider that calls it, with what says how many pushes have arrived.
    """

    name: str
    channel: Channel
    target: Callable[[int], Target]
    open: Callable[[Path, Authority], AbstractAsyncContextManager[tuple[Provider, Callable[[], int]]]]


@asynccontextmanager
async def _fcm(directory: Path, authority: Authority) -> AsyncIterator[tuple[Provider, Callable[[], int]]]:
    server = FcmServer(keeps=False)
    async with server.serve(authority):
        settings = FcmSettings(credentials_file=server.write_key(directory), connect_to=server.address)
        async with Fcm(settings, now=utc_now) as provider:
            yield provider, lambda: server.push_count


FCM = Soaked("fcm", Channel.PUSH, lambda number: PushToken("FCM", f"device:{number}", {}), _fcm)

SOAKED = (FCM,)


@asynccontextmanager
async def opened(soaked: Soaked) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Gives what sends so many pushes through a service's library, as many at once as a worker would."""
    with tempfile.TemporaryDirectory() as name:
        authority = Authority(Path(name))
        # What HTTP clients trust whose library has no setting for it.
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(authority.ca_file)
        try:
            async with soaked.open(Path(name), authority) as (provider, count_arrived):
                sent = 0

                async def run(pushes: int) -> None:
                    nonlocal sent
                    numbers = iter(range(sent, sent + pushes))
                    async with asyncio.TaskGroup() as tasks:
                        for _ in range(provider.max_in_flight):
                            tasks.create_task(_push(provider, soaked, numbers))
                    sent += pushes
                    assert count_arrived() == sent, f"{count_arrived():,} of {sent:,} pushes have arrived"

                yield run
        finally:
            del os.environ["SSL_CERT_FILE"]
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before


async def _push(provider: Provider, soaked: Soaked, numbers: object) -> None:
    for number in numbers:  # type: ignore[attr-defined] # shared by all who push
        answer = await provider.deliver(_outgoing(soaked, number))
        assert answer.outcome is AttemptOutcome.ACCEPTED, answer


def _outgoing(soaked: Soaked, number: int) -> Outgoing:
    return Outgoing(
        environment=Environment("soak", ()),
        user_id="u",
        tracking_id=f"tracking-{number}",
        notification_id="soak",
        content=Content(soaked.channel, {"title": f"Order {number}", "body": "It is on its way."}),
        target=soaked.target(number),
        expire_time=utc_now() + timedelta(days=90),
    )


async def soak(pushes: int) -> bool:
    """Sends so many pushes in all, prints the figures, and tells whether memory stayed as it was."""
    begun = time.monotonic()
    async with AsyncExitStack() as entered:
        runs = [await entered.enter_async_context(opened(one)) for one in SOAKED]
        with Progress(console=console, disable=not console.is_terminal) as progress:
            warming = progress.add_task("warm-up", total=WARM_UP * len(runs))
            for run in runs:
                for _ in range(WARM_UP // TURN):
                    await run(TURN)
                    progress.advance(warming, TURN)
            readings = [resident_bytes()]
            turns = -(-pushes // (TURN * len(runs)))
            soaking = progress.add_task("pushes", total=turns * len(runs) * TURN)
            for turn in range(turns):
                for run in runs:
                    await run(TURN)
                    progress.advance(soaking, TURN)
                readings.append(resident_bytes())
                if not console.is_terminal and turn % 10 == 9:
                    console.print(f"{(turn + 1) * len(runs) * TURN:,} pushes: {readings[-1] / 1e6:.1f} MB")
    seconds = time.monotonic() - begun
    _show(readings, turns * len(runs) * TURN, seconds)
    return readings[-1] <= readings[0] * (1 + MAX_GROWTH)


def _show(readings: list[int], pushes: int, seconds: float) -> None:
    table = Table(title=f"{pushes:,} pushes through {', '.join(one.name for one in SOAKED)}, {seconds:,.0f} s")
    for column in ("after the warm-up", "a quarter", "half", "three quarters", "at the end", "most", "bytes a push"):
        table.add_column(column, justify="right")
    last = len(readings) - 1
    shown = [readings[last * quarter // 4] for quarter in range(5)] + [max(readings)]
    growth = (readings[-1] - readings[0]) / pushes
    table.add_row(*(f"{one / 1e6:.1f} MB" for one in shown), f"{growth:+.1f}")
    console.print(table)


def main() -> None:
    """Runs it, and ends with 1 where memory has grown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pushes", type=int, default=PUSHES)
    if not uvloop.run(soak(parser.parse_args().pushes)):
        sys.exit(f"memory has grown by more than {MAX_GROWTH:.0%} after the warm-up")


if __name__ == "__main__":
    main()
