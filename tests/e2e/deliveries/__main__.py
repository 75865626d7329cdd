"""The long run of tests/e2e/test_deliveries.py: `make deliveries`."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.e2e.deliveries.run import deliver_and_kill


def main() -> None:
    """Runs it, and prints what was counted; ends with 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="make deliveries", description=__doc__)
    parser.add_argument("--messages", type=int, default=5000, help="how many messages to send")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="repeats the choices of a run")
    arguments = parser.parse_args()

    def report(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    report(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="carillon-deliveries-") as directory:
        run = deliver_and_kill(Path(directory), count=arguments.messages, seed=arguments.seed, report=report)
        account = asyncio.run(run)
    report("\n".join(account.lines()))
    if account.problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
