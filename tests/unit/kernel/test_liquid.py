import contextlib

import pytest

from services.kernel.liquid import MAX_OUTPUT_BYTES, OutputTooLarge, ParsedTexts, TemplateError, check, render


def refusal(source: str, **values: object) -> TemplateError:
    """Gives the error of a template that parses and does not render."""
    check(source)
    with pytest.raises(TemplateError) as caught:
        render(source, values, autoescape=False)
    return caught.value


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        ("ab {{ a", 1, 4, "expected '}}', found end of file"),
        ("a\n {% if %}{% endif %}", 2, 5, "missing expression"),
        ("a\n{{ a }}\n  {% for i in (1..5) %}", 3, 3, "expected tag endfor, found end of expression"),
        ("a\r\n  {% endfor %}", 2, 6, "unexpected tag 'endfor'"),
        ("{{ a }}{% %}", 1, 8, "missing tag name or closing delimiter"),
        ("{{ a }}\n{{ }}", 2, 1, "expected a primitive expression, found end of expression"),
        ("ä {{ 'open }}", 1, 6, 'unexpected "\'"'),
        ("a\n {{ a | upcase | nope }}", 2, 18, "unknown filter 'nope'"),
        ("{% liquid\n echo a\n nope\n%}", 3, 2, "unexpected tag 'nope'"),
        ("{% include 'a' %}", 1, 4, "unexpected tag 'include'"),
        ("{% render 'a' %}", 1, 4, "unexpected tag 'render'"),
    ],
)
def test_an_error_has_its_place(source: str, line: int, column: int, message: str) -> None:
    """What does not parse is refused with line, column and what is wrong, before it is ever rendered."""
    with pytest.raises(TemplateError) as caught:
        check(source)

    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value) == f"line {line}, column {column}: {message}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain", "plain"),
        ("} }} %}", "} }} %}"),
        ("{{ gone }}{{ gone.a[0].b }}", ""),
        ("{{ n }} {{ f }} {{ t }} {{ none }}", "3 0.5 true "),
        ("{% for i in list %}{{ i }},{% endfor %}", "1,2,"),
        ("{% raw %}{{ n }}{% endraw %}{% comment %}{{ n | nope }}{% endcomment %}", "{{ n }}"),
        ("{% assign x = 'a' %}{% capture y %}{{ x | upcase }}{% endcapture %}{{ y }}", "A"),
        ("{{ list | join }} {{ (1..3) | join: '-' }} {{ word | replace: 'o', 'oo' }}", "1 2 1-2-3 woord"),
        ("{{ list | map: 'x' | join }}{{ gone | join: ', ' }}{{ gone | replace: 'a', 'b' }}", ""),
    ],
)
def test_a_template_renders(source: str, expected: str) -> None:
    """Variables, loops and filters do what Liquid says; what is not there renders as nothing."""
    values: dict[str, object] = {"n": 3, "f": 0.5, "t": True, "none": None, "list": [1, 2], "word": "word"}
    values["list"] = [1, 2] if "map" not in source else []

    check(source)
    assert render(source, values, autoescape=False) == expected


def test_escaping_is_a_matter_of_the_call() -> None:
    """The same template is escaped or not; what the author wrote never is."""
    source = "<p>{{ a }}</p>"

    assert render(source, {"a": "<b>&"}, autoescape=True) == "<p>&lt;b&gt;&amp;</p>"
    assert render(source, {"a": "<b>&"}, autoescape=False) == "<p><b>&</p>"


