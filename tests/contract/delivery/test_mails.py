"""Mails from the call to the mail server: everything that a send may say about one arrives there."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from pydantic import SecretStr

from carillon.v1 import content_pb2, environments_pb2, notifications_pb2, preferences_pb2, send_options_pb2
from services.delivery.app import open_providers
from services.delivery.settings import SmtpSettings
from services.settings import WorkerSettings
from tests.contract.delivery.world import outcomes_of, run_workers, state_of, until_final
from tests.contract.services.requests import EMAIL, definition, outcomes, send_request
from tests.contract.services.world import MASTER_KEY
from tests.providers.files import run_files
from tests.providers.smtp import CUT, SmtpServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from carillon.v1 import delivery_pb2, sender_pb2
    from tests.contract.services.world import Tenant
    from tests.providers.smtp import ReceivedMail

pytestmark = pytest.mark.asyncio(loop_scope="session")

TO = "spongebob@squarepants.com"


def template(template_id: str = "", **texts: str) -> notifications_pb2.Template:
    """Makes a mail's template; what is not given is Liquid that shows the merge tags."""
    made = {
        "subject": "Your {{ item }}",
        "html": "<p>Hello {{ user.first_name }}, your {{ item }} goes to {{ address }}.</p>",
        "preview_text": "Order {{ orderId }}",
        "from_name": "{{ shop }} orders",
        "from_address": "{{ shop | downcase }}@example.com",
    }
    email = content_pb2.EmailContent(**made | texts)
    return notifications_pb2.Template(id=template_id, content=content_pb2.Content(email=email))


@asynccontextmanager
async def delivering(
    mongodb_uri: str, server: SmtpServer, *, public_url: str = "", **fields: Any
) -> AsyncIterator[None]:
    """Runs a mail server and a worker that is configured for it."""
    async with server.run():
        url = SecretStr(f"smtp://127.0.0.1:{server.port}")
        smtp = SmtpSettings(url=url, from_address="notifications@example.com", **fields)
        settings = WorkerSettings(smtp=smtp, public_url=public_url, private_networks=True)
        async with (
            open_providers(settings, master_key=MASTER_KEY) as providers,
            run_workers(mongodb_uri, providers, settings=settings),
        ):
            yield


async def deliver(
    tenant: Tenant, mongodb_uri: str, request: sender_pb2.SendRequest
) -> tuple[ReceivedMail, delivery_pb2.Delivery]:
    """Sends, and gives the mail that arrived and what the log says of it."""
    server = SmtpServer()
    async with delivering(mongodb_uri, server):
        [sent] = await tenant.send(request)
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)
    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["ACCEPTED"]), delivery
    [mail] = server.mails
    assert mail.header("Message-ID").startswith(f"<{sent.tracking_id}@")
    return mail, delivery


def order(**fields: Any) -> sender_pb2.SendRequest:
    """Makes the send of a mail."""
    tags = {"item": "Krabby Patty & Fries", "address": "124 Conch Street", "orderId": "1234567890", "shop": "Krusty"}
    user = {"email": TO, "first_name": "Spongebob"}
    return send_request("order", **{"user": user, "merge_tags": tags} | fields)


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def order_defined(tenant: Tenant) -> None:
    """Defines what the tests send."""
    other = template("other", subject="Another", html="<p>Other {{ item }}</p>", text="Other text {{ item }}")
    await tenant.put(definition("order", template(), other, channels=[EMAIL]))


async def test_a_mail_of_a_template(tenant: Tenant, mongodb_uri: str) -> None:
    """Subject, text, HTML, preview and sender are the template's, with merge tags, escaped where they are HTML."""
    mail, delivery = await deliver(tenant, mongodb_uri, order())

    assert mail.recipients == (TO,)
    assert mail.sender == "krusty@example.com"
    assert mail.header("To") == TO
    assert mail.header("From") == "Krusty orders <krusty@example.com>"
    assert mail.header("Subject") == "Your Krabby Patty & Fries"
    assert mail.part("plain") == "Hello Spongebob, your Krabby Patty & Fries goes to 124 Conch Street.\n"
    hidden, _, html = mail.part("html").partition("</div>")
    assert html == "<p>Hello Spongebob, your Krabby Patty &amp; Fries goes to 124 Conch Street.</p>\n"
    assert ">Order 1234567890" in hidden
    assert not {"Cc", "Bcc", "Reply-To", "List-Unsubscribe"} & {*mail.message.keys()}
    assert (delivery.attempts[0].provider, delivery.attempts[0].provider_id) == ("smtp", "4XyZ")


