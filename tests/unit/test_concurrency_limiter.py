"""The controller connected: requests measured, the prefetch count led, a fixed limit kept."""

import time

from tests.support.prefetch import Prefetch
from worker.concurrency.limiter import ConcurrencyLimiter


def test_a_new_worker_takes_few_jobs_whatever_the_pool_holds() -> None:
    prefetch = Prefetch(16)
    ConcurrencyLimiter(most=16).adjust(prefetch, running=0)
    assert prefetch.value == 2


def test_a_fixed_limit_is_kept_and_restored_after_a_reconnection() -> None:
    limiter = ConcurrencyLimiter(most=16, fixed=5)
    prefetch = Prefetch(16)
    limiter.adjust(prefetch, running=0)
    limiter.job(60)()(10, "timeout")
    limiter.adjust(prefetch, running=5)
    assert prefetch.value == 5
    again = Prefetch(16)  # what Celery makes of it when its connection is new
    limiter.adjust(again, running=5)
    assert again.value == 5
    assert limiter.status().items() >= {"limit": 5, "limit_reason": "fixed", "first_token_seconds": None}.items()


def test_a_worker_runs_no_more_jobs_than_fit_its_servers_memory() -> None:
    limiter, prefetch = ConcurrencyLimiter(most=16), Prefetch(16)
    limiter.adjust(prefetch, running=0, fitting=1)
    assert (prefetch.value, limiter.status()["limit_reason"]) == (1, "memory")
    fixed = ConcurrencyLimiter(most=16, fixed=5)  # the user's own limit wins
    fixed.adjust(prefetch, running=0, fitting=1)
    assert prefetch.value == 5


def test_a_failed_request_lowers_the_limit_and_says_why() -> None:
    limiter = ConcurrencyLimiter(most=16)
    prefetch = Prefetch(2)
    for _ in range(3):
        ended = limiter.job(60)()
        time.sleep(0.01)
        ended(20, None)
    limiter.job(60)()(0, "error")
    limiter.adjust(prefetch, running=2)
    assert prefetch.value == limiter.limit == 1
    assert "error" in str(limiter.status()["limit_reason"])


def test_answers_of_a_batching_server_raise_the_limit() -> None:
    """Each of two requests in flight takes as long as one alone would: more of them cost nothing."""
    limiter = ConcurrencyLimiter(most=16)
    prefetch = Prefetch(2)
    for _ in range(12):
        both = [limiter.job(60)(), limiter.job(60)()]
        time.sleep(0.01)
        for ended in both:
            ended(20, None)
        limiter.adjust(prefetch, running=limiter.limit)
    assert prefetch.value == limiter.limit > 2


def test_ending_twice_counts_once() -> None:
    limiter = ConcurrencyLimiter(most=16)
    ended = limiter.job(60)()
    ended(5, None)
    ended(5, "error")
    limiter.adjust(Prefetch(2), running=1)
    assert limiter.limit == 2


def test_the_time_to_the_first_token_is_told_as_the_median_of_the_last_requests() -> None:
    limiter = ConcurrencyLimiter(most=16, fixed=1)
    for seconds in (9.0, None, *[0.5] * 10, *[0.7] * 9):  # of 20 the 9.0 has gone with the twenty-first
        limiter.job(60)()(5, None, seconds)
    limiter.job(60)()(0, "timeout", 0.5)
    assert limiter.status()["first_token_seconds"] == 0.5


def test_a_cut_is_known_to_the_jobs_that_were_begun_before_it() -> None:
    limiter, fixed = ConcurrencyLimiter(most=16), ConcurrencyLimiter(most=16, fixed=2)
    before = time.monotonic()
    for one in (limiter, fixed):
        assert not one.degraded_since(before)
        one.job(60)()(0, "error")
        one.adjust(Prefetch(2), running=2)
    assert limiter.degraded_since(before)
    assert not limiter.degraded_since(time.monotonic())
    assert not fixed.degraded_since(before)  # nobody measures there


def test_a_request_of_a_cancelled_run_lowers_no_limit() -> None:
    """Fails without `cancelled` in ConcurrencyLimiter._begun: a cancelled run would look like a hung endpoint."""
    limits: list[int] = []
    for cancelled in (True, False):
        limiter = ConcurrencyLimiter(most=16)
        for _ in range(3):
            ended = limiter.job(60)()
            time.sleep(0.01)
            ended(20, None)
        limiter.job(60, cancelled=lambda cancelled=cancelled: cancelled)()(0, "timeout")  # type: ignore[misc]
        limiter.adjust(Prefetch(2), running=2)
        limits.append(limiter.limit)
    assert limits[0] > 1 == limits[1]
