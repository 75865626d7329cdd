"""The long run of tests/e2e/test_resume.py: `make resume`."""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.resume.accounts import Accounts
from tests.e2e.resume.driver import USERS, Driver
from tests.e2e.resume.rig import run_rig


def main() -> None:
    """Runs until so many events have happened, and prints what was counted; ends with 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="make resume", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="how many changes of items to make")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="repeats the choices of a run")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {USERS} users with 3 clients each", flush=True)  # noqa: T201 - this is its output
    accounts, started = Accounts(), time.monotonic()

    def report() -> None:
        lasted_s = time.monotonic() - started
        events = accounts.events.total()
        happened, snapshots = accounts.happened, accounts.snapshots.total()
        kills = ", ".join(f"{happened[f'{part} kills']} {part}" for part in ("gateway", "mongod", "worker"))
        line = f"{lasted_s:6.0f} s {events:9,} events, {accounts.full:,} full, {snapshots:,} snapshots, kills: {kills}"
        print(line, flush=True)  # noqa: T201 - as above

    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="carillon-resume-") as directory:
            async with run_rig(Path(directory)) as rig:
                await Driver(rig, accounts, random.Random(arguments.seed), report).run(arguments.events)

    try:
        asyncio.run(run())
    finally:
        lasted_s = time.monotonic() - started
        sys.stdout.write("\n".join((*accounts.lines(), f"lasted:        {lasted_s:,.0f} s", "")))


if __name__ == "__main__":
    main()