async def test_the_template_that_a_send_names(tenant: Tenant, mongodb_uri: str) -> None:
    """template_id chooses the template; one with a text part sends that."""
    mail, _ = await deliver(tenant, mongodb_uri, order(template_id="other"))

    assert mail.header("Subject") == "Another"
    assert mail.part("plain") == "Other text Krabby Patty & Fries\n"


async def test_replacements(tenant: Tenant, mongodb_uri: str) -> None:
    """Replace changes every text of the mail after the merge tags."""
    replace = {"Krabby Patty": "Salad", "Krusty": "Chum", "1234567890": "ORDER", "goes to": "comes to"}
    mail, _ = await deliver(tenant, mongodb_uri, order(replace=replace))

    assert mail.header("Subject") == "Your Salad & Fries"
    assert mail.header("From") == "Chum orders <krusty@example.com>"
    assert "your Salad & Fries comes to 124 Conch Street" in mail.part("plain")
    assert "Order ORDER" in mail.part("html")


@pytest.mark.parametrize(
    ("option", "header", "is_copied"),
    [
        ("reply_to_addresses", "Reply-To", False),
        ("cc_addresses", "Cc", True),
        ("bcc_addresses", None, True),
    ],
)
async def test_addresses_of_the_options(
    tenant: Tenant, mongodb_uri: str, option: str, header: str | None, is_copied: bool
) -> None:
    """Replies go where the send says; copies go out too, and the hidden ones stand in no header."""
    addresses = ["patrick@example.com", "squid.ward@example.org"]
    email = send_options_pb2.EmailOptions(**{option: addresses})  # type: ignore[arg-type] # a list of texts
    mail, _ = await deliver(tenant, mongodb_uri, order(options={"email": email}))

    assert mail.recipients == (TO, *(addresses if is_copied else []))
    assert mail.header("To") == TO
    if header:
        assert mail.header(header) == ", ".join(addresses)
    else:
        assert b"patrick" not in mail.content


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"from_name": "Plankton, Ltd."}, '"Plankton, Ltd." <krusty@example.com>'),
        ({"from_address": "chum@example.org"}, "Krusty orders <chum@example.org>"),
        ({"from_name": "Plänkton", "from_address": "chum@example.org"}, "Plänkton <chum@example.org>"),
    ],
)
async def test_the_sender_of_the_options(
    tenant: Tenant, mongodb_uri: str, options: dict[str, str], expected: str
) -> None:
    """The sender that a send gives wins over the template's, each part for itself."""
    mail, _ = await deliver(tenant, mongodb_uri, order(options={"email": options}))

    assert mail.header("From") == expected
    assert mail.sender in expected


async def test_the_sender_where_nobody_is_named(tenant: Tenant, mongodb_uri: str) -> None:
    """Without any other the environment's name and the settings' address send."""
    await tenant.put(definition("order", template(from_name="", from_address=""), channels=[EMAIL]))
    unnamed, _ = await deliver(tenant, mongodb_uri, order())
    name = environments_pb2.Environment(name="Bikini Bottom")
    await tenant.backend.environments.UpdateEnvironment(
        environments_pb2.UpdateEnvironmentRequest(environment=name, update_mask=FieldMask(paths=["name"]))
    )
    mail, _ = await deliver(tenant, mongodb_uri, order())

    assert unnamed.header("From") == f"{tenant.client_id} <notifications@example.com>"
    assert mail.header("From") == "Bikini Bottom <notifications@example.com>"


async def test_a_refused_mail_has_failed(tenant: Tenant, mongodb_uri: str) -> None:
    """What the server says to the address is in the log, and nothing is tried again."""
    server = SmtpServer(refused={TO: "550 5.1.1 <spongebob@squarepants.com>: unknown"})
    async with delivering(mongodb_uri, server):
        [sent] = await tenant.send(order())
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (state_of(delivery), outcomes_of(delivery)) == ("FAILED", ["PERMANENT_FAILURE"])
    assert delivery.detail == "550 5.1.1 <spongebob@squarepants.com>: unknown"


