"""The bodies of forms: small, and read in a time that has an end."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict

from gateway.http.reading import read_body

if TYPE_CHECKING:
    from fastapi import Request

MAX_BODY_BYTES = 16 * 1024
_READ_S = 10.0


async def read_form(request: Request) -> ImmutableMultiDict[str, str]:
    """Reads the fields of a form of type application/x-www-form-urlencoded; a body of another type has none of ours.

    Raises:
        HTTPException: If it is too large, or does not come.
    """
    body = await read_body(request, max_bytes=MAX_BODY_BYTES, within_s=_READ_S)
    return ImmutableMultiDict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
