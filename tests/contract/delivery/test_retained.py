"""What the libraries keep of each push: nothing."""

from __future__ import annotations

import pytest

from tests.bench.soak import SOAKED, Soaked, opened, trusted
from tests.providers.retained import Objects, kept_of_each

pytestmark = pytest.mark.asyncio(loop_scope="session")

WARM_UP, PUSHES = 500, 2_500


@pytest.mark.parametrize("soaked", SOAKED, ids=lambda soaked: soaked.name)
@pytest.mark.timeout(400)  # 12 s on an idle machine
async def test_nothing_is_kept_of_a_push(soaked: Soaked) -> None:
    """After a warm-up, 5,000 pushes leave no object behind that there was not before."""
    with trusted() as authority:
        async with opened(soaked, authority) as run:
            await run(WARM_UP)
            readings = [Objects.now()]
            for _ in range(2):
                await run(PUSHES)
                readings.append(Objects.now())

    assert kept_of_each(readings, calls=PUSHES) == {}