async def test_a_mail_that_may_have_arrived_is_sent_again(tenant: Tenant, mongodb_uri: str) -> None:
    """A lost answer is unknown in the log, the mail goes out again, and both have one Message-ID."""
    server = SmtpServer()
    ids: list[str] = []
    server.reply = lambda mail: ids.append(mail.header("Message-ID")) or ""  # type: ignore[func-returns-value] # for its effect
    server.script("ANSWER", CUT)
    async with delivering(mongodb_uri, server):
        [sent] = await tenant.send(order())
        delivery = await until_final(tenant, sent.tracking_id, EMAIL)

    assert (state_of(delivery), outcomes_of(delivery)) == ("SENT", ["UNKNOWN", "ACCEPTED"])
    assert len(ids) == 2
    assert ids[0] == ids[1]


async def test_a_worker_keeps_to_its_connections(tenant: Tenant, mongodb_uri: str) -> None:
    """However many mails are due, no more connections are made than the settings allow."""
    server = SmtpServer()
    async with delivering(mongodb_uri, server, max_connections=1):
        sent = [(await tenant.send(order()))[0] for _ in range(10)]
        for one in sent:
            assert state_of(await until_final(tenant, one.tracking_id, EMAIL)) == "SENT"

    assert len(server.mails) == 10
    assert server.connections == 1


async def test_the_link_in_a_mail_ends_such_mails(tenant: Tenant, mongodb_uri: str) -> None:
    """The token in the List-Unsubscribe of a mail that was sent turns off mails of its kind, for its reader."""
    await follow_link(tenant, await linked(tenant, mongodb_uri, order()))

    assert outcomes((await tenant.send(order()))[0]) == {"EMAIL": "PREFERENCE_OFF"}


async def test_the_link_of_a_part_ends_mails_about_it(tenant: Tenant, mongodb_uri: str) -> None:
    """The link of a mail about a sub-notification leaves the mails about others as they were."""
    await follow_link(tenant, await linked(tenant, mongodb_uri, order(sub_notification_id="store_1")))

    about = [order(sub_notification_id="store_1"), order(sub_notification_id="store_2"), order()]
    states = [outcomes(one)["EMAIL"] for one in await tenant.send(*about)]
    assert states == ["PREFERENCE_OFF", "PENDING", "PENDING"]


async def linked(tenant: Tenant, mongodb_uri: str, request: sender_pb2.SendRequest) -> ReceivedMail:
    """Sends where links can be made, and gives the mail that arrived."""
    server = SmtpServer()
    async with delivering(mongodb_uri, server, public_url="https://carillon.example.com"):
        [sent] = await tenant.send(request)
        await until_final(tenant, sent.tracking_id, EMAIL)
    [mail] = server.mails
    return mail


async def follow_link(tenant: Tenant, mail: ReceivedMail) -> None:
    """Unsubscribes by what the mail has for it, as a mail program does with one click."""
    url = mail.header("List-Unsubscribe").strip("<>")
    assert url.startswith("https://carillon.example.com/unsubscribe/")
    assert mail.header("List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"
    request = preferences_pb2.UnsubscribeRequest(unsubscribe_token=url.rpartition("/")[2])
    await tenant.backend.preferences.Unsubscribe(request)


async def test_attachments_arrive(tenant: Tenant, mongodb_uri: str) -> None:
    """Files that came with the send and files that URLs lead to are in the mail, under their names and types."""
    async with run_files() as host:
        host.files["/invoice"] = b"%PDF-1.7"
        attachments = [
            send_options_pb2.Attachment(filename="Rechnung für Dich.pdf", url=host.url("/invoice")),
            send_options_pb2.Attachment(filename="notes.txt", content=b"Krabby\n", content_type="text/x-notes"),
        ]
        request = order()
        request.options.email.attachments.extend(attachments)
        mail, _ = await deliver(tenant, mongodb_uri, request)

    assert mail.files() == {
        "Rechnung für Dich.pdf": ("application/pdf", b"%PDF-1.7"),
        "notes.txt": ("text/x-notes", b"Krabby\n"),
    }
