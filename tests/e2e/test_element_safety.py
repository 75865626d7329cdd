"""What senders and templates say, shown by <carillon-inbox>: nothing of it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.e2e.element import body, open_panel, panel, put, show, titles

if TYPE_CHECKING:
    from playwright.async_api import Page

NAUGHTY = [
    line
    for line in (Path(__file__).parent / "web/naughty.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


NOTE_WHAT_RUNS = """() => {
    for (const name of ["alert", "prompt", "confirm"]) globalThis[name] = () => (globalThis.fired = name);
}"""

# Looks at all that is shown, and does to it what a user may.
FIND_UNSAFE = """(panel) => {
    const wrong = [];
    const forbidden =
        "script, iframe, object, embed, form, input, style, link, meta, base, svg:not(.icon), math, template";
    for (const one of panel.querySelectorAll(".item *")) {
        if (one.matches(forbidden)) wrong.push(one.outerHTML);
        for (const { name, value } of one.attributes) {
            if (name.startsWith("on") || ["style", "srcdoc", "action", "formaction"].includes(name)) wrong.push(name);
            if (!["href", "src", "xlink:href"].includes(name)) continue;
            const { protocol } = new URL(value, location);
            const isPicture = one.localName === "img" && value.startsWith("data:image/");
            if (!["http:", "https:"].includes(protocol) && !isPicture) wrong.push(value);
        }
        for (const type of ["mouseover", "focus", "load", "error", "toggle"]) one.dispatchEvent(new Event(type));
        if (one.matches(".item-body *:not(a)")) one.click();
    }
    return wrong;
}"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_text_is_never_markup(page: Page, url: str) -> None:
    """Script and markup in any field are shown as they are, and addresses that are none of ours lead nowhere."""
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>"
    await show(page, url, content="empty", policy="open")
    await page.evaluate(NOTE_WHAT_RUNS)
    fields = {"title": evil, "body": evil, "label": evil, "url": "javascript:alert(1)"}
    actions = [{"label": evil, "url": "javascript:alert(3)"}, {"label": evil, "url": "data:text/html,x"}]
    urls = {"image_url": "javascript:alert(4)", "icon_url": "vbscript:x"}
    await put(page, {**fields, **urls, "actions": actions})
    await page.evaluate(
        "evil => client.notifications.push({notification_id: 'n', title: evil, section: evil,"
        " channels: [{channel: evil, offered_delivery_options: ['OFF', evil, 'x']}]})",
        evil,
    )
    await open_panel(page)

    await expect(titles(page)).to_have_text([f"Unread. {evil}"])
    await expect(body(page)).to_have_text([evil])
    await expect(panel(page).locator(".label")).to_have_text(evil)
    await expect(panel(page).locator(".item-action")).to_have_text([evil, evil])
    await expect(panel(page).locator(".item :is(a, img, b, script)")).to_have_count(0)
    await panel(page).get_by_role("button", name="Preferences").click()
    await expect(panel(page).locator(".group-name").last).to_have_text(evil)
    await expect(panel(page).locator(".preferences :is(img, b, script)")).to_have_count(0)
    assert await page.evaluate("globalThis.fired") is None


RICH = """<p style="position:fixed" class="bell" id="bell" onclick="x()">Hi <b>there</b></p>
<a href="https://example.com/" target="_self">link</a><a href="/orders">ours</a>
<a href="JaVaScRiPt:x">bad</a><a href="tel:1">call</a>
<img src="https://example.com/x.png" srcset="y"><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">
<img src="data:text/html,x"><form action=/x><input name=q><button>Go</button></form><iframe src=/x></iframe>
<style>*{color:red}</style><svg><a xlink:href='javascript:x'>x</a></svg><math><mi>x</mi></math><script>x()</script>"""


async def test_html_is_sanitised(page: Page, url: str) -> None:
    """Of a template's HTML what is safe is shown: links open beside the page, pictures come from where they may."""
    # Parsing a style attribute is told on the console under a policy that forbids it.
    await show(page, url, content="empty", policy="open")
    await put(
        page,
        {
            "html": True,
            "title": "<b>title</b>",
            "body": RICH,
        },
    )
    await open_panel(page)

    await expect(titles(page)).to_have_text(["Unread. <b>title</b>"])
    markup = await body(page).first.evaluate("""(body) => [...body.querySelectorAll("*")].map((one) =>
        [one.localName, ...[...one.attributes].map(({name, value}) => `${name}=${value}`).sort()].join(" "))""")
    picture = "img alt= loading=lazy referrerpolicy=no-referrer"
    assert markup == [
        "p",
        "b",
        "a href=https://example.com/ rel=noopener noreferrer target=_blank",
        "a href=/orders rel=noopener noreferrer target=_blank",
        "a",
        "a",
        f"{picture} src=https://example.com/x.png",
        f"{picture} src=data:image/gif;base64,R0lGODlhAQABAAAAACw=",
        picture,
    ]


async def test_nothing_of_a_published_list_runs(page: Page, url: str) -> None:
    """Of a published list of scripts that get in, none does: as a template's HTML, as a text, or as an address."""
    await show(page, url, content="empty", policy="open")
    await page.evaluate(NOTE_WHAT_RUNS)
    assert len(NAUGHTY) > 200
    await put(
        page,
        *({"html": True, "body": text, "title": text, "url": text, "image_url": text} for text in NAUGHTY),
        *(
            {"body": text, "label": text, "icon_url": text, "actions": [{"label": text, "url": text}]}
            for text in NAUGHTY
        ),
    )
    await page.evaluate("client.put(...[...client.held.values()].map((item) => ({...item, unread: false})))")
    await open_panel(page)
    await expect(titles(page)).to_have_count(2 * len(NAUGHTY))

    assert await panel(page).evaluate(FIND_UNSAFE) == []
    assert await page.evaluate("globalThis.fired") is None
