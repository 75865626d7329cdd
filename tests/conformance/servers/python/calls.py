"""Calls the SDK's functions as the lines on standard input say, and writes what became of each to standard output."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import sys
from typing import Any

from notificationapi_python_server_sdk import notificationapi  # type: ignore[import-not-found] # not in our environment


class Printed(logging.Handler):
    """Keeps what the SDK logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one line."""
        self.lines.append(record.getMessage())


async def call(name: str = "", values: Any = (), source: str = "") -> Any:
    """Calls a function, or runs an example, which is one expression."""
    answer = eval(source) if source else getattr(notificationapi, name)(*values)
    return await answer if inspect.isawaitable(answer) else answer


def read(answer: Any) -> dict[str, Any]:
    """Tells what an answer is."""
    if answer is None:
        return {}
    return {"status": answer.status_code, "data": answer.json() if answer.content else ""}


async def main() -> None:
    """Calls until there are no more lines."""
    printed = Printed()
    logging.getLogger().addHandler(printed)
    for line in sys.stdin:
        printed.lines = []
        try:
            told = read(await call(**json.loads(line)))
        except Exception as error:  # whatever it throws is what is told
            told = {"thrown": repr(error)}
        sys.stdout.write(json.dumps({**told, "printed": printed.lines}) + "\n")
        sys.stdout.flush()


asyncio.run(main())
