"""The bodies of forms: small, and read in a time that has an end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from fastapi import HTTPException
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from fastapi import Request

MAX_BODY_BYTES = 16 * 1024
_READ_S = 10.0


async def read_form(request: Request) -> ImmutableMultiDict[str, str]:
    """Reads the fields of a form of type application/x-www-form-urlencoded; a body of another type has none of ours.

    Raises:
        HTTPException: If it is too large, or does not come.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise HTTPException(413, f"the body may have {MAX_BODY_BYTES} bytes")
    except TimeoutError:
        raise HTTPException(408, "the body did not come in time") from None
    except ClientDisconnect:
        raise HTTPException(400, "the body is not whole") from None
    return ImmutableMultiDict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
