"""What templates make of a send, seen in the inbox and in the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from carillon.v1 import content_pb2
from tests.contract.services.requests import INAPP_WEB, SMS, USER, definition, inapp, outcomes, send_request, sms

if TYPE_CHECKING:
    from carillon.v1 import sender_pb2
    from tests.contract.services.world import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def shown(tenant: Tenant, template: Any, **fields: Any) -> content_pb2.InappContent:
    """Defines an in-app template, sends it and gives the item's content."""
    await tenant.put(definition("n", template))
    await tenant.send(send_request("n", **fields))
    content: content_pb2.InappContent = (await tenant.items(USER))[0].content
    return content


async def beside_sms(tenant: Tenant, template: Any, **fields: Any) -> sender_pb2.SendResponse:
    """Defines an in-app template beside one for SMS, and sends both."""
    await tenant.put(definition("n", template, sms("{{ text }}"), channels=[INAPP_WEB, SMS]))
    user = {"number": "+15005550006"}
    merge_tags = {"text": "x"} | fields.pop("merge_tags", {})
    (answer,) = await tenant.send(send_request("n", user=user, merge_tags=merge_tags, **fields))
    return answer


@pytest.mark.parametrize(
    ("number", "text"),
    [(3, "3"), (-1, "-1"), (2.5, "2.5"), (2**53, "9007199254740992"), (0, "0"), (True, "true")],
)
async def test_numbers_print_as_they_were_written(tenant: Tenant, number: float, text: str) -> None:
    """A whole number stays one on its way through a Struct of doubles."""
    assert (await shown(tenant, inapp("{{ n }}"), merge_tags={"n": number})).title == text


async def test_templates_read_tags_and_profile(tenant: Tenant) -> None:
    """Merge tags are at the root, the profile and its properties under user; what is missing renders as nothing."""
    await tenant.send(send_request(user={"first_name": "Bob", "properties": {"plan": "gold"}}))  # the profile

    source = (
        "{{ a.b[1] }} {{ user.first_name }} {{ user.last_name }} {{ user.properties.plan }} {{ user.id }} {{ no }}."
    )
    content = await shown(tenant, inapp(source), merge_tags={"a": {"b": [0, "one"]}}, user={"last_name": "Sponge"})

    assert content.title == f"one Bob Sponge gold {USER} ."


@pytest.mark.parametrize(("html", "expected"), [(False, "<b>&</b>"), (True, "&lt;b&gt;&amp;&lt;/b&gt;")])
async def test_escaping_follows_html(tenant: Tenant, html: bool, expected: str) -> None:
    """Plain text is stored as it is; where the template is HTML, merge tags are escaped in title and body."""
    tags = {"x": "<b>&</b>"}
    content = await shown(tenant, inapp("{{ x }}", body="<i>{{ x }}</i>", html=html), merge_tags=tags)

    assert (content.title, content.body, content.html) == (expected, f"<i>{expected}</i>", html)


async def test_urls_are_never_escaped(tenant: Tenant) -> None:
    """A URL in an HTML template keeps its ampersands, and loses what stands around it."""
    content = await shown(tenant, inapp(html=True, url=" {{ u }}\n"), merge_tags={"u": "https://x.test/?a=1&b=2"})

    assert content.url == "https://x.test/?a=1&b=2"


@pytest.mark.parametrize(
    ("replace", "expected"),
    [
        ({"a": "b", "b": "a"}, "b a ba"),
        ({"ab": "long", "a": "short"}, "short b long"),
        ({"a": "aa"}, "aa b aab"),
        ({"b": "{{ tag }}<i>"}, "a {{ tag }}<i> a{{ tag }}<i>"),
        ({".": "x", "a": r"\1"}, r"\1 b \1b"),
        ({"no": "x"}, "a b ab"),
    ],
    ids=["one-pass", "longest-first", "not-inside-itself", "as-it-is", "no-pattern", "not-there"],
)
async def test_replace(tenant: Tenant, replace: dict[str, str], expected: str) -> None:
    """Texts are replaced after rendering in one pass, the longest key first, and values are inserted as they are."""
    content = await shown(
        tenant, inapp("{{ t }}", body="<p>", html=True), merge_tags={"t": "a b ab", "tag": "!"}, replace=replace
    )

    assert content.title == expected


FAILING = {
    "a-filter-fails": (inapp("{{ n | divided_by: 0 }}"), "RENDER_FAILED"),
    "an-empty-title": (inapp("{{ missing }}"), "RENDER_FAILED"),
    "a-script": (inapp(url="javascript:alert(1)"), "RENDER_FAILED"),
    "a-hidden-script": (inapp(url="{{ u }}"), "RENDER_FAILED"),
    "data": (inapp(icon_url="data:text/html,x"), "RENDER_FAILED"),
    "a-script-in-a-button": (
        inapp(actions=[content_pb2.InappAction(label="go", url="{{ u }}")]),
        "RENDER_FAILED",
    ),
    "a-long-url": (inapp(url="/{{ long }}"), "CONTENT_TOO_LARGE"),
    "an-endless-loop": (inapp("{% for i in (1..1000000000) %}{% endfor %}"), "RENDER_FAILED"),
    "nested-loops": (
        inapp("{% for i in (1..9000) %}{% for j in (1..9000) %}{% endfor %}{% endfor %}"),
        "RENDER_FAILED",
    ),
    "endless-output": (inapp("{% for i in (1..9000) %}{{ long }}{% endfor %}"), "CONTENT_TOO_LARGE"),
    "a-growing-variable": (
        inapp("{% assign x = long %}{% for i in (1..40) %}{% assign x = x | append: x %}{% endfor %}!"),
        "RENDER_FAILED",
    ),
}


@pytest.mark.parametrize("name", FAILING)
async def test_a_failing_template_costs_its_channel_alone(tenant: Tenant, name: str) -> None:
    """A template that fails, runs away or makes a dangerous URL skips its channel and says why; the others go."""
    template, reason = FAILING[name]

    answer = await beside_sms(tenant, template, merge_tags={"n": 1, "u": "java\tscript:alert(1)", "long": "x" * 3000})

    assert outcomes(answer) == {"INAPP_WEB": reason, "SMS": "PENDING"}
    assert answer.deliveries[0].detail
    assert answer.item_id == ""
    assert await tenant.items(USER) == []


@pytest.mark.parametrize(("length", "expected"), [(800, "PENDING"), (801, "CONTENT_TOO_LARGE")])
async def test_an_sms_has_800_characters(tenant: Tenant, length: int, expected: str) -> None:
    """A text message over 800 characters after rendering is skipped, the others go."""
    answer = await beside_sms(tenant, inapp(), merge_tags={"text": "ä" * length})

    assert outcomes(answer) == {"INAPP_WEB": "DELIVERED", "SMS": expected}


@pytest.mark.parametrize("url", ["/orders/1", "https://x.test/a", "HTTP://x.test", "?q=a:b", "#top", ""])
async def test_http_and_relative_urls_are_taken(tenant: Tenant, url: str) -> None:
    """URLs that lead to pages are kept as they are."""
    assert (await shown(tenant, inapp(url=url))).url == url


async def test_a_button_without_a_label_is_left_out(tenant: Tenant) -> None:
    """A button whose label renders to nothing does not appear."""
    buttons = [content_pb2.InappAction(label="{{ a }}"), content_pb2.InappAction(label="Pay {{ b }}", url="/pay")]

    content = await shown(tenant, inapp(actions=buttons), merge_tags={"b": "now"})

    assert list(content.actions) == [content_pb2.InappAction(label="Pay now", url="/pay")]
