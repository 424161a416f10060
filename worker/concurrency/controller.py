"""How many jobs one generate worker runs at once: found by measuring, because mlx_lm batches and never says "too much".

The idea is TCP's, with a model server as the bottleneck. The limit starts at 2 and multiplies while that pays (slow
start). Trouble (a time limit, an error, memory, a stall, sudden slowness) cuts it at once and leaves a ceiling half-
way between what went well and what did not, tried again later and later (AIMD, Jacobson 1988; binary increase, Xu
2004). In between it follows delay, before anything is lost, as TCP Vegas and Netflix's gradient limits do. An
answered request is a reading (n, y), n requests in flight and y seconds per token, worth n / y tokens a second
whatever its length. The readings of a batching server lie on a line, y = alone + each * n, which tells what more in
flight would bring: the target is the smallest limit with 98% of the most. It grows when a slope half a standard error
steeper still promises a gain, shrinks when one half an error flatter promises none, and in between stays. When the
readings are too old to tell the slope, or the server has become another one, the limit moves a step to learn it anew.

`observe` may be called from any thread, `decide` from one, every second or two; the clock is the caller's.
"""

from collections import deque
from dataclasses import dataclass

from worker.concurrency.latency_model import KEPT, LatencyModel, RequestSample, SampleWindow, fit, latency_ratio, mean

TARGET_FRACTION = 0.98  # share of the best throughput that is worth no more requests in flight
FLOOR = 2  # without failures: one job's tools run while the model answers the other
GROWTH, FAST_GROWTH = 1.5, 2.0  # growth at most, and at most where the line promises that three quarters of it pay
CONFIDENCE_SE = (
    0.5  # standard errors of the slope that growth must survive; more, and a slow server is learnt too slowly
)
FAILURE_BACKOFF = 0.7  # TCP Cubic's share; trouble that goes on cuts again
MEMORY_BACKOFF = 0.85  # for memory that runs low, which comes before anything fails
DEAD_BAND = 0.85  # a smaller target than this share of the limit is worth a change
READINGS = 3  # at least, and one per job up to as many as are kept, before growth is judged
RECENT = 8  # at least, and a third of the limit, to tell that the server has become another one
SLOWER, FASTER = 1.5, 0.67  # times the expected pace of another server
MEMORY_LOW = 0.10  # share available; below, macOS compresses and swaps
MEMORY_WAIT = 10.0  # seconds until jobs that end have given their memory back
TIME_SHARE = 0.85  # of a job's wall time, for the longest job; the rest is for a bad minute
LONG = 3.15  # times the mean at the end of a request: as long as some job will be, though none was yet
DECAY = 0.998  # with each reading, of the longest job seen: half of it is forgotten after 350
CEILING_HOLD_S, CEILING_HOLD_MAX_S = (
    90.0,
    720.0,
)  # seconds a ceiling holds at first, doubled each time it proves right, and at most


@dataclass(frozen=True)
class Decision:
    """The limit from now on; `reason` is empty while it stays."""

    limit: int
    reason: str = ""


