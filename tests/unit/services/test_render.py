from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.kernel.vocabulary import Channel
from services.messages.model import SkipReason
from services.notifications.model import Action, Content
from services.sender.render import RenderError, render, template_values
from services.users.model import User
from tests.unit.services.builders import content

EMAIL, INAPP, SMS, CALL, PUSH, WEB_PUSH = Channel
MARKUP = {"x": "<b>&\"'"}
ESCAPED = "&lt;b&gt;&amp;&#34;&#39;"


def refusal(source: Content, values: dict[str, object] | None = None, **replace: str) -> RenderError:
    """Gives the error of a content that cannot be rendered."""
    with pytest.raises(RenderError) as caught:
        render(source, values or {}, replace)
    return caught.value


def replaced_slowly(text: str, replace: dict[str, str]) -> str:
    """Does what `replace` promises, letter by letter."""
    result = ""
    while text:
        found = max((key for key in replace if text.startswith(key)), key=len, default="")
        result += replace[found] if found else text[0]
        text = text[len(found) or 1 :]
    return result


@settings(deadline=None)
@given(
    st.text("ab.|\\n", min_size=1, max_size=20),
    st.dictionaries(st.text("ab.|\\n", min_size=1, max_size=3), st.text("ab.", max_size=3), max_size=5),
)
@example("aab", {"a": "b", "aa": "a", "b": "\\1"})
@example("a.b", {".": "a", "a": "."})
def test_replace_is_one_pass_with_the_longest_key_first(text: str, replace: dict[str, str]) -> None:
    """Every place takes the longest key that fits; what is inserted is left alone, and keys are no patterns."""
    source = Content(INAPP, {"title": "title", "body": text})

    rendered = render(source, {}, replace)

    assert rendered.texts.get("body", "") == replaced_slowly(text, replace)


def test_replace_comes_after_merge_tags_and_is_not_escaped() -> None:
    """A value is inserted as it is, into what the merge tags made, also where text is HTML."""
    source = content(EMAIL, subject="{{ x }}", html="{{ x }}!")

    rendered = render(source, {"x": "<item>"}, {"item": "<b>", "&lt;": "["})

    assert rendered.texts == {"subject": "<<b>>", "html": "[<b>&gt;!"}


def test_replace_cannot_grow_without_bound() -> None:
    """A letter that occurs often cannot each time become a long value: the channel is skipped before it is tried."""
    error = refusal(content(SMS, text="a" * 100_000), a="b" * 16_384)

    assert (error.reason, error.detail) == (
        SkipReason.CONTENT_TOO_LARGE,
        "text: replace inserts more than 262144 characters",
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            content(EMAIL, subject="{{ x }}", html="{{ x }}", text="{{ x }}", preview_text="{{ x }}"),
            {"subject": MARKUP["x"], "html": ESCAPED, "text": MARKUP["x"], "preview_text": MARKUP["x"]},
        ),
        (content(INAPP, title="{{ x }}", body="{{ x }}"), {"title": MARKUP["x"], "body": MARKUP["x"]}),
        (
            Content(INAPP, {"title": "{{ x }}", "body": "{{ x }}", "url": "/?{{ x }}"}, html=True),
            {"title": ESCAPED, "body": ESCAPED, "url": f"/?{MARKUP['x']}"},
        ),
        (content(SMS, text="{{ x }}"), {"text": MARKUP["x"]}),
        (content(CALL, text="{{ x }}"), {"text": MARKUP["x"]}),
        (content(PUSH, title="{{ x }}", body="{{ x }}"), {"title": MARKUP["x"], "body": MARKUP["x"]}),
        (content(WEB_PUSH, title="{{ x }}", body="{{ x }}"), {"title": MARKUP["x"], "body": MARKUP["x"]}),
    ],
    ids=["email", "inapp", "inapp html", "sms", "call", "push", "web push"],
)
def test_only_html_is_escaped(source: Content, expected: dict[str, str]) -> None:
    """Merge tags are escaped in the HTML of a mail and in in-app content that is HTML, never in a URL or elsewhere."""
    assert render(source, MARKUP, {}).texts == expected


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "  javascript:alert(1)",
        "\u00a0\u2003javascript:alert(1)",
        "\x01javascript:alert(1)",
        "java\tscript:alert(1)",
        "java\nscript:alert(1)",
        "java\r\nscript\t:alert(1)",
        "j a v a s c r i p t :alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:msgbox(1)",
        "mailto:spongebob@squarepants.com",
        "file:///etc/passwd",
        "blob:https://example.com/1",
    ],
)
@pytest.mark.parametrize("name", ["url", "image_url", "icon_url", "actions[0].url"])
def test_a_url_is_no_script(name: str, url: str) -> None:
    """Anything but http and https is refused, however it is written and wherever it comes from."""
    action = (Action("label", "{{ x }}"),) if name.startswith("actions") else ()
    texts = {"title": "title"} if action else {"title": "title", name: "{{ x }}"}

    error = refusal(Content(INAPP, texts, actions=action), {"x": url})

    assert error.reason is SkipReason.RENDER_FAILED
    assert error.detail == f"{name}: must be an http, https or relative URL"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/?a=b:c",
        "HTTP://example.com",
        "/orders/1",
        "//example.com/a",
        "orders?time=12:30",
        "./a:b",
        "#a",
        "?javascript:alert(1)",
    ],
)
def test_a_url_of_the_web_passes(url: str) -> None:
    """Web URLs and relative ones pass as they are, without the space around them."""
    assert render(content(INAPP, title="t", url="{{ x }}"), {"x": f" {url}\n"}, {}).texts["url"] == url


