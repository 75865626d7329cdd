"""Attachments of mails, from the send to the provider: stored, fetched, left out, and forgotten."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask

from carillon.v1 import messages_pb2, sender_pb2, users_pb2
from services.delivery.attachments import Attachments
from services.delivery.fetches import FETCHED_WITHIN
from services.delivery.fetching import Fetcher
from services.delivery.providers import Providers
from services.kernel.clock import new_id, utc_now
from services.kernel.mongo import open_client
from services.messages.files import CHECK_AFTER, FileStore
from services.settings import WorkerSettings
from services.users.erasures import AGAIN_AFTER
from tests.contract.delivery.world import (
    ACCEPTED,
    TEMPORARY,
    MovingClock,
    Post,
    delivery_of,
    everything,
    logged,
    outcomes_of,
    run_workers,
    state_of,
    until,
    until_final,
)
from tests.contract.services.refusals import refusal
from tests.contract.services.requests import EMAIL, SMS, send_request
from tests.failpoints import failing_commands
from tests.providers.files import FileHost, run_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from tests.contract.services.world import Tenant, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

INSIDE = WorkerSettings(private_networks=True)
USER = {"id": "u", "email": "a@example.com", "number": "+14155551212"}
# MaxTimeMSExpired: what the driver does not repeat by itself, so that the worker meets it.
TIME_IS_UP = 50
PDF = {"filename": "a.pdf", "content": b"%PDF-1.7"}


@pytest_asyncio.fixture(loop_scope="session")
async def host() -> AsyncIterator[FileHost]:
    """Gives a server with one file."""
    async with run_files() as running:
        running.files["/a.txt"] = b"the file"
        yield running


def mail(*attachments: dict[str, Any], **fields: Any) -> sender_pb2.SendRequest:
    """Makes a send of a mail with attachments."""
    options = {"email": {"attachments": attachments}}
    return send_request(**({"user": USER, "force_channels": [EMAIL], "options": options} | fields))


async def kept(world: World, tenant: Tenant) -> tuple[int, int]:
    """Counts the files of an environment that are stored, and their parts."""
    files, chunks = world.database["attachments.files"], world.database["attachments.chunks"]
    return (
        await files.count_documents({"_id.e": tenant.client_id}),
        await chunks.count_documents({"files_id.e": tenant.client_id}),
    )


async def entries(world: World, tenant: Tenant) -> int:
    """Counts the entries of an environment that the sweep goes by."""
    count: int = await world.database.attachments.count_documents({"_id.e": tenant.client_id})
    return count


async def sweep(world: World, after: timedelta = CHECK_AFTER) -> None:
    """Sweeps as a worker does some time later."""
    now = utc_now() + after + timedelta(seconds=1)
    await world.stores.files.sweep(now, world.stores.messages.find_needing_files)


async def until_forgotten(world: World, tenant: Tenant) -> None:
    """Waits until no file of an environment is stored any more."""
    async with asyncio.timeout(60):
        while True:
            if await kept(world, tenant) == (0, 0):
                return
            # The database is asked, which has no event to wait for.
            await asyncio.sleep(0.02)


async def test_bytes_and_urls_arrive(world: World, tenant: Tenant, mongodb_uri: str, host: FileHost) -> None:
    """What came with the send and what its URL leads to reach the provider in their order, and are forgotten then."""
    post = Post()
    async with run_workers(mongodb_uri, everything(post), settings=INSIDE):
        [sent] = await tenant.send(
            mail(
                PDF | {"content_type": "application/x-special"},
                {"filename": "b.txt", "url": host.url("/a.txt")},
                {"filename": "c.pdf", "content": b""},
                {"filename": "d", "content": b"\x00" * 300_000},
            )
        )
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)
        await until_forgotten(world, tenant)

    [call] = post.calls
    assert [(one.filename, one.content_type, one.content) for one in call.files] == [
        ("a.pdf", "application/x-special", b"%PDF-1.7"),
        ("b.txt", "text/plain", b"the file"),
        ("c.pdf", "application/pdf", b""),
        ("d", "application/octet-stream", b"\x00" * 300_000),
    ]
    assert (state_of(delivery), outcomes_of(delivery), delivery.detail) == ("SENT", ["ACCEPTED"], "")


async def test_bytes_are_stored_with_the_send(world: World, tenant: Tenant) -> None:
    """When Send answers the bytes are there, 4 MiB of them, and neither message nor log has them."""
    size = 4 * 1024 * 1024
    [sent] = await tenant.send(mail(PDF | {"content": b"x" * size}))

    assert (await kept(world, tenant))[0] == 1
    key = (tenant.client_id, "u", sent.tracking_id)
    assert await world.stores.files.load(key, 0) == b"x" * size
    document = await world.database.messages.find_one({"_id.m": sent.tracking_id})
    assert len(document["request"]) < 1000
    [attachment] = (await logged(tenant, sent.tracking_id)).request.options.email.attachments
    assert (attachment.filename, attachment.content) == ("a.pdf", b"")
    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=sent.tracking_id))


async def test_a_mail_that_is_skipped_has_no_files(world: World, tenant: Tenant, host: FileHost) -> None:
    """Where no mail is planned nothing is stored, and nothing waits to be fetched."""
    [sent] = await tenant.send(mail(PDF, {"filename": "b", "url": host.url("/a.txt")}, user={"id": "nobody"}))

    assert await kept(world, tenant) == (0, 0)
    assert await entries(world, tenant) == 0
    document = await world.database.messages.find_one({"_id.m": sent.tracking_id})
    assert "due_time" not in document


async def test_a_url_may_die_after_the_send(tenant: Tenant, mongodb_uri: str, host: FileHost) -> None:
    """The file is fetched once, before the first attempt; a retry sends it although its URL is dead by then."""
    answers = iter([TEMPORARY, TEMPORARY, ACCEPTED])

    def answer(_: Any) -> Any:
        host.files.clear()
        return next(answers)

    post = Post(answer=answer)
    async with run_workers(mongodb_uri, everything(post), settings=INSIDE):
        [sent] = await tenant.send(mail({"filename": "b.txt", "url": host.url("/a.txt")}))
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert outcomes_of(delivery) == ["TEMPORARY_FAILURE", "TEMPORARY_FAILURE", "ACCEPTED"]
    assert [[one.content for one in call.files] for call in post.calls] == [[b"the file"]] * 3
    assert host.paths == ["/a.txt"]


async def test_a_mail_waits_for_its_files_alone(tenant: Tenant, mongodb_uri: str, host: FileHost) -> None:
    """While a file is being fetched the other channels are carried; the mail follows with the file."""
    host.gate.clear()
    post = Post()
    async with run_workers(mongodb_uri, everything(post), settings=INSIDE):
        [sent] = await tenant.send(mail({"filename": "b.txt", "url": host.url("/a.txt")}, force_channels=[EMAIL, SMS]))
        await host.arrived.acquire()
        await post.called.acquire()
        assert [call.content.channel for call in post.calls] == ["SMS"]
        host.gate.set()
        await until_final(tenant, sent.tracking_id, EMAIL)

    assert [(call.content.channel.value, len(call.files)) for call in post.calls] == [("SMS", 0), ("EMAIL", 1)]


async def test_a_worker_that_stops_begins_no_fetch(
    world: World, tenant: Tenant, mongodb_uri: str, host: FileHost
) -> None:
    """Files that wait for their turn at SIGTERM are left to another worker, however many there are."""
    host.gate.clear()
    stop, clock = asyncio.Event(), MovingClock()
    post = Post()
    sent = await tenant.send(*(mail({"filename": "b.txt", "url": host.url("/a.txt")}) for _ in range(12)))
    async with asyncio.TaskGroup() as tasks:

        async def work() -> None:
            async with run_workers(mongodb_uri, everything(post), stop=stop, now=clock, settings=INSIDE):
                await stop.wait()

        tasks.create_task(work())
        for _ in range(8):
            await host.arrived.acquire()
        leased = {"lease": {"$exists": True}}
        while await world.database.messages.count_documents(leased) < len(sent):  # noqa: ASYNC110 # it has no event
            await asyncio.sleep(0.02)
        stop.set()
        host.gate.set()

    assert len(host.paths) == 8
    async with run_workers(mongodb_uri, everything(post), now=clock, settings=INSIDE):
        for one in sent:
            assert state_of(await until_final(tenant, one.tracking_id, EMAIL)) == "SENT"


async def test_a_file_that_cannot_be_stored_for_now(tenant: Tenant, mongodb_uri: str, host: FileHost) -> None:
    """It is fetched again, and the other channels' calls that are under way go on."""
    texts, mails = Post(name="texts"), Post(name="mails")
    texts.gate.clear()
    request = mail({"filename": "b.txt", "url": host.url("/a.txt")}, force_channels=[EMAIL, SMS])
    failing: dict[str, Any] = {"namespace": "carillon.attachments", "errorCode": TIME_IS_UP}
    async with (
        open_client(mongodb_uri, app_name="aside") as aside,
        run_workers(mongodb_uri, Providers(email=mails, sms=texts), settings=INSIDE),
        failing_commands(aside, "carillon worker", "update", times=1, **failing),
    ):
        [sent] = await tenant.send(request)
        await texts.called.acquire()
        await host.arrived.acquire()
        texts.gate.set()
        delivered = [await until_final(tenant, sent.tracking_id, channel) for channel in (EMAIL, SMS)]

    assert [(state_of(one), outcomes_of(one)) for one in delivered] == [("SENT", ["ACCEPTED"])] * 2
    assert (host.paths, len(texts.calls)) == (["/a.txt"] * 2, 1)


