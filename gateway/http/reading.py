"""Reading a body: no larger than it may be, and in a time that has an end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import HTTPException
from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from fastapi import Request


async def read_body(request: Request, *, max_bytes: int, within_s: float) -> bytes:
    """Reads a body.

    Raises:
        HTTPException: If it is too large, or does not come in time, or not whole.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise HTTPException(413, f"the body may have {max_bytes} bytes")
    except TimeoutError:
        raise HTTPException(408, "the body did not come in time") from None
    except ClientDisconnect:
        raise HTTPException(400, "the body is not whole") from None
    return bytes(body)
