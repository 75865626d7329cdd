"""Content that comes with a send: what it stands in for, what it needs and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import content_pb2, messages_pb2
from services.kernel.clock import utc_now
from tests.contract.services.refusals import assert_violates, refusal
from tests.contract.services.requests import (
    EMAIL,
    INAPP_WEB,
    SMS,
    USER,
    definition,
    inapp,
    outcomes,
    send_request,
    warnings,
)
from tests.contract.services.test_preferences import choose, preference

if TYPE_CHECKING:
    from carillon.v1 import sender_pb2
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOB = {"id": USER, "email": "bob@example.com", "number": "+15005550006"}
MAIL = {"subject": "Re: {{ item }}", "html": "<p>{{ item }}</p>"}


async def sent(tenant: Tenant, **fields: Any) -> sender_pb2.SendResponse:
    """Sends to somebody with every address, without merge tags where nothing else is said."""
    (answer,) = await tenant.send(send_request("n", user=BOB, **{"merge_tags": {}} | fields))
    return answer


async def logged(tenant: Tenant, answer: sender_pb2.SendResponse) -> messages_pb2.Message:
    """Gives a message as the log has it."""
    request = messages_pb2.GetMessageRequest(tracking_id=answer.tracking_id)
    message: messages_pb2.Message = (await tenant.backend.messages.GetMessage(request)).message
    return message


async def test_content_stands_in_for_the_template(tenant: Tenant) -> None:
    """The send's texts take the place of the template's and the others stay; both are Liquid, escaped as before."""
    texts = {"body": "{{ x }}", "url": "https://carillon.test/{{ x }}"}
    await tenant.put(definition("n", inapp("old {{ x }}", actions=[{"label": "A"}], **texts)))

    given: Any = {"inapp": {"title": "new {{ x }}", "html": True, "actions": [{"label": "B {{ x }}"}]}}
    answer = await sent(tenant, content=given, merge_tags={"x": "<i>"}, replace={"new": "<b>"})

    (item,) = await tenant.items(USER)
    assert item.content == content_pb2.InappContent(
        title="<b> &lt;i&gt;",
        body="&lt;i&gt;",
        html=True,
        url="https://carillon.test/<i>",
        actions=[content_pb2.InappAction(label="B &lt;i&gt;")],
    )
    assert list(answer.warnings) == []
    assert (await logged(tenant, answer)).request.content.inapp.title == "new {{ x }}"


async def test_whole_content_needs_no_template(tenant: Tenant) -> None:
    """Content that is whole goes without a template; what is not says what it lacks, and costs the others nothing."""
    await tenant.put(definition("n", channels=[EMAIL, INAPP_WEB, SMS]))

    answer = await sent(tenant, content={"email": MAIL, "inapp": {"body": "b"}}, merge_tags={"item": "<i>"})

    assert outcomes(answer) == {"EMAIL": "PENDING", "INAPP_WEB": "NO_TEMPLATE", "SMS": "NO_TEMPLATE"}
    details = ["", "there is no template, and the send's content lacks title", ""]
    assert [one.detail for one in answer.deliveries] == details
    mail = (await logged(tenant, answer)).deliveries[0].content.email
    assert (mail.subject, mail.html) == ("Re: <i>", "<p>&lt;i&gt;</p>")


async def test_content_adds_no_channel_but_forced_ones(tenant: Tenant) -> None:
    """Content for a channel that the definition lacks goes nowhere, with a warning; forced, it needs no template."""
    await tenant.put(definition("n", inapp()))

    answer = await sent(tenant, content={"sms": {"text": "hi"}})
    assert outcomes(answer) == {"INAPP_WEB": "DELIVERED"}
    assert warnings(answer) == [("CONTENT_NOT_USED", "content.sms")]

    forced = await sent(tenant, content={"sms": {"text": "hi"}}, force_channels=[SMS])
    assert outcomes(forced) == {"INAPP_WEB": "NOT_FORCED", "SMS": "PENDING"}
    assert warnings(forced) == []


async def test_content_without_any_channel_goes_nowhere(tenant: Tenant) -> None:
    """A definition without channels is sent nowhere, with content too, and the warnings say so."""
    await tenant.put(definition("n", channels=[]))

    answer = await sent(tenant, content={"email": MAIL})

    assert outcomes(answer) == {}
    assert warnings(answer) == [("CONTENT_NOT_USED", "content.email"), ("ALL_CHANNELS_SKIPPED", "")]


async def test_content_does_not_overrule(tenant: Tenant) -> None:
    """Content for what is muted or switched off is skipped like any other."""
    await tenant.put(definition("n", channels=[INAPP_WEB]), definition("off", channels=[INAPP_WEB], disabled=True))
    await choose(tenant, preference("n"))
    given: Any = {"inapp": {"title": "t"}}

    assert outcomes(await sent(tenant, content=given)) == {"INAPP_WEB": "PREFERENCE_OFF"}
    (off,) = await tenant.send(send_request("off", content=given))
    assert outcomes(off) == {"INAPP_WEB": "NOTIFICATION_DISABLED"}


async def test_merge_tags_of_content_are_missed(tenant: Tenant) -> None:
    """What only the content uses and nobody gave draws the warning; what only the replaced text used does not."""
    await tenant.put(definition("n", inapp("{{ old }}", body="{{ kept }}")))

    answer = await sent(tenant, content={"inapp": {"title": "{{ new }}t"}})

    assert warnings(answer) == [("MERGE_TAG_MISSING", f"merge_tags.{name}") for name in ("kept", "new")]


async def test_empty_content_is_none(tenant: Tenant) -> None:
    """Content without a channel, or a channel without a text, leaves everything to the templates."""
    await tenant.put(definition("n", inapp("template")))

    nothing: list[Any] = [{}, {"inapp": {}}, {"inapp": {"html": True}}, {"sms": {}}]
    for given in nothing:
        answer = await sent(tenant, content=given)
        assert outcomes(answer) == {"INAPP_WEB": "DELIVERED"}
        assert list(answer.warnings) == []
    assert {(item.content.title, item.content.html) for item in await tenant.items(USER)} == {("template", False)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"email": {"html": "a\n{{ b"}}, [("content.email.html", "TEMPLATE_INVALID")]),
        ({"sms": {"text": "{{ a | nope }}"}}, [("content.sms.text", "TEMPLATE_INVALID")]),
        ({"push": {"body": "x" * 262_144}}, [("content.push", "TOO_LARGE")]),
        ({"inapp": {"actions": [{"label": "a"}] * 3}}, [("content.inapp.actions", "TOO_MANY")]),
        (
            {"inapp": {"actions": [{"url": "{% if %}"}]}},
            [
                ("content.inapp.actions[0].label", "REQUIRED"),
                ("content.inapp.actions[0].url", "TEMPLATE_INVALID"),
            ],
        ),
        ({"call": {"text": "{{ a }}" * 2000 + "{{"}}, [("content.call.text", "TEMPLATE_INVALID")]),
    ],
    ids=["html", "filter", "large", "actions", "action", "long"],
)
async def test_wrong_content_is_refused(tenant: Tenant, given: Any, expected: list[tuple[str, str]]) -> None:
    """A text that does not parse is named with its place, whether its channel is sent or not; nothing is stored."""
    before = await tenant.stored()

    refused = await refusal(tenant.backend.sender.Send(send_request(content=given)))

    assert_violates(refused, expected)
    for (_, reason), text in zip(refused.violations, refused.descriptions, strict=True):
        assert reason != "TEMPLATE_INVALID" or text.startswith("is no valid template: line ")
    assert await tenant.stored() == before


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        ({"title": "a\0b", "body": "\0"}, "DELIVERED"),
        ({"title": "t", "url": "/{{ long }}"}, "CONTENT_TOO_LARGE"),
        ({"title": "t", "url": "javascript:alert(1)"}, "RENDER_FAILED"),
        ({"title": "{{ gone }}"}, "RENDER_FAILED"),
        ({"title": "{{ 1 | divided_by: 0 }}"}, "RENDER_FAILED"),
        ({"title": "{% for i in (1..9000) %}{{ long }}{% endfor %}"}, "CONTENT_TOO_LARGE"),
    ],
    ids=["NUL", "long-url", "script", "empty", "failing", "runaway"],
)
async def test_what_cannot_be_made_of_content_is_skipped(tenant: Tenant, given: Any, outcome: str) -> None:
    """Content is rendered within the same bounds as a template: what fails costs its channel, not the call."""
    await tenant.put(definition("n", channels=[INAPP_WEB, SMS]))

    answer = await sent(tenant, content={"inapp": given, "sms": {"text": "t"}}, merge_tags={"long": "x" * 2048})

    assert outcomes(answer) == {"INAPP_WEB": outcome, "SMS": "PENDING"}


async def test_content_that_fills_a_message_is_refused(tenant: Tenant) -> None:
    """A message has the request and what it renders to, also one that waits: much content is too much for it."""
    await tenant.put(definition("n", channels=[EMAIL, INAPP_WEB]))
    before = await tenant.stored()
    large: Any = {"email": {"subject": "s", "html": "x" * 262_000}, "inapp": {"title": "t", "body": "x" * 262_000}}

    for at in (None, utc_now() + timedelta(hours=1)):
        request = send_request("n", user=BOB, content=large, schedule_time=at)
        assert (await refusal(tenant.backend.sender.Send(request))).reason == "MESSAGE_TOO_LARGE"
    assert await tenant.stored() == before

    del large["inapp"]
    assert outcomes(await sent(tenant, content=large))["EMAIL"] == "PENDING"


async def test_content_is_a_part_of_what_is_repeated(tenant: Tenant) -> None:
    """The same request_id with the same content is the same message, with other content another request."""
    await tenant.put(definition("n", inapp()))
    first: Any = {"inapp": {"title": "first"}}

    answer = await sent(tenant, content=first, request_id="r")
    again = await sent(tenant, content=first, request_id="r")

    assert (again.tracking_id, again.replayed) == (answer.tracking_id, True)
    other = send_request("n", user=BOB, merge_tags={}, content={"inapp": {"title": "other"}}, request_id="r")
    refused = await refusal(tenant.backend.sender.Send(other))
    assert refused.reason == "REQUEST_ID_REUSED"
    assert [item.content.title for item in await tenant.items(USER)] == ["first"]