async def test_a_fetch_that_fails_for_now_is_tried_again(tenant: Tenant, mongodb_uri: str, host: FileHost) -> None:
    """After a 503 and a 500 the file is there, and the log has both; the text was sent meanwhile, once."""
    host.statuses["/a.txt"] = [503, 500]
    post = Post()
    async with run_workers(mongodb_uri, everything(post), settings=INSIDE):
        [sent] = await tenant.send(
            mail({"filename": "b.txt", "url": host.url("/a.txt?token=secret")}, force_channels=[EMAIL, SMS])
        )
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)
        texted = await until_final(tenant, sent.tracking_id, SMS)

    assert [(one.provider, one.detail) for one in delivery.attempts] == [
        ("attachment", "b.txt: 503"),
        ("attachment", "b.txt: 500"),
        ("post", ""),
    ]
    assert outcomes_of(delivery) == ["TEMPORARY_FAILURE", "TEMPORARY_FAILURE", "ACCEPTED"]
    assert (outcomes_of(texted), delivery.detail) == (["ACCEPTED"], "")
    assert [len(call.files) for call in post.calls if call.content.channel == "EMAIL"] == [1]


async def test_a_file_that_is_not_there_is_left_out(tenant: Tenant, mongodb_uri: str, host: FileHost) -> None:
    """A 404 is not tried again: the mail goes with the other files, and the log says without which and why."""
    post = Post()
    async with run_workers(mongodb_uri, everything(post), settings=INSIDE):
        [sent] = await tenant.send(
            mail(
                PDF,
                {"filename": "b.txt", "url": host.url("/none?token=secret")},
                {"filename": "c", "url": host.url("/a.txt")},
            )
        )
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert [one.filename for one in post.calls[0].files] == ["a.pdf", "c"]
    assert (state_of(delivery), delivery.detail) == ("SENT", "sent without b.txt: 404")
    assert outcomes_of(delivery) == ["PERMANENT_FAILURE", "ACCEPTED"]
    assert host.paths.count("/none") == 1
    assert "secret" not in str(await logged(tenant, sent.tracking_id)).replace("token=secret", "", 1)


