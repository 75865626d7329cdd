"""Examples that are kept as text: sources for an SDK to run, and requests to send byte for byte."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.kernel.auth import user_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.stack import Stack

EXAMPLES = Path(__file__).parent / "examples"
ANSWER_S = 30.0
_NAME = re.compile(r"^(?://|#|###) (\w+)\n", re.MULTILINE)
_CREDENTIAL = re.compile(r"CREDENTIAL\((.*?)\)")


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    body: bytes

    @property
    def data(self) -> Any:
        """The body as JSON; None where there is none."""
        return json.loads(self.body) if self.body else None


def read_examples(file: str) -> dict[str, str]:
    """Gives the examples of a file by their names."""
    _, *parts = _NAME.split((EXAMPLES / file).read_text())
    return dict(zip(parts[::2], parts[1::2], strict=True))


async def replay(stack: Stack, example: str, **values: str) -> Response:
    """Sends a request as it stands, with the places filled in that differ from stack to stack."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.http_port)
    try:
        writer.write(_fill(stack, example, values))
        async with asyncio.timeout(ANSWER_S):
            status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
    finally:
        writer.close()
        await writer.wait_closed()
    return Response(int(status_line.split()[1]), body)


def _fill(stack: Stack, example: str, values: Mapping[str, str]) -> bytes:
    def credential(match: re.Match[str]) -> str:
        user_id = match[1]
        words = [user_id, user_hash(stack.client_secret, user_id)] if user_id else [stack.client_secret]
        return base64.b64encode(":".join([stack.client_id, *words]).encode()).decode()

    text = _CREDENTIAL.sub(credential, example.strip("\n"))
    places = {"CLIENT_ID": stack.client_id, "HOST": f"127.0.0.1:{stack.http_port}", **values}
    for place, value in places.items():
        text = text.replace(place, value)
    head, _, body = text.partition("\n\n")
    head = head.replace("LENGTH", str(len(body.encode()))).replace("\n", "\r\n")
    return f"{head}\r\n\r\n{body}".encode()
