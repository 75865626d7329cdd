"""Arbitrary messages, drawn from the descriptors: every field absent, ordinary, at an edge or out of range."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

_TEXTS = st.sampled_from(
    ["", "a", "default", "order_tracking", "en", "pt-BR", "a b", "\n", "ä" * 130, "{{ a }}", "{{ a", "{% for %}", "+12"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: _TEXTS,
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
}


def messages(kind: type[M]) -> st.SearchStrategy[M]:
    """Draws messages of a type; what is nested deeply in one is mostly left out."""
    return _drawn(kind.DESCRIPTOR, 3).map(lambda message: cast("M", message))


@cache
def _drawn(descriptor: Descriptor, depth: int) -> st.SearchStrategy[Message]:
    @st.composite
    def draw_message(draw: st.DrawFn) -> Message:
        message: Any = GetMessageClass(descriptor)()
        for field in draw(st.lists(st.sampled_from(list(descriptor.fields)), max_size=6)) if descriptor.fields else ():
            if field.message_type is not None and depth == 0:
                continue
            if field.is_repeated:
                _fill_repeated(getattr(message, field.name), field, draw, depth)
            elif field.message_type is not None:
                getattr(message, field.name).CopyFrom(draw(_drawn(field.message_type, depth - 1)))
            else:
                setattr(message, field.name, draw(_scalar(field)))
        return cast("Message", message)

    return draw_message()


def _fill_repeated(container: Any, field: FieldDescriptor, draw: st.DrawFn, depth: int) -> None:
    for _ in range(draw(st.integers(0, 2))):
        if field.message_type is None:
            container.append(draw(_scalar(field)))
        elif field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            if value.message_type is None:
                container[draw(_TEXTS)] = draw(_scalar(value))
            else:
                container[draw(_TEXTS)].CopyFrom(draw(_drawn(value.message_type, depth - 1)))
        else:
            container.append(draw(_drawn(field.message_type, depth - 1)))


@cache
def _scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        known = [value.number for value in field.enum_type.values]
        return st.sampled_from(known) | st.sampled_from([-1, 99, 2**31 - 1])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=4)
    return _SCALARS[field.cpp_type]
