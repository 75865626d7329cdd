from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.requests import Request

from gateway.http.notificationapi.bodies import (
    FEW,
    MAX_BODY_BYTES,
    MAX_ELEMENTS,
    MAX_TOKENS,
    Lenient,
    checked,
    json_body,
    read_json,
    unknown_fields,
)

if TYPE_CHECKING:
    from starlette.types import Message


class Part(Lenient):
    """A part of a body."""

    a: int = 0


class Body(Lenient):
    """A body."""

    one: Part | None = None
    many: list[Part] | None = None
    text: str = ""


def request(*chunks: bytes, is_whole: bool = True, content_type: str = "") -> Request:
    """Makes a request whose body comes in these chunks; one that is not whole ends with the connection."""
    messages: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": not is_whole or i < len(chunks) - 1}
        for i, chunk in enumerate(chunks)
    ]
    messages.append({"type": "http.disconnect"})

    async def receive() -> Message:
        return messages.pop(0)

    headers = [(b"content-type", content_type.encode())] if content_type else []
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "image/png"],
)
async def test_a_body_is_json_whatever_its_type_says(content_type: str) -> None:
    """In any number of chunks."""
    assert await read_json(request(b'{"a"', b": 1", b"}", content_type=content_type)) == {"a": 1}


@pytest.mark.parametrize("content", [b"", b" \n", b"null"])
async def test_no_body_is_none(content: bytes) -> None:
    """Nothing, blanks and null."""
    assert await read_json(request(content)) is None


async def test_a_byte_order_mark_is_passed_over() -> None:
    """Some editors and frameworks of Windows begin with one."""
    assert await read_json(request(b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}


async def test_json_in_a_json_text_is_read_once_more() -> None:
    """As the documented C# class writes it; once, not for ever."""
    assert await read_json(request(json.dumps('{"a": "é"}').encode())) == {"a": "é"}
    assert await read_json(request(json.dumps(json.dumps('"x"')).encode())) == '"x"'


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"a=1",
        b"NaN",
        b'{"a": Infinity}',
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b'"\\ud800"',
        b'{"\\uDFFF": 1}',
        b"9" * 5000,
        b'"text"',
        # Half a character as bytes, and in encodings that JSON may not have.
        b'{"a": "\xed\xa0\x80"}',
        '{"a": "\\ud800"}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        '{"a": 1}'.encode("utf-32"),
    ],
)
async def test_what_is_no_json_is_refused(content: bytes) -> None:
    """With 400, whatever it is; half a character is none that protobuf carries."""
    with pytest.raises(HTTPException) as refused:
        await read_json(request(content))
    assert refused.value.status_code == 400


async def test_a_body_has_a_largest_size() -> None:
    """To the byte, and without waiting for the rest."""
    fits = b'"' + b"1" * (MAX_BODY_BYTES - 2) + b'"'
    with pytest.raises(HTTPException) as refused:
        await read_json(request(fits, b" "))
    assert refused.value.status_code == 413
    with pytest.raises(HTTPException) as refused:
        await read_json(request(fits))
    assert refused.value.status_code == 400


@pytest.mark.parametrize(
    ("unit", "tokens"),
    [(b"1", 1), (b"[]", 2), (b'""', 2), (b'{"a":""}', 4), (b'"[[[,,{{"', 2), (b'"\\",\\\\"', 2)],
    ids=["numbers", "lists", "texts", "objects", "marks in texts", "quotes in texts"],
)
async def test_a_body_holds_only_so_much(unit: bytes, tokens: int) -> None:
    """However small the parts are; what is inside of texts does not count."""
    most = MAX_TOKENS // tokens
    assert len(await read_json(request(b"[" + b",".join([unit] * (most - 1)) + b"]"))) == most - 1
    with pytest.raises(HTTPException) as refused:
        await read_json(request(b"[" + b",".join([unit] * (most + 1)) + b"]"))
    assert refused.value.status_code == 400
    assert str(MAX_TOKENS) in refused.value.detail


