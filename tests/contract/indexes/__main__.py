"""Explains every query on ``messages`` over 200,000 of them, and prints what each costs: ``make explain``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from services.app import Stores
from services.kernel.crypto import SecretBox
from services.kernel.mongo import open_client
from services.kernel.mongod import LocalMongod
from tests.contract.indexes.cases import CASES
from tests.contract.indexes.collection import fill
from tests.contract.indexes.explainer import Explainer

_SIZE = 200_000
_USERS = 200


async def main() -> int:
    """Tells of how many queries cost more than they may."""
    console = Console()
    table = Table("query", "indexes", title=f"{_SIZE:,} messages of {_USERS} users")
    for name in ("keys", "documents", "returned", "ms"):
        table.add_column(name, justify="right")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        async with LocalMongod(Path(folder)) as mongod:
            uri = mongod.uri.replace("/?", "/carillon?")
            explainer = Explainer(uri)
            async with open_client(uri, event_listeners=[explainer]) as client:
                stores = Stores(client, SecretBox(bytes(32)))
                await stores.ensure_indexes()
                with Progress(console=console) as progress:
                    task = progress.add_task("Storing messages", total=_SIZE)
                    collection = await fill(
                        client.get_default_database(),
                        size=_SIZE,
                        users=_USERS,
                        on_progress=lambda done: progress.update(task, completed=done),
                    )
                for case in CASES:
                    with explainer.recording() as plans:
                        await case.run(stores, collection)
                    problems = case.problems(plans, collection)
                    failed += bool(problems)
                    totals = (sum(getattr(plan, name) for plan in plans) for name in _FIGURES)
                    table.add_row(
                        case.name,
                        ", ".join(sorted({access for plan in plans for access in plan.accesses})),
                        *(f"{total:,}" for total in totals),
                    )
                    for problem in problems:
                        table.add_row("", f"[red]{problem}")
            explainer.close()
    console.print(table)
    return failed


_FIGURES = ("keys", "docs", "returned", "milliseconds")

if __name__ == "__main__":
    sys.exit(min(asyncio.run(main()), 1))