def test_a_url_is_checked_after_replace() -> None:
    """A scheme that only `replace` makes is refused, too."""
    assert refusal(content(WEB_PUSH, title="t", url="HERE:alert(1)"), HERE="javascript").reason is (
        SkipReason.RENDER_FAILED
    )


def test_an_app_may_have_a_scheme_of_its_own() -> None:
    """The link of a push may open any app; its image may not."""
    assert render(content(PUSH, title="t", url="krabs://orders/1"), {}, {}).texts["url"] == "krabs://orders/1"
    assert refusal(content(PUSH, title="t", image_url="krabs://orders/1")).reason is SkipReason.RENDER_FAILED


def test_a_url_has_a_length() -> None:
    """A URL has at most 2048 bytes, counted after rendering."""
    source = content(INAPP, title="t", url="/{{ x }}")

    assert render(source, {"x": "a" * 2047}, {}).texts["url"] == "/" + "a" * 2047
    error = refusal(source, {"x": "ä" * 1024})
    assert (error.reason, error.detail) == (
        SkipReason.CONTENT_TOO_LARGE,
        "url: has 2049 bytes; a URL has at most 2048",
    )


@pytest.mark.parametrize("channel", [SMS, CALL])
def test_800_characters_are_counted_after_rendering(channel: Channel) -> None:
    """A long template that renders short passes, a short one that renders long does not; characters, not bytes."""
    long = "{% comment %}" + "a" * 900 + "{% endcomment %}{{ x }}"

    assert render(content(channel, text=long), {"x": "😀" * 800}, {}).texts["text"] == "😀" * 800
    for error in (
        refusal(content(channel, text="{{ x }}"), {"x": "a" * 801}),
        refusal(content(channel, text="{{ x }}b"), {"x": "a" * 799}, b="bb"),
    ):
        assert (error.reason, error.detail) == (
            SkipReason.CONTENT_TOO_LARGE,
            "text: has 801 characters; the channel carries 800",
        )


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_header_is_one_line(line_break: str) -> None:
    """A line break in what becomes a header is a space, so no merge tag adds a header."""
    source = content(EMAIL, subject="{{ x }}", from_name="HERE", text="a\nb")

    rendered = render(source, {"x": f"a{line_break}Bcc: b"}, {"HERE": f"a{line_break}Bcc: b"})

    assert rendered.texts == {"subject": "a Bcc: b", "from_name": "a Bcc: b", "text": "a\nb"}


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        (content(EMAIL, subject="{{ gone }}", text="text"), "subject"),
        (content(EMAIL, subject="\n", text="text"), "subject"),
        (content(EMAIL, subject="subject", html="{{ gone }}"), "html or text"),
        (content(EMAIL, subject="{{ gone }}", html="{{ gone }}", text="{{ gone }}"), "subject, html or text"),
        (content(INAPP, title="{{ gone }}", body="body"), "title"),
        (content(SMS, text="{{ gone }}"), "text"),
        (content(CALL, text="{{ gone }}"), "text"),
        (content(PUSH, title="{{ gone }}"), "title"),
        (content(WEB_PUSH, title="{{ gone }}"), "title"),
    ],
)
def test_what_a_channel_needs_must_not_come_out_empty(source: Content, missing: str) -> None:
    """A required text that renders to nothing skips the channel and is named."""
    error = refusal(source)

    assert (error.reason, error.detail) == (SkipReason.RENDER_FAILED, f"{missing}: came out empty")


def test_what_is_not_needed_may_come_out_empty() -> None:
    """Optional texts, and buttons without a label, are left out."""
    source = Content(
        INAPP, {"title": "t", "body": "{{ gone }}"}, actions=(Action("{{ gone }}", "/a"), Action("b", "{{ gone }}"))
    )

    rendered = render(source, {}, {})

    assert rendered == Content(INAPP, {"title": "t"}, actions=(Action("b"),))


def test_the_sender_of_a_mail_is_an_address() -> None:
    """What from_address renders to must be a mail address."""
    source = content(EMAIL, subject="s", text="t", from_address="{{ x }}")

    assert render(source, {"x": "krabs@example.com"}, {}).texts["from_address"] == "krabs@example.com"
    error = refusal(source, {"x": "krabs@example.com\nBcc: b@example.com"})
    assert (error.reason, error.detail) == (SkipReason.RENDER_FAILED, "from_address: is no mail address")


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ("a\n{{ x | nope }}", SkipReason.RENDER_FAILED, "text: line 2, column 8: unknown filter 'nope'"),
        (
            "{% for i in (1..9000) %}" + "a" * 40 + "{% endfor %}",
            SkipReason.CONTENT_TOO_LARGE,
            "text: line 1, column 4: output stream limit reached",
        ),
    ],
)
def test_an_error_of_a_template_names_text_and_place(text: str, reason: SkipReason, detail: str) -> None:
    """The detail has the name of the text, then line and column."""
    error = refusal(content(SMS, text=text))

    assert (error.reason, error.detail) == (reason, detail)


def test_the_profile_is_reachable() -> None:
    """A template reads the profile as `user`, its properties too, and merge tags at the root."""
    user = User("u1", email="a@example.com", first_name="Sandy", properties={"plan": "gold"})
    values = template_values({"item": "karate"}, user)

    rendered = render(
        content(SMS, text="{{ user.id }} {{ user.email }} {{ user.first_name }} {{ user.properties.plan }} {{ item }}"),
        values,
        {},
    )

    assert rendered.texts["text"] == "u1 a@example.com Sandy gold karate"


def test_a_merge_tag_named_user_wins() -> None:
    """A merge tag of the name `user` hides the profile, whatever it is."""
    assert template_values({"user": {"id": "other"}}, User("u1"))["user"] == {"id": "other"}
    assert template_values({"user": None}, User("u1"))["user"] is None
