"""The goal on each simulated server, with one seed and few fixed settings; benchmarks/concurrency.py runs them all."""

import pytest

from benchmarks.concurrency import GOAL, Row, measure
from benchmarks.server_profiles import OTHERS, PROFILES, Profile, Worker
from worker.concurrency.controller import ConcurrencyController, Decision

NEAR_THE_BEST = {  # fixed settings worth trying, as benchmarks/concurrency.py found them
    "fast": (28, 32),
    "slow": (3, 4, 5, 6),
    "batch-friendly": (28, 32),
    "serial": (1, 2, 4, 8),
    "memory-limited": (8, 10, 12),
    "degrading": (16, 24, 32),
    "memory unseen": (8, 10, 12),
}


def measured(profile: Profile) -> Row:
    settings = (1, *NEAR_THE_BEST[profile.name], 32)
    return measure(profile, range(2, 3), tuple(sorted(set(settings))))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_controller_is_as_good_as_the_best_fixed_setting(profile: Profile) -> None:
    row = measured(profile)
    assert row.ratio >= GOAL, row
    assert row.reached <= 60, row
    assert row.lost == 0, row
    assert row.changes < 3, row


def test_no_job_is_lost_where_memory_cannot_be_seen() -> None:
    row = measured(OTHERS[1])
    assert row.lost == 0, row
    assert row.ratio >= 0.85, row


def test_a_serial_server_is_not_given_a_long_line() -> None:
    assert measure(PROFILES[3], range(1, 5), (1, 2, 4)).limit < 8  # of 32; there is next to nothing to gain above 2


class Greedy(ConcurrencyController):
    """Grows whatever happens."""

    def decide(self, now: float, *, running: int, memory: float | None = None) -> Decision:  # noqa: ARG002 (its own way)
        self.limit = min(32, 2 + int(now / 5))
        return Decision(self.limit)


@pytest.mark.parametrize("name", ["slow", "memory-limited"])
def test_the_simulation_punishes_greed(name: str) -> None:
    profile = next(one for one in PROFILES if one.name == name)
    assert Worker(profile, 1, controller=Greedy(most=32)).run(900.0).lost > 0


def test_a_simulation_repeats_itself() -> None:
    first, second = (Worker(PROFILES[5], 3, controller=ConcurrencyController(most=32)).run(400.0) for _ in range(2))
    assert first.limits == second.limits
    assert first.tokens == second.tokens
