"""The worker, put together: the one module that knows all providers."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from services.app import Stores, prepare
from services.delivery.attachments import Attachments
from services.delivery.carrier import Carrier
from services.delivery.channels.apns import Apns
from services.delivery.channels.fcm import Fcm
from services.delivery.channels.smtp import Smtp
from services.delivery.channels.twilio import Twilio
from services.delivery.channels.web_push import WebPush
from services.delivery.fetching import Fetcher
from services.delivery.links import Links
from services.delivery.outbox import Outbox
from services.delivery.providers import Providers
from services.delivery.worker import Worker
from services.kernel import clock
from services.kernel.links import LinkTokens
from services.kernel.metrics import serve_metrics
from services.kernel.mongo import open_client
from services.sender.firing import Firing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.abc import AbstractResolver

    from services.app import Storage
    from services.delivery.model import Provider
    from services.kernel.clock import Clock
    from services.settings import WorkerSettings


@asynccontextmanager
async def open_providers(
    settings: WorkerSettings, *, master_key: bytes, fallback: Provider | None = None
) -> AsyncIterator[Providers]:
    """Gives the providers that are configured, on connections that end with the block.

    Args:
        settings: The worker's settings.
        master_key: What the tokens in the addresses of mails and callbacks are sealed under.
        fallback: Carries what no provider does.
    """
    links = Links(settings.public_url, LinkTokens(master_key))
    async with AsyncExitStack() as entered:
        smtp = settings.smtp and Smtp(settings.smtp, now=clock.utc_now, unsubscribe_url=links.unsubscribe_url)
        fcm = settings.fcm and Fcm(settings.fcm, now=clock.utc_now)
        web_push = WebPush(clock=clock.utc_now, private_networks=settings.private_networks)
        twilio = Twilio(settings.twilio, report_url=links.report_url) if settings.twilio else None
        if twilio:
            await entered.enter_async_context(twilio)
        yield Providers(
            email=await entered.enter_async_context(smtp) if smtp else None,
            sms=twilio,
            call=twilio,
            apns=await entered.enter_async_context(Apns(settings.apns)) if settings.apns else None,
            fcm=await entered.enter_async_context(fcm) if fcm else None,
            web_push=await entered.enter_async_context(web_push),
            fallback=fallback,
        )


async def run_worker(
    settings: WorkerSettings,
    storage: Storage,
    stop: asyncio.Event,
    *,
    providers: Providers,
    on_ready: Callable[[], None] = lambda: None,
    now: Clock | None = None,
    resolver: AbstractResolver | None = None,
) -> None:
    """Delivers what is due until ``stop`` is set, then lets calls end that are under way.

    Args:
        settings: The worker's settings.
        storage: Where everything is kept. It may be absent at any time: nothing is claimed then.
        stop: Ends it.
        providers: Who carries what.
        on_ready: Called once MongoDB has answered and the worker looks for what is due.
        now: The clock of everything. Absent: the primary's for what is due, this machine's for attempts.
        resolver: What resolves the hosts of attachments. Absent: the system.
    """
    async with open_client(storage.mongodb_uri, app_name="carillon worker") as client:
        stores = Stores(client, storage.secret_box)
        outbox = Outbox(
            stores.database,
            owner=f"{socket.gethostname()}/{os.getpid()}",
            new_id=clock.new_id,
            now=now,
        )
        firing = Firing(
            schedules=stores.schedules,
            recipients=stores.recipients,
            catalogue=stores.catalogue,
            users=stores.users,
            clock=now or clock.utc_now,
        )
        fetcher = Fetcher(private_networks=settings.private_networks, resolver=resolver)
        attachments = Attachments(stores.files, stores.messages, fetcher, clock=now or clock.utc_now)
        carrier = Carrier(
            outbox=outbox,
            users=stores.users,
            providers=providers,
            attachments=attachments,
            clock=now or clock.utc_now,
        )
        worker = Worker(
            outbox=outbox, users=stores.users, catalogue=stores.catalogue, carrier=carrier, fire=firing.fire
        )
        metrics = serve_metrics(settings.host, settings.metrics_port)
        async with stores, outbox, fetcher, metrics, asyncio.TaskGroup() as tasks:
            polling = tasks.create_task(stores.catalogue.run(), name="catalogue")
            preparing = tasks.create_task(prepare(client, stores), name="storage")
            stopped = tasks.create_task(stop.wait(), name="stop")
            await asyncio.wait((preparing, stopped), return_when=asyncio.FIRST_COMPLETED)
            if preparing.done():
                on_ready()
                sweeping = tasks.create_task(attachments.run(), name="attachments")
                await worker.run(stop)
                sweeping.cancel()
            for task in (polling, preparing, stopped):
                task.cancel()
