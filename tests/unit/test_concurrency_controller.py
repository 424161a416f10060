import pytest

from worker.concurrency.controller import MEMORY_WAIT, ConcurrencyController, Decision
from worker.concurrency.latency_model import LatencyModel, RequestSample, fit

TOKENS = 100


class Hands:
    """A controller's worker and server in one: requests of one length at the pace the test says."""

    def __init__(self, *, most: int = 32, start: int = 2, job_seconds: float = 1e9) -> None:
        self.controller = ConcurrencyController(most=most, start=start)
        self.job_seconds = job_seconds
        self.now = 0.0

    def round(
        self, pace: float, *, times: int = 1, running: int | None = None, memory: float | None = None
    ) -> Decision:
        """Each of the jobs in flight has one request answered; then the controller decides."""
        limit, seconds = self.controller.limit, pace * TOKENS
        self.now += seconds
        for _ in range(max(times, 1) * limit):
            share = seconds / self.job_seconds
            self.controller.observe(RequestSample(self.now, seconds, limit, TOKENS, job_share=share))
        return self.decide(running=running, memory=memory)

    def decide(self, *, running: int | None = None, memory: float | None = None) -> Decision:
        running = self.controller.limit if running is None else running
        return self.controller.decide(self.now, running=running, memory=memory)

    def grow(self, line: LatencyModel, rounds: int) -> list[int]:
        """The limits on the way, on a server that keeps to the line."""
        return [self.round(line.pace(self.controller.limit), times=3).limit for _ in range(rounds)]


BATCHING = LatencyModel(0.040, 0.001)
SERIAL = LatencyModel(0.0, 0.02)


def grown(line: LatencyModel = BATCHING, *, most: int = 32, start: int = 2, job_seconds: float = 1e9) -> Hands:
    hands = Hands(most=most, start=start, job_seconds=job_seconds)
    hands.grow(line, 12)
    return hands


def failed(hands: Hands, failure: str, *, seconds: float = 0.5) -> None:
    hands.now += seconds
    hands.controller.observe(RequestSample(hands.now, seconds, hands.controller.limit, 0, failure))


def test_the_limit_grows_to_the_ceiling_while_throughput_does_and_says_why() -> None:
    hands = Hands()
    first = hands.round(BATCHING.pace(2), times=3)
    assert first == Decision(3, "to measure the effect of more jobs")
    second = hands.round(BATCHING.pace(3), times=3)
    assert second.reason.startswith("throughput grew 4")
    limits = hands.grow(BATCHING, 10)
    assert limits == sorted(limits)
    assert limits[-1] >= 30


def test_the_limit_never_exceeds_the_most() -> None:
    assert max(Hands(most=5).grow(BATCHING, 12)) == 5


def test_a_server_that_gains_nothing_is_given_the_smaller_limit() -> None:
    assert grown(SERIAL, start=8).controller.limit == 2


def test_nothing_changes_without_a_word_from_the_server() -> None:
    hands = Hands()
    for _ in range(100):
        hands.now += 1
        assert hands.decide(running=0) == Decision(2)


def test_an_idle_worker_does_not_grow() -> None:
    hands = Hands(start=4)
    for _ in range(10):
        hands.now += 5
        for _ in range(8):
            hands.controller.observe(RequestSample(hands.now, 4.2, 1.0, TOKENS))
        assert hands.decide(running=1) == Decision(4)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("timeout", "a request failed: timeout"),  # the server is too slow for so many
        ("error", "a request failed: error"),  # or refuses, or fell
    ],
)
def test_a_failure_cuts_at_once(failure: str, reason: str) -> None:
    hands = grown()
    before = hands.controller.limit
    failed(hands, failure)
    assert hands.decide() == Decision(int(before * 0.7), reason)


def test_failures_of_requests_begun_before_a_cut_do_not_cut_again() -> None:
    hands = grown()
    failed(hands, "timeout")
    cut = hands.decide()
    hands.now += 2
    for _ in range(5):
        hands.controller.observe(RequestSample(hands.now, 119.0, 30, 0, "timeout"))
    assert hands.decide() == Decision(cut.limit)


def test_failures_while_jobs_above_the_limit_still_end_do_not_cut_again() -> None:
    hands = grown()
    before = hands.controller.limit
    failed(hands, "error")
    cut = hands.decide()
    failed(hands, "error")
    assert hands.decide(running=before - 1) == Decision(cut.limit)
    failed(hands, "error")
    assert hands.decide(running=cut.limit).limit < cut.limit


def test_low_memory_cuts_and_waits_for_jobs_to_give_it_back() -> None:
    hands = grown()
    before = hands.controller.limit
    cut = hands.decide(memory=0.09)
    assert cut == Decision(int(before * 0.85), "memory below 10%")
    hands.now += MEMORY_WAIT / 2
    assert hands.decide(memory=0.09) == Decision(cut.limit)
    hands.now += MEMORY_WAIT
    assert hands.decide(memory=0.09).limit < cut.limit


