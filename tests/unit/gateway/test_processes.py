from __future__ import annotations

from gateway.processes import restart_delay_s


def test_a_process_that_keeps_dying_is_started_less_and_less_often() -> None:
    """The first death costs no time, and none costs more than ten seconds."""
    assert [restart_delay_s(deaths) for deaths in range(1, 9)] == [0, 0.5, 1, 2, 4, 8, 10, 10]
    assert restart_delay_s(2_000) == 10
