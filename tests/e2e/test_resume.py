"""Resuming, as a whole: whatever is lost, killed and cut, every client ends with what the database has.

``CARILLON_RESUME_SEED=N`` repeats the choices of a run whose seed was printed, though not its timing. `make resume` is
the same for longer.
"""

from __future__ import annotations

import os
import secrets
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.e2e.resume.accounts import Accounts
from tests.e2e.resume.machine import ResumeMachine, running_rig

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = settings(
    max_examples=8,
    stateful_step_count=40,
    database=None,  # what is found depends on time as well: to repeat the choices is seldom to repeat the failure
    phases=[Phase.generate],  # for the same reason: a smaller example would rarely fail again, after many minutes
    deadline=None,
    suppress_health_check=list(HealthCheck),  # real processes are slow, and are killed besides
    print_blob=False,
    report_multiple_bugs=False,
)


@pytest.mark.timeout(900)
def test_every_client_knows_everything(tmp_path: Path) -> None:
    """At every quiet point each client holds what the database has, and every resume is full or has its cause."""
    chosen = int(os.environ.get("CARILLON_RESUME_SEED") or secrets.randbelow(1 << 32))
    accounts = Accounts()
    sys.stderr.write(f"CARILLON_RESUME_SEED={chosen}\n")
    try:
        with running_rig(tmp_path) as (loop, rig):
            machine = seed(chosen)(partial(ResumeMachine, loop, rig, accounts))
            run_state_machine_as_test(machine, settings=SETTINGS)  # type: ignore[arg-type] # what makes one will do
    finally:
        sys.stderr.write("\n".join(("", *accounts.lines(), "")))

    assert accounts.full, "no client was ever told what it had missed"
