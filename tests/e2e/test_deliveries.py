"""Workers that are killed while they deliver: nothing is lost, and what came twice is in the log as unknown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.deliveries.run import deliver_and_kill

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = 1200


def show(line: str) -> None:
    """Shows how far it is, where the test fails."""
    sys.stderr.write(line + "\n")


@pytest.mark.timeout(400)
async def test_workers_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    """Every message is sent on all four channels, whatever is killed, refused or left without an answer meanwhile."""
    account = await deliver_and_kill(tmp_path, count=MESSAGES, seed=7, report=show)

    show("\n".join(account.lines()))
    assert account.problems == []
    assert account.kills >= 1
    assert account.refused_mails > 0
    assert account.unanswered_mails > 0
    assert account.states == {"SENT": 4 * MESSAGES}