async def test_files_are_fetched_whatever_the_mail_waits_for(
    world: World, tenant: Tenant, mongodb_uri: str, host: FileHost
) -> None:
    """A file of a mail that is not to go yet is fetched at once, and again where that fails; the mail goes in time."""
    host.statuses["/a.txt"] = [503]
    at = utc_now() + timedelta(hours=1)
    [sent] = await tenant.send(mail({"filename": "b.txt", "url": host.url("/a.txt")}, PDF, schedule_time=at))
    message = {"_id.m": sent.tracking_id}

    post = Post()
    async with run_workers(mongodb_uri, everything(post), settings=INSIDE):
        key = (tenant.client_id, "u", sent.tracking_id)
        async with asyncio.timeout(60):
            while True:
                # Stored first, and written when the round is over.
                is_stored = await world.stores.files.load(key, 0) is not None
                if is_stored and (await world.database.messages.find_one(message))["due_time"] == at:
                    break
                await asyncio.sleep(0.02)

    assert (host.paths, post.calls) == (["/a.txt"] * 2, [])
    assert state_of(delivery_of(await logged(tenant, sent.tracking_id), EMAIL)) == "SCHEDULED"
    later = at + timedelta(minutes=1)
    change = sender_pb2.SendRequest(schedule_time=later, options={"apn": {"sound": "x"}})  # type: ignore[arg-type] # a dict will do
    mask = FieldMask(paths=["schedule_time", "options.apn"])
    request = sender_pb2.UpdateScheduleRequest(tracking_id=sent.tracking_id, request=change, update_mask=mask)
    await tenant.backend.sender.UpdateSchedule(request)
    await sweep(world)
    async with run_workers(mongodb_uri, everything(post), settings=INSIDE, now=lambda: later):
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert outcomes_of(delivery) == ["TEMPORARY_FAILURE", "ACCEPTED"]
    assert [one.content for one in post.calls[0].files] == [b"the file", PDF["content"]]


