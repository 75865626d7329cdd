"""One run: sends, two workers of which one is killed every few seconds, and the account of what became of it all."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from carillon.v1 import channel_pb2, delivery_pb2, messages_pb2, notifications_pb2, sender_pb2
from services.kernel.mongod import LocalMongod
from tests.e2e.deliveries.carriers import CHANNELS, NOTIFICATION, definition, run_carriers
from tests.e2e.processes import call, start
from tests.e2e.stack import MASTER_KEY, Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.contract.services.world import Caller
    from tests.e2e.deliveries.carriers import Carriers
    from tests.e2e.processes import Child

WORKERS = 2
USERS = 100
_KILL_EVERY_S = (2.0, 5.0)
_IN_FLIGHT = 16
_LOOK_EVERY_S = 1.0
_PAGE = 500
_OPEN = (delivery_pb2.DELIVERY_STATE_PENDING, delivery_pb2.DELIVERY_STATE_SCHEDULED)
_SENT = delivery_pb2.DELIVERY_STATE_SENT
_UNKNOWN = delivery_pb2.ATTEMPT_OUTCOME_UNKNOWN


@dataclass
class Account:
    """What was counted."""

    messages: int = 0
    kills: int = 0
    lasted_s: float = 0.0
    states: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    """What the providers have taken, by channel."""

    duplicates: Counter[str] = field(default_factory=Counter)
    unanswered_mails: int = 0
    refused_mails: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Gives it for people."""

        def said(counter: Counter[str]) -> str:
            return ", ".join(f"{name} {count:,}" for name, count in sorted(counter.items())) or "none"

        return [
            f"messages:      {self.messages:,} over {len(CHANNELS)} channels",
            f"kills:         {self.kills}",
            f"mails:         {self.refused_mails:,} refused for now, {self.unanswered_mails:,} taken without an answer",
            f"states:        {said(self.states)}",
            f"attempts:      {said(self.outcomes)}",
            f"taken:         {said(self.calls)}",
            f"duplicates:    {said(self.duplicates)}",
            f"problems:      {len(self.problems)}",
            *self.problems[:20],
            f"lasted:        {self.lasted_s:,.0f} s",
        ]


async def deliver_and_kill(
    directory: Path, *, count: int, seed: int, report: Callable[[str], object] = lambda _: None
) -> Account:
    """Sends so many messages, kills workers until all are delivered, and gives the account."""
    chance = random.Random(seed)
    account = Account(messages=count)
    begun = asyncio.get_running_loop().time()
    async with AsyncExitStack() as entered:
        mongod = await entered.enter_async_context(LocalMongod(directory / "mongod"))
        carriers = await entered.enter_async_context(run_carriers(directory, chance))
        stack = Stack(mongodb_uri=mongod.uri.replace("/?", "/carillon?"))
        created = await stack.create_environment()
        assert created.code == 0, created.stderr
        vapid = await call(
            "env", "vapid", stack.client_id, "--subject", "mailto:ops@example.com",
            mongodb_uri=stack.mongodb_uri, master_key=MASTER_KEY,
        )  # fmt: skip
        assert vapid.code == 0, vapid.stderr
        await entered.enter_async_context(stack.services(log_level="error"))
        backend = await entered.enter_async_context(stack.backend())
        await backend.notifications.PutNotification(notifications_pb2.PutNotificationRequest(notification=definition()))
        async with asyncio.TaskGroup() as tasks:
            done = asyncio.Event()
            killing = tasks.create_task(_kill(stack, carriers, chance, account, done))
            await _send(backend, carriers, count)
            while left := await _count_open(backend):
                report(f"{count - left:,} of {count:,} done, {account.kills} kills")
                await asyncio.sleep(_LOOK_EVERY_S)
            done.set()
            await killing
        await _check(backend, carriers, account)
    account.unanswered_mails, account.refused_mails = carriers.unanswered, carriers.refused
    account.lasted_s = asyncio.get_running_loop().time() - begun
    return account


async def _send(backend: Caller, carriers: Carriers, count: int) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            request = sender_pb2.SendRequest(notification_id=NOTIFICATION, user=carriers.user(number % USERS))
            request.group_id = str(number)
            request.merge_tags.update({"number": number})
            await backend.sender.Send(request)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_IN_FLIGHT):
            tasks.create_task(work())


async def _kill(stack: Stack, carriers: Carriers, chance: random.Random, account: Account, done: asyncio.Event) -> None:
    """Runs the workers until all is done, and kills one of them every few seconds; another takes its place at once."""
    async with AsyncExitStack() as entered:

        async def run() -> Child:
            worker = start(
                "worker",
                environment=carriers.environment,
                mongodb_uri=stack.mongodb_uri,
                master_key=MASTER_KEY,
                log_level="error",
                **carriers.settings,
            )
            return await entered.enter_async_context(worker)

        workers = [await run() for _ in range(WORKERS)]
        for worker in workers:
            await worker.says("worker looks for what is due")
        while not done.is_set():
            try:
                async with asyncio.timeout(chance.uniform(*_KILL_EVERY_S)):
                    await done.wait()
            except TimeoutError:
                place = chance.randrange(WORKERS)
                await workers[place].kill()
                account.kills += 1
                workers[place] = await run()


async def _logged(backend: Caller, *states: int, view: int = 0) -> AsyncIterator[messages_pb2.Message]:
    """Gives the messages of the log, or those that have a delivery in one of the states."""
    request = messages_pb2.ListMessagesRequest(page_size=_PAGE, view=view)  # type: ignore[arg-type] # an enum's number
    request.filter.states.extend(states)  # type: ignore[arg-type] # likewise
    while True:
        answer = await backend.messages.ListMessages(request)
        for message in answer.messages:
            yield message
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


async def _count_open(backend: Caller) -> int:
    return len([message async for message in _logged(backend, *_OPEN)])


async def _check(backend: Caller, carriers: Carriers, account: Account) -> None:
    """Compares the log with what the providers have taken."""
    taken = carriers.taken()
    seen = 0
    async for message in _logged(backend):
        seen += 1
        number = int(message.group_id)
        for delivery in message.deliveries:
            channel = channel_pb2.Channel.Name(delivery.channel).removeprefix("CHANNEL_")
            account.states[delivery_pb2.DeliveryState.Name(delivery.state).removeprefix("DELIVERY_STATE_")] += 1
            for attempt in delivery.attempts:
                name = delivery_pb2.AttemptOutcome.Name(attempt.outcome)
                account.outcomes[name.removeprefix("ATTEMPT_OUTCOME_")] += 1
            times = taken[delivery.channel][number]
            account.calls[channel] += times
            account.duplicates[channel] += max(times - 1, 0)
            unknown = sum(attempt.outcome == _UNKNOWN for attempt in delivery.attempts)
            if delivery.state != _SENT:
                account.problems.append(f"{number} {channel} is in state {delivery.state}: {delivery.detail}")
            if times == 0:
                account.problems.append(f"{number} {channel} never arrived")
            if times - 1 > unknown:
                account.problems.append(f"{number} {channel} arrived {times} times, with {unknown} unknown attempts")
    if seen != account.messages:
        account.problems.append(f"the log has {seen} messages of {account.messages}")
