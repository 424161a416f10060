"""The tokens per second that a worker reports in its heartbeat."""

import pytest

from worker.concurrency.limiter import ConcurrencyLimiter, generated


@pytest.mark.parametrize(
    ("ended", "now", "rate"),
    [
        # two at once: 40 tokens each in 10 s
        ([(0.0, 10.0, 40), (0.0, 10.0, 40)], 10.0, 8.0),
        # of a request that began before the window counts what lies within
        ([(0.0, 120.0, 120)], 120.0, 1.0),
        # idle for longer than the window
        ([(0.0, 10.0, 40)], 100.0, 0.0),
        # the first request was short: not a spike
        ([(0.0, 0.1, 40)], 0.1, 40.0),
    ],
)
def test_the_rate_is_that_of_all_requests_together(
    ended: list[tuple[float, float, int]], now: float, rate: float
) -> None:
    assert generated(ended, now) == pytest.approx(rate)


def test_a_worker_whose_server_counts_no_tokens_reports_no_rate() -> None:
    limiter = ConcurrencyLimiter(most=2)
    limiter.job(60)()(0, None)
    assert limiter.status()["tokens_per_second"] is None
    limiter.job(60)()(12, None, 0.1)
    assert limiter.status()["tokens_per_second"] == pytest.approx(12, abs=1)
