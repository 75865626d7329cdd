"""What their SDKs send: JSON, whatever its Content-Type says, and with fields that we do not know."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from gateway.http.reading import read_body

if TYPE_CHECKING:
    from fastapi import Request

MAX_BODY_BYTES = 6 * 1024 * 1024
MAX_TOKENS = 200_000
"""How many texts, opening brackets and commas a body may have, so that nobody waits for who sends a million of them.

The largest send that the services take has fewer.
"""

MAX_ELEMENTS = 1000
"""More of one kind the services do not take."""

_READ_S = 30.0
_OBJECT = "must be an object"
# Of a long list every one may be wrong.
_MAX_PROBLEMS = 100

# A text that does not end ends with the body. Nothing is tried twice.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?|[,\[{]', re.DOTALL)

M = TypeVar("M", bound=BaseModel)


def _few(value: Any) -> Any:
    if isinstance(value, list | dict) and len(value) > MAX_ELEMENTS:
        problem = {"most": MAX_ELEMENTS, "count": len(value)}
        raise PydanticCustomError("too_many", "must be at most {most}, but are {count}", problem)
    return value


FEW = BeforeValidator(_few)
"""Of a list or an object: a longer one than the services take is refused before its elements are looked at."""


class Lenient(BaseModel):
    """A body, or a part of one; what it does not know is kept, in ``model_extra``."""

    model_config = ConfigDict(extra="allow", frozen=True)


async def read_json(request: Request) -> Any:
    """Reads the body; None where there is none.

    The documented C# class writes its JSON into a JSON string: that is read once more.

    Raises:
        HTTPException: If it is too large, does not come, or is no JSON.
    """
    raw = await read_body(request, max_bytes=MAX_BODY_BYTES, within_s=_READ_S)
    if not raw.strip():
        return None
    value = _parse(raw)
    return _parse(value.encode()) if isinstance(value, str) else value


def checked(model: type[M], value: object) -> M:
    """Gives a body as a model.

    Raises:
        RequestValidationError: If it is none; all that is wrong is named, by its place in the body.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            # Pydantic's own words name our class.
            [
                {**one, "loc": ("body", *one["loc"]), "msg": _OBJECT if one["type"] == "model_type" else one["msg"]}
                for one in problems[:_MAX_PROBLEMS]
            ]
        ) from None


def unknown_fields(body: Lenient) -> dict[str, Any]:
    """Gives what a body has that its models do not name, each in its place; of lists, by the number of the place."""
    found = {name: value for name, value in (body.model_extra or {}).items() if value is not None}
    for name in body.model_fields_set & set(type(body).model_fields):
        if part := _unknown(getattr(body, name)):
            found[name] = part
    return found


def _unknown(value: Any) -> dict[str, Any]:
    if isinstance(value, Lenient):
        return unknown_fields(value)
    if isinstance(value, list):
        return {str(i): part for i, one in enumerate(value) if (part := _unknown(one))}
    return {}


def json_body(model: type[BaseModel], *, example: Any = None, is_required: bool = True) -> dict[str, Any]:
    """Gives what OpenAPI is told of a body that is read by ``read_json``: as ``openapi_extra`` of its route."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, dict):
            if reference := part.get("$ref"):
                return inline(definitions[reference.rpartition("/")[2]])
            return {name: inline(value) for name, value in part.items()}
        return [inline(one) for one in part] if isinstance(part, list) else part

    content = {"schema": inline(schema), **({} if example is None else {"example": example})}
    return {
        "requestBody": {
            "description": "JSON, whatever its Content-Type says. A field that is not known is no error.",
            "required": is_required,
            "content": {"application/json": content},
        }
    }


def _parse(raw: bytes) -> Any:
    if _has_too_much(raw):
        raise HTTPException(
            400, f"the body must be smaller: it has more than {MAX_TOKENS} texts, brackets and commas together"
        )
    try:
        # Not left to json, which takes half a character for one, and UTF-16.
        value = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant)
        # JSON can hold half a character ("\ud800"), protobuf cannot.
        if rb"\ud" in raw.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise HTTPException(400, "the body is not JSON: it must be UTF-8") from None
    except UnicodeEncodeError:
        raise HTTPException(400, "the body must be valid Unicode, but has an unpaired surrogate") from None
    except RecursionError:
        raise HTTPException(400, "the body is nested too deep") from None
    except ValueError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from None
    return value


def _has_too_much(raw: bytes) -> bool:
    # Commas within texts are among these, so this can only be too many.
    if sum(map(raw.count, (b'"', b",", b"[", b"{"))) <= MAX_TOKENS:
        return False
    return next(islice(_TOKEN.finditer(raw), MAX_TOKENS, None), None) is not None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