async def test_files_of_what_waits_are_not_exchanged(tenant: Tenant) -> None:
    """A change may take attachments away, and nothing else yet."""
    [sent] = await tenant.send(mail(PDF, schedule_time=utc_now() + timedelta(hours=1)))

    async def update(**options: Any) -> None:
        request = sender_pb2.UpdateScheduleRequest(
            tracking_id=sent.tracking_id,
            request=mail(PDF | {"filename": "b.pdf"}) if not options else sender_pb2.SendRequest(options=options),  # type: ignore[arg-type] # a dict will do
            update_mask=FieldMask(paths=["options"]),
        )
        await tenant.backend.sender.UpdateSchedule(request)

    refused = await refusal(update())
    assert refused.violations == (("request.options.email.attachments", "NOT_SUPPORTED_YET"),)
    await update(email={"from_name": "Bob"})
    assert not (await logged(tenant, sent.tracking_id)).request.options.email.attachments


async def test_after_five_minutes_the_mail_goes_without(tenant: Tenant, mongodb_uri: str, host: FileHost) -> None:
    """What fails until five minutes after the send is left out then, and the mail goes."""
    host.statuses["/a.txt"] = [503] * 1000
    clock, post = MovingClock(), Post()
    async with run_workers(mongodb_uri, everything(post), settings=INSIDE, now=clock):
        [sent] = await tenant.send(mail({"filename": "b.txt", "url": host.url("/a.txt")}))
        await until(tenant, sent.tracking_id, EMAIL, lambda one: len(one.attempts) > 1)
        assert post.calls == []
        clock.move(FETCHED_WITHIN)
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (state_of(delivery), delivery.detail) == ("SENT", "sent without b.txt: 503")
    assert post.calls[0].files == ()


async def test_a_worker_that_is_late_still_tries_once(tenant: Tenant, mongodb_uri: str, host: FileHost) -> None:
    """A file that nobody has tried yet is fetched after five minutes, too: no worker was there before."""
    clock, post = MovingClock(), Post()
    [sent] = await tenant.send(mail({"filename": "b.txt", "url": host.url("/a.txt")}))
    clock.move(FETCHED_WITHIN * 2)
    async with run_workers(mongodb_uri, everything(post), settings=INSIDE, now=clock):
        await until_final(tenant, sent.tracking_id, EMAIL)

    assert [one.content for one in post.calls[0].files] == [b"the file"]


async def test_all_files_together_have_ten_megabytes(tenant: Tenant, mongodb_uri: str, host: FileHost) -> None:
    """What is fetched may have what the others leave of 10 MB; what is too large is left out, the next one is not."""
    host.files |= {"/6": b"x" * 6_000_000, "/2": b"x" * 2_000_000}
    post = Post()
    async with run_workers(mongodb_uri, everything(post), settings=INSIDE):
        [sent] = await tenant.send(
            mail(
                {"filename": "content", "content": b"x" * 2_000_001},
                {"filename": "first", "url": host.url("/6")},
                {"filename": "second", "url": host.url("/2")},
                {"filename": "third", "url": host.url("/a.txt")},
            )
        )
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert [one.filename for one in post.calls[0].files] == ["content", "first", "third"]
    assert delivery.detail == "sent without second: more than the 1999999 bytes that are left of 10 MB"