class ConcurrencyController:
    """The limit of one worker, within [1, most]."""

    def __init__(self, *, most: int, start: int = 2) -> None:
        self.limit = max(1, min(start, most))
        self._most = most
        self._inbox: deque[RequestSample] = deque()  # append and popleft are atomic
        self._readings = SampleWindow()
        self._changed = self._cut = self._answered = 0.0  # when: the limit, by trouble; a request
        self._before, self._rate = self.limit, 0.0  # the limit before the last change, and what it made
        self._ceiling, self._until, self._hold = most, 0.0, CEILING_HOLD_S / 2
        self._longest = 0.0  # the largest share of a job's wall time per second a token, slowly fading
        self._free = 0.0  # the largest share of memory ever available

    def observe(self, seen: RequestSample) -> None:
        """Take note of a request that ended."""
        self._inbox.append(seen)

    def degraded_since(self, when: float) -> bool:
        """Whether trouble has cut the limit since then: what was begun before it was begun on a better server."""
        return self._cut > when

    def decide(self, now: float, *, running: int, memory: float | None = None) -> Decision:
        """The limit from now on, given the jobs running and the share of this machine's memory available."""
        failures, news = self._take(now)
        self._free = max(self._free, memory or 0.0)
        if trouble := self._trouble(now, failures, running, memory):
            return self._back_off(
                now, trouble, share=MEMORY_BACKOFF if trouble.startswith("memory") else FAILURE_BACKOFF
            )
        fresh = self._readings.since(self._changed)
        if not news or len(fresh) < READINGS:
            return Decision(self.limit)
        least, most, grown = self._compare(fresh)
        if least > SLOWER:
            return self._back_off(now, f"requests take {least:.1f} times as long", ceiling=grown, floor=FLOOR)
        if most < FASTER:
            self._forget(now, fresh)
        elif len(fresh) >= min(self.limit, KEPT):
            return self._follow(now, fresh, running, memory)
        return Decision(self.limit)

    def _take(self, now: float) -> tuple[list[str], bool]:
        """Failures that tell something new, and whether there are new readings."""
        failures, news = [], False
        while self._inbox:
            one = self._inbox.popleft()
            if one.failure:
                if one.at - one.seconds >= self._cut:  # else it was asked under a limit already cut
                    failures.append(one.failure)
                continue
            self._answered = max(self._answered, one.at)
            if one.seconds > 0 and one.in_flight <= self.limit + 0.5:  # else jobs above a cut limit are still ending
                self._readings.add(one)
                self._longest = max(DECAY * self._longest, one.job_share / one.pace)
                news = True
        self._readings.age(now)
        return failures, news

    def _trouble(self, now: float, failures: list[str], running: int, memory: float | None) -> str:
        if failures and running <= self.limit + len(failures):
            return f"a request failed: {failures[-1]}"
        if memory is not None and memory < MEMORY_LOW and now - self._cut > MEMORY_WAIT:
            return f"memory below {MEMORY_LOW:.0%}"
        silent = now - max(self._answered, self._changed)
        if self._readings and running and silent > 5 + 2 * self._readings.slowest():
            return f"nothing answered for {silent:.0f} s"
        return ""

    def _compare(self, fresh: list[RequestSample]) -> tuple[float, float, bool]:
        """How many times as long as expected requests take, at least and at most, and whether growth may be why.

        SampleWindow that tell of a server as it is no more are dropped.
        """
        recent = fresh[-max(RECENT, self.limit // 3) :]
        grown = self.limit > self._before and len(fresh) <= 2 * len(recent)
        older = self._readings.without(fresh if grown else recent)
        if len(recent) < RECENT or len(older) < READINGS:
            return 1.0, 1.0, False
        least, most = latency_ratio(recent, older)
        if least > SLOWER:
            self._readings.drop(fresh if grown else older)
        return least, most, grown

    def _forget(self, now: float, fresh: list[RequestSample]) -> None:
        """Learn anew, since the server has become faster; with as many in flight, by recovering and not by the cut."""
        older = self._readings.without(fresh)
        if older and mean(fresh)[0] > 0.9 * mean(older)[0]:
            self._until, self._hold = 0.0, CEILING_HOLD_S / 2
        self._readings.drop(self._readings.all)
        self._changed = now

    def _follow(self, now: float, fresh: list[RequestSample], running: int, memory: float | None) -> Decision:
        """Towards the target, a step at most."""
        n, pace = mean(fresh)
        rate, busy = n / pace, min(1.0, n / self.limit)
        line = fit(self._readings.all)
        cap = self._cap(now, line.with_slope_shifted(1) if line else LatencyModel(0.0, pace / n), busy, memory)
        if line:
            least, most = (
                enough(line.with_slope_shifted(errors), cap, busy) for errors in (CONFIDENCE_SE, -CONFIDENCE_SE)
            )
            target = min(max(self.limit, least), most, cap)
            why = f"{line.rate(target * busy) / line.rate(self.limit * busy) - 1:+.0%} tokens/s expected of {target}"
        else:
            fewer = max(min(FLOOR, self.limit), self.limit - max(1, self.limit // 8))
            target = cap if cap > self.limit else min(fewer, cap)
            why = f"to learn what {'more' if target > self.limit else 'fewer'} would bring"
        if target > self.limit and running >= self.limit:
            pays = line is not None and line.rate(FAST_GROWTH * n) > GROWTH * line.rate(n)
            if self.limit > self._before and rate > self._rate > 0:
                why = f"throughput grew {rate / self._rate - 1:.0%}"
            return self._change(now, min(target, self._step(FAST_GROWTH if pays else GROWTH)), why, rate)
        if target < self.limit * DEAD_BAND:
            return self._change(now, max(target, int(self.limit * FAILURE_BACKOFF)), why, rate)
        return Decision(self.limit)

    def _step(self, factor: float) -> int:
        """The next larger limit: quickly up to an old ceiling, from there 1, 1, 2, 4, ... beyond it."""
        if self.limit < self._ceiling:
            return min(max(self.limit + 1, int(self.limit * factor)), self._ceiling)
        return self.limit + max(1, self.limit - self._ceiling)

    def _cap(self, now: float, line: LatencyModel, busy: float, memory: float | None) -> int:
        """The most that the ceiling, memory and the wall time of a job allow."""
        cap = self._ceiling if now < self._until else self._most
        if memory is not None and memory < self._free:
            each = (self._free - memory) / self.limit
            cap = min(cap, self.limit + max(0, int((memory - MEMORY_LOW) / each)))
        jobs = [one.job_share / one.pace for one in self._readings.all]
        longest = max(self._longest, LONG * sum(jobs) / len(jobs))
        while cap > 1 and longest * line.pace(cap * busy) > TIME_SHARE:
            cap -= 1
        return cap

    def _back_off(
        self, now: float, why: str, *, ceiling: bool = True, floor: int = 1, share: float = FAILURE_BACKOFF
    ) -> Decision:
        if ceiling and self._answered >= self._cut:  # no answer at all is a dead server, which tells no ceiling
            good = self._before if self._before < self.limit else self.limit - 1
            self._hold = min(CEILING_HOLD_MAX_S, 2 * self._hold) if now - self._cut < 3 * self._hold else CEILING_HOLD_S
            self._ceiling, self._until = max(1, (good + self.limit) // 2), now + self._hold
        self._cut = now
        return self._change(now, max(min(floor, self.limit), int(self.limit * share)), why, 0.0)

    def _change(self, now: float, limit: int, why: str, rate: float) -> Decision:
        self._before, self._rate, self._changed = self.limit, rate, now
        self.limit = max(1, limit)
        return Decision(self.limit, why if self.limit != self._before else "")


def enough(line: LatencyModel, cap: int, busy: float) -> int:
    """The smallest limit that makes nearly as much as the cap; of each job `busy` requests are in flight."""
    worth = TARGET_FRACTION * line.rate(cap * busy)
    return next(jobs for jobs in range(min(FLOOR, cap), cap + 1) if line.rate(jobs * busy) >= worth)
