from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.delivery.markup import plain_text, with_preview

PIECES = [
    "<",
    ">",
    "</",
    "/>",
    "<!",
    "<!--",
    "-->",
    "<![",
    "]>",
    "<![CDATA[",
    "]]>",
    "<?",
    '"',
    "'",
    "=",
    "&",
    "&lt;",
    "<!doctype html>",
    "text",
    "ä",
    "\x00",
    " ",
    "<p>",
    "</p>",
    "<a href='https://a.example'>",
    "</a>",
    "<ul>",
    "<li>",
    "</ul>",
    "<pre>",
    "</pre>",
    "<td>",
    "<br>",
    "<img alt='x'>",
    "<div style='display:none'>",
    "</div>",
    "<script>",
    "</script>",
    "<style>",
    "</style>",
    "<title>",
    "<html>",
    "<body>",
    "<body class='a>b'>",
    "</head>",
]
MARKUP = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


class _Shown(HTMLParser):
    """Notes the texts outside and inside of what is hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = ""
        self.order: list[str] = []
        self._is_hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        style = dict(attrs).get("style") or ""
        self._is_hidden = "display:none" in style
        self.order.append("hidden" if self._is_hidden else tag)

    def handle_endtag(self, tag: str) -> None:
        self._is_hidden = False

    def handle_data(self, data: str) -> None:
        if self._is_hidden:
            self.hidden += data


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("", ""),
        ("Hello", "Hello"),
        ("<p>Hello <b>you</b>,</p>\n<p>it  is\n here.</p>", "Hello you,\n\nit is here."),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<div>a</div><div><div>b</div></div>c", "a\nb\nc"),
        ("<h1>Title</h1>text<hr>more", "Title\n\ntext\n\n--------------------\n\nmore"),
        ("Tom &amp; Jerry&nbsp;&lt;3 &#8364;", "Tom & Jerry <3 €"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ("<p>x</p><ol><li>a<li>b<ul><li>c</ul></ol>y", "x\n\n1. a\n2. b\n  - c\n\ny"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "a b\n1 2"),
        ("<pre>a\n  b</pre>c", "a\n  b\n\nc"),
        ("<img src='x' alt='A picture'>", "A picture"),
        ("<head><title>T</title><style>p{}</style></head><script>a<b</script>x", "x"),
        ("<div style='display: none'>preview <b>b</b><img></div><p hidden>c</p>x", "x"),
        ("<!-- a -->x<!--[if mso]><body>y<![endif]--><![if !mso]>z<![endif]>", "xz"),
        ("<!doctype html><html><body>x", "x"),
    ],
)
def test_the_text_of_html(html: str, expected: str) -> None:
    """Paragraphs, lists and tables are lines; what nobody sees is left out."""
    assert plain_text(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<a href="https://a.example/x?a=1&amp;b=2">Track it</a> now', "Track it (https://a.example/x?a=1&b=2) now"),
        ('<a href="https://a.example">https://a.example</a>', "https://a.example"),
        ('<a href="https://a.example/">https://a.example</a>', "https://a.example"),
        ('<a href="mailto:a@example.com">a@example.com</a>', "a@example.com"),
        ('<a href="tel:+15005550006">call us</a>', "call us (tel:+15005550006)"),
        ('<a href="https://a.example"><img alt="Shop"></a>', "Shop (https://a.example)"),
        ('<a href="https://a.example"><img></a>', "https://a.example"),
        ('<a href="#top">up</a> <a>none</a> <a href="javascript:x()">x</a> <a href="/orders">y</a>', "up none x y"),
        ('<a href="https://a.example"><p>a</p><p>b</p></a>', "a\n\nb (https://a.example)"),
        ('x</a><a href="https://a.example">y', "xy (https://a.example)"),
        (
            '<a href="https://a.example">x <a href="https://b.example">y</a>',
            "x (https://a.example) y (https://b.example)",
        ),
    ],
)
def test_links_are_kept(html: str, expected: str) -> None:
    """Where a link goes follows its text, unless the text says it already."""
    assert plain_text(html) == expected


@settings(deadline=None)
@given(MARKUP)
def test_any_markup_has_a_text_and_takes_a_preview(html: str) -> None:
    """Nothing that somebody may write as HTML raises, and a preview takes nothing away."""
    plain_text(html)
    made = with_preview(html, "preview")

    start = made.index('<div style="display:none')
    end = made.index("</div>", start) + len("</div>")
    assert made[:start] + made[end:] == html


@pytest.mark.parametrize(
    "piece", ["<a ", "<a href='", "<", "</", "<!--", "<?", "<body ", "<script>", "a<b></b>", "<p hidden>"]
)
def test_any_markup_is_read_in_the_time_of_its_length(piece: str) -> None:
    """A megabyte of what never ends takes a second, where reading on from each beginning would take hours."""
    hostile = piece * (1_000_000 // len(piece))

    plain_text(hostile)
    with_preview(hostile, "preview")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
@example("</div><b>3 < 4 &amp; 5")
def test_a_preview_is_text(preview: str) -> None:
    """Whatever is in a preview, it is shown as it is and ends nothing."""
    made = with_preview("<p>Hello</p>", preview)
    shown = _Shown()
    shown.feed(made)

    assert shown.hidden.startswith(preview)
    assert shown.order == ["hidden", "p"]


@pytest.mark.parametrize(
    ("html", "before"),
    [
        ("<p>x</p>", ""),
        (
            "<html><head><title>T</title></head><body class='a>b' id=c><p>x</p>",
            "<html><head><title>T</title></head><body class='a>b' id=c>",
        ),
        ("<!DOCTYPE html><p>x</p>", "<!DOCTYPE html>"),
        ("<html lang=en><p>x</p>", "<html lang=en>"),
        ("<head></head><p>x</p>", "<head></head>"),
        ("<!--[if mso]><body><![endif]--><BODY>x", "<!--[if mso]><body><![endif]--><BODY>"),
        ("<bodyguard>x", ""),
    ],
)
def test_the_preview_comes_first_in_the_body(html: str, before: str) -> None:
    """The preview stands right at the beginning of what is shown, whatever Outlook alone may read."""
    made = with_preview(html, "preview")

    assert made.startswith(f'{before}<div style="display:none')


def test_no_preview_changes_nothing() -> None:
    """Without a preview the HTML stays as it is."""
    assert with_preview("<p>x</p>", "") == "<p>x</p>"