def test_growth_leaves_the_memory_that_one_more_job_would_take() -> None:
    hands = Hands()
    hands.decide(memory=0.50)
    limits = [
        hands.round(BATCHING.pace(hands.controller.limit), times=3, memory=0.50 - 0.04 * hands.controller.limit).limit
        for _ in range(12)
    ]
    assert max(limits) == 10  # 0.50 - 10 * 0.04 = 0.10


def test_a_stall_cuts() -> None:
    hands = grown()
    before = hands.controller.limit
    hands.now += 60
    decision = hands.decide()
    assert decision.limit == int(before * 0.7)
    assert decision.reason == "nothing answered for 60 s"


def test_a_stall_of_a_worker_without_jobs_is_none() -> None:
    hands = grown()
    hands.now += 300
    assert hands.decide(running=0) == Decision(hands.controller.limit)


def test_a_throughput_collapse_cuts_and_is_not_tried_again_soon() -> None:
    hands = Hands()
    while hands.controller.limit < 12:
        hands.round(BATCHING.pace(hands.controller.limit), times=3)
    worst = hands.controller.limit
    decision = hands.round(5 * BATCHING.pace(worst))
    assert decision.limit < worst
    assert decision.reason == "requests take 5.0 times as long"
    assert max(hands.grow(BATCHING, 5)) < worst


def test_a_slower_server_of_its_own_leaves_no_ceiling() -> None:
    hands = grown()
    for _ in range(10):
        hands.round(BATCHING.pace(hands.controller.limit))
    before = hands.controller.limit
    slow = LatencyModel(3 * BATCHING.base, 3 * BATCHING.per_request)
    hands.round(slow.pace(before))
    assert hands.controller.limit < before
    assert hands.grow(slow, 6)[-1] > 0.9 * before


def test_jobs_that_would_take_longer_than_their_wall_time_are_not_risked() -> None:
    slow = LatencyModel(0.05, 0.05)  # 315 tokens, 3.15 times the mean, take 120 s with 6.6 in flight
    assert 3 <= max(Hands(job_seconds=120).grow(slow, 15)) <= 5
    assert max(Hands().grow(LatencyModel(0.05, 0.005), 15)) > 20  # what it would be otherwise


def test_the_longest_job_seen_is_remembered_and_forgotten_slowly() -> None:
    """One job of many turns took nearly all of its time at half the pace: as many more would be lost, for a while."""
    line = LatencyModel(0.05, 0.01)
    hands = grown(line, start=4, job_seconds=200)
    before = hands.controller.limit
    seconds = line.pace(before) / 2 * TOKENS
    hands.controller.observe(RequestSample(hands.now, seconds, before, TOKENS, job_share=0.95))
    assert hands.round(line.pace(before)).limit < before
    assert hands.grow(line, 60)[-1] >= before


@pytest.mark.parametrize("failure", ["timeout", "error"])
def test_the_floor_is_one_and_says_nothing_while_it_stays(failure: str) -> None:
    hands = grown()
    for _ in range(20):
        failed(hands, failure)
        last = hands.decide()
    assert last == Decision(1)


def test_a_server_that_was_dead_is_used_in_full_soon_after() -> None:
    hands = grown()
    before = hands.controller.limit
    for _ in range(60):
        failed(hands, "error", seconds=2.0)
        hands.decide()
    assert hands.controller.limit == 1
    back = hands.now
    while hands.controller.limit < before * 0.75 and hands.now < back + 300:
        hands.round(BATCHING.pace(hands.controller.limit), times=3)
    assert hands.now - back < 60


def test_a_ceiling_is_tried_again_later_and_one_by_one() -> None:
    hands = grown(most=12)
    failed(hands, "timeout")
    hands.decide()
    cut = hands.now
    limits = {}
    while hands.now < cut + 300:
        limits[hands.now] = hands.round(BATCHING.pace(hands.controller.limit), times=3).limit
    assert max(limit for at, limit in limits.items() if at < cut + 80) < 12
    assert max(limits.values()) == 12


def test_the_same_observations_lead_to_the_same_decisions() -> None:
    assert Hands().grow(BATCHING, 12) == Hands().grow(BATCHING, 12)


def test_a_request_of_no_time_is_no_reading() -> None:
    hands = Hands()
    for _ in range(10):
        hands.controller.observe(RequestSample(hands.now, 0.0, 1.0, 5))
    assert hands.decide() == Decision(2)


def test_the_line_is_found_and_a_guess_is_refused() -> None:
    readings = [
        RequestSample(0, LatencyModel(0.04, 0.008).pace(n) * (tokens + 20), n, tokens)
        for n in (2, 4, 8)
        for tokens in (50, 200)
    ]
    found = fit(readings)
    assert found is not None
    assert (found.base, found.per_request) == (pytest.approx(0.04), pytest.approx(0.008))
    assert fit(readings[:4]) is None  # too few
    assert fit([readings[0]] * 10) is None  # all alike
