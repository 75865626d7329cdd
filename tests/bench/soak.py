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
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from services.delivery.channels.apns import Apns
from services.delivery.channels.fcm import Fcm
from services.delivery.channels.web_push import WebPush
from services.delivery.model import Outgoing
from services.delivery.settings import FcmSettings
from services.environments.model import Environment
from services.environments.vapid import new_vapid_keys
from services.kernel.clock import utc_now
from services.kernel.vocabulary import Channel
from services.messages.model import AttemptOutcome
from services.notifications.model import Content
from services.users.model import PushToken, WebPushSubscription
from tests.providers import apns as apns_server
from tests.providers.authority import Authority
from tests.providers.fcm import FcmServer
from tests.providers.retained import resident_bytes
from tests.providers.web_push import serve_push_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from services.delivery.model import Provider, Target

PUSHES = 100_000
WARM_UP = 10_000
"""Of each service: pools have filled by then, and clients were replaced."""

TURN = 1_000
MAX_GROWTH = 0.05
"""How much of the memory after the warm-up may come on top until the end."""

_ENVIRONMENT = Environment("soak", (), vapid=new_vapid_keys("mailto:ops@example.com"))

console = Console(highlight=False)


@dataclass(frozen=True)
class Opened:
    """A push service that runs, and the provider that calls it."""

    provider: Provider
    target: Callable[[int], Target]
    """Gives the target of the n-th push."""

    count_arrived: Callable[[], int]


@dataclass(frozen=True)
class Soaked:
    """A push service that is soaked.

    Args:
        name: The provider's name.
        channel: What it carries.
        open: Runs its server and the provider.
    """

    name: str
    channel: Channel
    open: Callable[[Path, Authority], AbstractAsyncContextManager[Opened]]


@asynccontextmanager
async def _apns(directory: Path, _: Authority) -> AsyncIterator[Opened]:
    arrived = 0

    def count(_: apns_server.Push) -> apns_server.Reply:
        nonlocal arrived
        arrived += 1
        return apns_server.ACCEPTED

    server = apns_server.Apns(directory, answer=count)
    server.keeps_pushes = False
    async with server.serve(), Apns(server.settings()) as provider:
        yield Opened(provider, lambda number: PushToken("APN", f"{number + 1:064x}", {}), lambda: arrived)


@asynccontextmanager
async def _fcm(directory: Path, authority: Authority) -> AsyncIterator[Opened]:
    server = FcmServer(keeps=False)
    async with server.serve(authority):
        settings = FcmSettings(credentials_file=server.write_key(directory), connect_to=server.address)
        async with Fcm(settings, now=utc_now) as provider:
            yield Opened(provider, lambda number: PushToken("FCM", f"device:{number}", {}), lambda: server.push_count)


@asynccontextmanager
async def _web_push(_: Path, authority: Authority) -> AsyncIterator[Opened]:
    arrived = 0

    def count() -> int:
        nonlocal arrived
        for service in services:
            arrived += len(service.pushes)
            service.pushes.clear()
            assert service.refused == []
        return arrived

    context = authority.server_context("localhost", alpn="http/1.1")
    async with (
        serve_push_service(context) as one,
        serve_push_service(context) as other,
        WebPush(clock=utc_now, private_networks=True) as provider,
    ):
        services = (one, other)
        browsers = [service.browser(f"{number}") for number in range(50) for service in services]
        targets = [
            WebPushSubscription(browser.endpoint, browser.keys["p256dh"], browser.keys["auth"]) for browser in browsers
        ]
        yield Opened(provider, lambda number: targets[number % len(targets)], count)


APNS = Soaked("apns", Channel.PUSH, _apns)
FCM = Soaked("fcm", Channel.PUSH, _fcm)
WEB_PUSH = Soaked("web_push", Channel.WEB_PUSH, _web_push)

SOAKED = (APNS, FCM, WEB_PUSH)


@contextmanager
def trusted() -> Iterator[Authority]:
    """Gives an authority that the HTTP clients of this process trust whose libraries have no setting for it."""
    with tempfile.TemporaryDirectory() as name:
        authority = Authority(Path(name))
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(authority.ca_file)
        try:
            yield authority
        finally:
            del os.environ["SSL_CERT_FILE"]
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before


@asynccontextmanager
async def opened(soaked: Soaked, authority: Authority) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Gives what sends so many pushes through a service's library, as many at once as a worker would."""
    with tempfile.TemporaryDirectory() as name:
        async with soaked.open(Path(name), authority) as service:
            sent = 0

            async def run(pushes: int) -> None:
                nonlocal sent
                numbers = iter(range(sent, sent + pushes))
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(service.provider.max_in_flight):
                        tasks.create_task(_push(service, soaked.channel, numbers))
                sent += pushes
                arrived = service.count_arrived()
                assert arrived == sent, f"{arrived:,} of {sent:,} pushes have arrived"

            yield run


async def _push(service: Opened, channel: Channel, numbers: Iterator[int]) -> None:
    # The numbers are shared by all who push.
    for number in numbers:
        answer = await service.provider.deliver(_outgoing(channel, service.target(number), number))
        assert answer.outcome is AttemptOutcome.ACCEPTED, answer


def _outgoing(channel: Channel, target: Target, number: int) -> Outgoing:
    return Outgoing(
        environment=_ENVIRONMENT,
        user_id="u",
        tracking_id=f"tracking-{number}",
        notification_id="soak",
        content=Content(channel, {"title": f"Order {number}", "body": "It is on its way."}),
        target=target,
        expire_time=utc_now() + timedelta(days=90),
    )


async def soak(pushes: int) -> bool:
    """Sends so many pushes in all, prints the figures, and tells whether memory stayed as it was."""
    begun = time.monotonic()
    async with AsyncExitStack() as entered:
        authority = entered.enter_context(trusted())
        runs = [await entered.enter_async_context(opened(one, authority)) for one in SOAKED]
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