@pytest.mark.parametrize(
    "path",
    [
        "d.__class__",
        "d['__class__']",
        "d.__class__.__mro__",
        "d.items",
        "d.keys",
        "d.get",
        "d.pop",
        "s.upper",
        "s.format",
        "s.__class__",
        "l.append",
        "l.__len__",
        "n.real",
        "n.__class__",
        "l[0].__class__",
        "forloop.__class__",
    ],
)
@pytest.mark.parametrize("autoescape", [False, True])
def test_python_is_out_of_reach(path: str, autoescape: bool) -> None:
    """No path leads from a value to an attribute or a method of its class."""
    values = {"d": {"a": 1}, "s": "text", "l": [1], "n": 1}
    source = f"{{% for i in l %}}{{{{ {path} }}}}{{{{ {path} | upcase }}}}{{% endfor %}}"

    assert render(source, values, autoescape=autoescape) == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for i in (1..1000000) %}{{ i }}{% endfor %}", "line 1, column 4: loop iteration limit reached"),
        (
            "a\n{% for i in (1..200) %}{% for j in (1..200) %}{% endfor %}{% endfor %}",
            "line 2, column 4: loop iteration limit reached",
        ),
        ("{% tablerow i in (1..1000000) %}{% endtablerow %}", "line 1, column 4: loop iteration limit reached"),
        (
            "{% assign b = a %}{% for i in (1..40) %}{% assign b = b | append: b %}{% endfor %}",
            "line 1, column 44: local namespace limit reached",
        ),
        (
            "{% assign b = 3 %}{% for i in (1..40) %}{% assign b = b | times: b %}{% endfor %}",
            "line 1, column 44: local namespace limit reached",
        ),
        ("{{ (1..99999999) | join: ',' }}", "line 1, column 20: join: a range has at most 10000 items here"),
        ("{{ (1..99999999) | sum }}", "line 1, column 20: sum: a range has at most 10000 items here"),
        ("{{ a | split: '' | join: a }}", "line 1, column 20: join: makes more than 262144 characters"),
        ("{{ list | join }}", "line 1, column 11: join: makes more than 262144 characters"),
        ("{{ a | replace: 'a', a }}", "line 1, column 8: replace: makes more than 262144 characters"),
        ("{{ a | replace: '', a }}", "line 1, column 8: replace: makes more than 262144 characters"),
    ],
)
def test_a_runaway_is_stopped(source: str, message: str) -> None:
    """Loops, variables and what filters make of ranges and texts are bounded."""
    values: dict[str, object] = {"a": "a" * 1000, "list": ["a" * 100_000] * 3}
    check(source)

    with pytest.raises(TemplateError) as caught:
        render(source, values, autoescape=True)

    assert not isinstance(caught.value, OutputTooLarge)
    # Where an assignment fails depends on its tag; the place is in the line that has it.
    assert str(caught.value).split(": ", 1)[1] == message.split(": ", 1)[1]


@pytest.mark.parametrize(
    "source", ["{% for i in (1..9000) %}{{ a }}{% endfor %}", "{{ a }}" * 300, "{{ a | append: a }}" * 300]
)
def test_output_is_bounded(source: str) -> None:
    """Output beyond 256 KiB is an error of its own, since the template is not at fault for all values."""
    assert isinstance(refusal(source, a="a" * 1000), OutputTooLarge)
    assert render(source, {"a": "a"}, autoescape=False)


def test_output_may_have_256_kib() -> None:
    """The limit itself is allowed."""
    assert len(render("{{ a }}", {"a": "a" * MAX_OUTPUT_BYTES}, autoescape=False)) == MAX_OUTPUT_BYTES
    assert isinstance(refusal("{{ a }}", a="a" * (MAX_OUTPUT_BYTES + 1)), OutputTooLarge)
    assert isinstance(refusal("{{ a }}", a="ä" * (MAX_OUTPUT_BYTES // 2 + 1)), OutputTooLarge)


@pytest.mark.parametrize(
    ("source", "value", "message"),
    [
        ("{{ a }}", 10**5000, "a filter refused its input"),
        ("{{ a | times: a }}", 10**4000, "a filter refused its input"),
        ("{{ (1..a) | join }}", 10**30, "a filter refused its input"),
        ("{{ 1 | divided_by: 0 }}", None, "divided_by: can't divide by 0"),
        ("{{ a | truncate: 'x' }}", "a", "a filter refused its input"),
        ("{{ a | upcase: 1, 2 }}", "a", "a filter refused its input"),
        ("{{ a | sort }}", [1, "x", None], "a filter refused its input"),
        ("{{ a | base64_decode }}", "ä", "a filter refused its input"),
    ],
    # Counted, since an integer of 5,000 digits has no text form.
    ids=range(8),
)
def test_a_value_that_a_filter_cannot_take_is_an_error_of_the_template(
    source: str, value: object, message: str
) -> None:
    """Whatever a filter raises ends as a TemplateError."""
    assert message in str(refusal(source, a=value))


def test_a_loop_of_many_tags_may_go_round_less_often() -> None:
    """What a loop may do is bounded by its tags too: 9,999 rounds of one tag are allowed, of 2,000 are not."""
    assert render("{% for i in (1..9999) %}{% if i == 0 %}{% endif %}{% endfor %}", {}, autoescape=False) == ""
    body = "{% if i == 0 %}{% endif %}" * 1000
    assert "loop iteration limit reached" in str(refusal("{% for i in (1..9999) %}" + body + "{% endfor %}"))
    assert render("{% for i in (1..100) %}" + body + "{% endfor %}", {}, autoescape=False) == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% if a %}" * 500 + "{% endif %}" * 500, "block nesting limit reached"),
        ("{{ " + "a[" * 3000 + "1" + "]" * 3000 + " }}", "is nested too deeply"),
        ("{% if " + "a and " * 3000 + "a %}{% endif %}", "is nested too deeply"),
        ("{{ " + "(1.." * 3000 + "1" + ")" * 3000 + " }}", "is nested too deeply"),
    ],
    ids=["tags", "brackets", "conditions", "ranges"],
)
def test_deep_nesting_is_refused(source: str, message: str) -> None:
    """A template that would overflow the stack is refused when it is put, and when it is rendered."""
    with pytest.raises(TemplateError, match=message):
        check(source)
    with pytest.raises(TemplateError, match=message):
        render(source, {}, autoescape=False)