async def test_private_addresses_are_left_out(tenant: Tenant, mongodb_uri: str, host: FileHost) -> None:
    """A worker as it is by default fetches nothing from private networks."""
    post = Post()
    async with run_workers(mongodb_uri, everything(post)):
        [sent] = await tenant.send(mail({"filename": "b.txt", "url": host.url("/a.txt")}))
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (post.calls[0].files, host.asked) == ((), [])
    assert delivery.detail == "sent without b.txt: the host has no public address"


async def test_a_failed_fetch_does_not_count_for_the_mail(tenant: Tenant, mongodb_uri: str, host: FileHost) -> None:
    """A mail that no provider was asked about is skipped, not failed, although a file was not found."""
    async with run_workers(mongodb_uri, Providers(), settings=INSIDE):
        [sent] = await tenant.send(mail({"filename": "b.txt", "url": host.url("/none")}))
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert state_of(delivery) == "SKIPPED"


async def test_a_replay_stores_nothing_more(world: World, tenant: Tenant) -> None:
    """A repetition with the same bytes is the same send, with others another one; neither leaves files behind."""
    [first] = await tenant.send(mail(PDF, request_id="r-1"))
    [again] = await tenant.send(mail(PDF, request_id="r-1"))
    other = await refusal(tenant.backend.sender.Send(mail(PDF | {"content": b"other"}, request_id="r-1")))

    assert (again.tracking_id, again.replayed) == (first.tracking_id, True)
    assert (other.code, other.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert (await kept(world, tenant))[0] == 1
    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=first.tracking_id))


async def test_files_without_a_message_are_swept(world: World, tenant: Tenant) -> None:
    """Files of a process that ended before it stored the message go after an hour, and halves of files with them."""
    key = (tenant.client_id, "u", new_id())
    await world.stores.files.store(key, {0: b"x" * 300_000, 1: b"y"}, utc_now())
    half = {"e": key[0], "u": key[1], "m": key[2], "i": 2}
    await world.database["attachments.chunks"].insert_one({"files_id": half, "n": 0, "data": b"z"})
    assert await kept(world, tenant) == (2, 4)

    await sweep(world, CHECK_AFTER / 2)
    assert await kept(world, tenant) == (2, 4)
    await sweep(world)

    assert await kept(world, tenant) == (0, 0)
    assert await entries(world, tenant) == 0


async def test_a_half_file_is_replaced(world: World, tenant: Tenant) -> None:
    """A file that a worker has stored in part before it ended is stored whole by the next one."""
    key = (tenant.client_id, "u", new_id())
    file_id = {"e": key[0], "u": key[1], "m": key[2], "i": 0}
    await world.database["attachments.chunks"].insert_one({"files_id": file_id, "n": 0, "data": b"half"})
    assert await world.stores.files.load(key, 0) is None

    for content in (b"whole", b"another"):
        await world.stores.files.store(key, {0: content}, utc_now())
        assert await world.stores.files.load(key, 0) == content


async def test_a_sweep_spares_what_is_needed(world: World, tenant: Tenant) -> None:
    """Files of a mail that is still to come stay, however old they are; those of one that was cancelled go."""
    [sent] = await tenant.send(mail(PDF))
    await sweep(world)
    await sweep(world, 3 * CHECK_AFTER)
    assert await kept(world, tenant) == (1, 1)

    request = sender_pb2.RetractRequest(user_id="u", tracking_ids=[sent.tracking_id], cancel_deliveries=True)
    await tenant.backend.sender.Retract(request)
    await sweep(world, 5 * CHECK_AFTER)

    assert await kept(world, tenant) == (0, 0)
    assert await entries(world, tenant) == 0


async def test_a_sweep_spares_what_it_cannot_read(world: World, tenant: Tenant) -> None:
    """Files of a message of a newer version stay, and the sweep goes on."""
    [sent] = await tenant.send(mail(PDF))
    await world.database.messages.update_one({"_id.m": sent.tracking_id}, {"$set": {"deliveries.0.state": "COLLECTED"}})

    await sweep(world)

    assert await kept(world, tenant) == (1, 1)


