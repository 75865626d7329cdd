from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.server import spread


def test_many_closes_fill_the_time_evenly() -> None:
    """The first is at once, the last within the time, and all gaps are the same."""
    times = spread(2_000, over_s=5)

    gaps = {round(later - earlier, 9) for earlier, later in pairwise(times)}
    assert (times[0], gaps) == (0, {0.0025})
    assert 4.99 < times[-1] < 5


@pytest.mark.parametrize(("count", "last_s"), [(1, 0), (2, 0.005), (201, 1)])
def test_few_closes_do_not_take_the_time(count: int, last_s: float) -> None:
    """They come back at no more than 200 a second; one alone does not wait."""
    assert spread(count, over_s=5)[-1] == pytest.approx(last_s)


def test_no_closes_and_no_time() -> None:
    """Nothing takes nothing, and no time means all at once."""
    assert spread(0, over_s=5) == []
    assert spread(3, over_s=0) == [0, 0, 0]
