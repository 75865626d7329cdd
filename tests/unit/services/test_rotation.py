from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.environments.model import Environment, Secret

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
DAY = timedelta(days=1)
NEW = Secret("new", "secret-new", NOW)


def test_a_rotation_ends_the_old_secrets() -> None:
    """Every old secret ends at the time given, or earlier where it would have; the new one does not; dead ones go."""
    environment = Environment(
        "dev",
        (
            Secret("dead", "a", NOW - DAY, NOW),
            Secret("ending", "b", NOW - DAY, NOW + timedelta(hours=1)),
            Secret("later", "c", NOW - DAY, NOW + 2 * DAY),
            Secret("endless", "d", NOW - DAY),
        ),
    )

    rotated = environment.rotated(NEW, expire_time=NOW + DAY)

    assert {secret.key_id: secret.expire_time for secret in rotated} == {
        "ending": NOW + timedelta(hours=1),
        "later": NOW + DAY,
        "endless": NOW + DAY,
        "new": None,
    }


def test_a_rotation_can_end_them_at_once() -> None:
    """Where nothing of the old is to go on, only the new secret is left."""
    environment = Environment("dev", (Secret("old", "a", NOW - DAY),))

    assert environment.rotated(NEW, expire_time=NOW) == (NEW,)