async def test_a_sweep_whose_cancellation_is_lost_ends_all_the_same(world: World) -> None:
    """A worker that stops in the middle of a sweep ends at once, also where the driver loses the cancellation."""
    begun = asyncio.Event()

    class Losing(FileStore):
        async def sweep(self, now: datetime, find_needed: Any) -> int:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return 0
            return 0

    files = Losing(world.stores.database)
    attachments = Attachments(files, world.stores.messages, Fetcher(private_networks=False), clock=utc_now)
    sweeping = asyncio.create_task(attachments.run())
    await begun.wait()
    sweeping.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(sweeping, return_exceptions=True)

    assert sweeping.cancelled()


async def test_a_sweep_spares_what_is_stored_meanwhile(world: World, tenant: Tenant) -> None:
    """An entry whose message gets a file while it is swept stays, so that the next sweep finds the file."""
    files, key = world.stores.files, (tenant.client_id, "u", new_id())
    await files.store(key, {0: b"x"}, utc_now())

    async def find_needed(_: Any) -> set[Any]:
        await files.store(key, {0: b"x"}, utc_now() + CHECK_AFTER)
        return set()

    await files.sweep(utc_now() + CHECK_AFTER * 1.5, find_needed)

    assert await entries(world, tenant) == 1


async def test_a_deleted_message_takes_its_files_along(world: World, tenant: Tenant) -> None:
    """The answer to DeleteMessage means that its files are gone, and no other message's."""
    first, _ = await tenant.send(mail(PDF), mail(PDF))

    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=first.tracking_id))

    assert await kept(world, tenant) == (1, 1)
    await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id="u"))


async def test_a_deleted_user_takes_their_files_along(world: World, tenant: Tenant) -> None:
    """With the answer to DeleteUser their files are gone; what came late goes a minute later, what is new stays."""
    await tenant.send(mail(PDF), mail(PDF), mail(PDF, user=USER | {"id": "other"}))
    before = utc_now()
    await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id="u"))
    assert await kept(world, tenant) == (1, 1)

    await world.stores.files.store((tenant.client_id, "u", new_id()), {0: b"late"}, before)
    await tenant.send(mail(PDF))
    assert await kept(world, tenant) == (3, 3)
    while await world.stores.erasures.erase_again(utc_now() + AGAIN_AFTER):
        pass

    assert await kept(world, tenant) == (2, 2)
    assert await entries(world, tenant) == 2
    for user_id in ("u", "other"):
        await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id=user_id))


async def test_a_message_that_is_deleted_gets_no_file(
    world: World, tenant: Tenant, mongodb_uri: str, host: FileHost
) -> None:
    """A file that arrives after its user was deleted is not stored."""
    host.gate.clear()
    post = Post()
    async with run_workers(mongodb_uri, everything(post), settings=INSIDE):
        await tenant.send(mail({"filename": "b.txt", "url": host.url("/a.txt")}))
        await host.arrived.acquire()
        await tenant.backend.users.DeleteUser(users_pb2.DeleteUserRequest(user_id="u"))
        host.gate.set()
        # By the time that another file was fetched and sent, the first one has arrived, too.
        [other] = await tenant.send(mail({"filename": "b.txt", "url": host.url("/a.txt")}, user=USER | {"id": "other"}))
        await until_final(tenant, other.tracking_id, EMAIL)
        await until_forgotten(world, tenant)

    assert await entries(world, tenant) == 1
    assert [call.user_id for call in post.calls] == ["other"]


async def test_an_overtaken_worker_forgets_nothing(world: World, tenant: Tenant) -> None:
    """Whether files are needed is what the message says as it is stored, not what a worker thinks it has done."""
    [sent] = await tenant.send(mail(PDF))
    key = (tenant.client_id, "u", sent.tracking_id)

    assert await world.stores.messages.find_needing_files([key]) == {key}

    await tenant.backend.messages.DeleteMessage(messages_pb2.DeleteMessageRequest(tracking_id=sent.tracking_id))
    assert await world.stores.messages.find_needing_files([key]) == set()