@pytest.mark.parametrize(
    "body",
    [
        b'"' * MAX_BODY_BYTES,
        b'"' + b'\\"' * (MAX_BODY_BYTES // 2 - 1),
        b'"' + b"\\" * (MAX_BODY_BYTES - 1),
        b"[1," * 2_000_000,
    ],
    ids=["quotes", "escaped quotes", "backslashes", "open lists"],
)
async def test_what_only_looks_like_json_is_refused_at_once(body: bytes) -> None:
    """To look for where a text ends takes one pass, also where it never ends."""
    with pytest.raises(HTTPException) as refused:
        await read_json(request(body))
    assert refused.value.status_code == 400


def test_a_long_list_is_not_looked_at() -> None:
    """All that is said of it is how long it is; to say what is wrong with each would take seconds."""

    class Few(Lenient):
        many: Annotated[list[Part], FEW] | None = None
        named: Annotated[dict[str, str] | None, FEW] = None

    assert checked(Few, {"many": [{}] * MAX_ELEMENTS}).many
    too_many = MAX_ELEMENTS + 1
    with pytest.raises(RequestValidationError) as refused:
        checked(Few, {"many": [7] * too_many, "named": {str(i): 7 for i in range(too_many)}})
    assert [(one["loc"], one["msg"]) for one in refused.value.errors()] == [
        (("body", "many"), f"must be at most {MAX_ELEMENTS}, but are {too_many}"),
        (("body", "named"), f"must be at most {MAX_ELEMENTS}, but are {too_many}"),
    ]


async def test_a_body_that_breaks_off_is_refused() -> None:
    """400, as nobody knows the rest."""
    with pytest.raises(HTTPException) as refused:
        await read_json(request(b'{"a": 1}', is_whole=False))
    assert refused.value.status_code == 400


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ({"one": {"a": "x"}, "many": [{}, {"a": []}]}, [("one", "a"), ("many", 1, "a")]),
        ({"one": 7}, [("one",)]),
        ([], [()]),
        (None, [()]),
    ],
)
def test_all_that_is_wrong_is_named_by_its_place(value: object, places: list[tuple[str | int, ...]]) -> None:
    """And no name of a class of ours is told."""
    with pytest.raises(RequestValidationError) as refused:
        checked(Body, value)
    assert [one["loc"] for one in refused.value.errors()] == [("body", *place) for place in places]
    assert not any("Body" in one["msg"] or "Part" in one["msg"] for one in refused.value.errors())


def test_a_hundred_problems_are_enough() -> None:
    """Of a long list every one may be wrong."""
    with pytest.raises(RequestValidationError) as refused:
        checked(Body, {"many": [7] * 10_000})
    assert len(refused.value.errors()) == 100


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5).filter(lambda name: name not in Body.model_fields), JSON, max_size=5))
def test_unknown_fields_are_kept_but_null(extra: dict[str, Any]) -> None:
    """As they came; what is known is not among them."""
    body = checked(Body, {"text": "x", **extra})
    assert unknown_fields(body) == {name: value for name, value in extra.items() if value is not None}


def test_unknown_fields_of_parts_stand_where_they_stood() -> None:
    """Of a list by the number of the place."""
    body = checked(Body, {"one": {"a": 1, "b": 2}, "many": [{"a": 1}, {"c": [3]}], "d": None})
    assert unknown_fields(body) == {"one": {"b": 2}, "many": {"1": {"c": [3]}}}


def test_openapi_is_told_of_a_body_without_references() -> None:
    """Parts are written out, as a route's own schema has no place for definitions."""

    class Strict(BaseModel):
        part: Part

    schema = json_body(Strict)["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["part"]["properties"]["a"]["type"] == "integer"
    assert "$ref" not in json.dumps(json_body(Body, example=[1]))