@pytest.mark.parametrize("depth", range(400, 1100, 50))
def test_no_depth_gets_past_the_limits(depth: int) -> None:
    """Between what is fine and what is refused there is no depth at which anything else happens."""
    source = "{{ " + "a[" * depth + "1" + "]" * depth + " }}"

    # Where the stack ends depends on how deep the test itself runs.
    with contextlib.suppress(TemplateError):
        check(source)
        assert render(source, {"a": {}}, autoescape=False) == ""


@pytest.mark.parametrize(
    ("start", "unit", "end", "message"),
    [
        ("", "{{", "", "line 1, column 1: expected '}}', found end of file"),
        ("{{ a }}", "{", "", "line 1, column 8: expected '}}', found end of file"),
        ("", "{% a ", "", "line 1, column 1: expected '%}', found end of file"),
        ("", "{% raw %}", "", "line 1, column 1: expected 'endraw', found end of file"),
        ("\n", "{%- doc %}", "", "line 2, column 1: expected 'enddoc', found end of file"),
        ("{% comment %}", "{{", "{% endcomment %}", "line 1, column 14: expected '}}', found end of file"),
        ("{{ a", " ", "}}", "line 1, column 1: has too many spaces or brackets"),
        ("{% liquid", "\n\t", "%}", "line 1, column 1: has too many spaces or brackets"),
        ("{% if ", "( ", "%}{% endif %}", "line 1, column 1: has too many spaces or brackets"),
    ],
)
def test_what_the_lexer_is_slow_at_is_refused(start: str, unit: str, end: str, message: str) -> None:
    """Text that would take the lexer minutes is refused before it is parsed."""
    with pytest.raises(TemplateError) as caught:
        check(start + unit * 50_000 + end)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (" " * 5000 + "{{ a }}" + "\n" * 5000, " " * 5000 + "1" + "\n" * 5000),
        ("{{ a" + " " * 90 + "}}", "1"),
        ("{% raw %}" + "{{" * 50 + "{% endraw %}", "{{" * 50),
        ("{{ a }}" * 5000, "1" * 5000),
    ],
)
def test_what_people_write_is_not_taken_for_slow(source: str, expected: str) -> None:
    """Space around tags, some space in them, and open braces in raw text are fine."""
    check(source)
    assert render(source, {"a": 1}, autoescape=False) == expected


@pytest.mark.parametrize("tag", ["{{ a | upcase | default: 'x' }}", "{% if a %}{{ b }}{% endif %}"])
def test_a_large_template_checks(tag: str) -> None:
    """256 KiB of thousands of tags are checked, and an error at their end is found."""
    source = tag * (MAX_OUTPUT_BYTES // len(tag) - 1)

    check(source)
    with pytest.raises(TemplateError) as caught:
        check(source + "\n{% for %}")

    assert caught.value.line == 2


def test_ever_new_texts_take_no_more_memory() -> None:
    """However many texts come and however long they are, what is held parsed has a bound; the last used stay."""
    texts = ParsedTexts(200_000)
    kept = texts.get("{{ kept }}")

    for i in range(1000):
        texts.get(f"{{{{ a{i} }}}}")
        assert texts.get("{{ kept }}") is kept
        assert texts.size <= 200_000
    assert len(texts) < 200_000 / len("{{ a }}") / 50

    too_long = "{{ a }}" * 1000
    assert texts.get(too_long).templates[False].render(a=1) == "1" * 1000
    assert (texts.size, len(texts)) == (0, 0)
