"""Controls how many jobs one generate worker runs at once, by measurement: mlx_lm batches and never reports overload.

The method follows TCP, with the model server as the bottleneck. The limit starts at 2 and multiplies while throughput
grows (slow start). Trouble (a timeout, an error, low memory, a stall, sudden slowness) cuts it at once and sets a
ceiling halfway between the last good limit and the bad one. The ceiling is tested again at growing intervals (AIMD,
Jacobson 1988; binary increase, Xu 2004).

In between, the limit follows latency, before anything is lost, as in TCP Vegas and Netflix's gradient limits. A
completed request is a sample (n, y): n requests in flight, y seconds per token. n / y is the throughput in tokens per
second, independent of the request's length. The samples of a batching server lie on a line y = base + per_request * n,
which predicts the throughput at other limits. The target is the smallest limit with 98% of the best throughput.

The limit grows if a larger one pays even with a slope half a standard error steeper. It shrinks if a smaller one
suffices even with a slope half an error flatter. If the samples do not determine the slope, or the server has
changed, the limit moves one step to learn it.

`observe` may be called from any thread, `decide` from one, every second or two; the caller supplies the clock.
"""

from collections import deque
from dataclasses import dataclass

from worker.concurrency.latency_model import (
    SAMPLES_PER_LEVEL,
    LatencyModel,
    RequestSample,
    SampleWindow,
    fit,
    latency_ratio,
    mean,
)

TARGET_FRACTION = 0.98  # of the best throughput; more is not worth more requests in flight
FLOOR = 2  # unless requests fail: one job runs its tools while the model answers another
GROWTH, FAST_GROWTH = 1.5, 2.0  # largest step; the fast one if three quarters of its growth become throughput
CONFIDENCE_SE = 0.5  # standard errors of the slope that growth must survive; with more, slow servers take too long
FAILURE_BACKOFF = 0.7  # as in TCP Cubic; continuing trouble cuts again
MEMORY_BACKOFF = 0.85  # low memory comes before any failure, so the cut is smaller
DEAD_BAND = 0.85  # shrink only if the target is below this share of the limit
MIN_SAMPLES = 3  # before any judgement; growth needs one per job, up to SAMPLES_PER_LEVEL
RECENT = 8  # samples needed to detect a changed server, or a third of the limit if that is more
SLOWER, FASTER = 1.5, 0.67  # latency ratios that mean the server has changed
MEMORY_LOW = 0.10  # available share; below it macOS compresses and swaps
MEMORY_WAIT = 10.0  # seconds until ended jobs have released their memory
TIME_SHARE = 0.85  # of a job's wall-time limit that the longest job may take; the rest is a reserve
LONGEST_PER_MEAN = 3.15  # the longest job to expect, as a multiple of the mean at the end of a request
DECAY = 0.998  # per sample, of the longest job seen: it halves after 350 samples
CEILING_HOLD_S, CEILING_HOLD_MAX_S = 90.0, 720.0  # how long a ceiling holds; doubled each time it proves right


@dataclass(frozen=True)
class Decision:
    """The new limit; `reason` is empty if it is unchanged."""

    limit: int
    reason: str = ""


class ConcurrencyController:
    """Computes the limit of one worker, from 1 to `most`."""

    def __init__(self, *, most: int, start: int = 2) -> None:
        self.limit = max(1, min(start, most))
        self._most = most
        self._inbox: deque[RequestSample] = deque()  # append and popleft are atomic
        self._samples = SampleWindow()
        self._changed = self._cut = self._answered = 0.0  # times of the last change, cut by trouble, and answer
        self._before, self._rate = self.limit, 0.0  # the limit before the last change, and its tokens per second
        self._ceiling, self._until, self._hold = most, 0.0, CEILING_HOLD_S / 2
        self._longest = 0.0  # the largest ratio of job_share to pace, slowly decaying
        self._free = 0.0  # the largest share of memory that was ever available

    def observe(self, sample: RequestSample) -> None:
        """Record a request that ended."""
        self._inbox.append(sample)

    def degraded_since(self, when: float) -> bool:
        """Whether trouble has cut the limit since `when`: jobs begun before the cut may have lost time to it."""
        return self._cut > when

    def decide(self, now: float, *, running: int, memory: float | None = None) -> Decision:
        """Compute the limit from the number of running jobs and the share of memory that is available."""
        failures, has_news = self._take_samples(now)
        self._free = max(self._free, memory or 0.0)
        if trouble := self._trouble(now, failures, running, memory):
            share = MEMORY_BACKOFF if trouble.startswith("memory") else FAILURE_BACKOFF
            return self._back_off(now, trouble, share=share)
        fresh = self._samples.since(self._changed)
        if not has_news or len(fresh) < MIN_SAMPLES:
            return Decision(self.limit)
        least, most, grown = self._compare(fresh)
        if least > SLOWER:
            return self._back_off(now, f"requests take {least:.1f} times as long", ceiling=grown, floor=FLOOR)
        if most < FASTER:
            self._forget(now, fresh)
        elif len(fresh) >= min(self.limit, SAMPLES_PER_LEVEL):
            return self._move_to_target(now, fresh, running, memory)
        return Decision(self.limit)

    def _take_samples(self, now: float) -> tuple[list[str], bool]:
        """Move observed requests into the window: (new failures, whether there are new samples)."""
        failures, has_news = [], False
        while self._inbox:
            sample = self._inbox.popleft()
            if sample.failure:
                if sample.at - sample.seconds >= self._cut:  # else it began before the last cut
                    failures.append(sample.failure)
                continue
            self._answered = max(self._answered, sample.at)
            # else jobs above a cut limit are still running
            if sample.seconds > 0 and sample.in_flight <= self.limit + 0.5:
                self._samples.add(sample)
                self._longest = max(DECAY * self._longest, sample.job_share / sample.pace)
                has_news = True
        self._samples.expire(now)
        return failures, has_news

    def _trouble(self, now: float, failures: list[str], running: int, memory: float | None) -> str:
        if failures and running <= self.limit + len(failures):
            return f"a request failed: {failures[-1]}"
        if memory is not None and memory < MEMORY_LOW and now - self._cut > MEMORY_WAIT:
            return f"memory below {MEMORY_LOW:.0%}"
        silent = now - max(self._answered, self._changed)
        if self._samples and running and silent > 5 + 2 * self._samples.slowest():
            return f"nothing answered for {silent:.0f} s"
        return ""

    def _compare(self, fresh: list[RequestSample]) -> tuple[float, float, bool]:
        """Latency ratio of recent requests (lower and upper bound), and whether growth of the limit may be the cause.

        Drops samples from before the server became slower.
        """
        recent = fresh[-max(RECENT, self.limit // 3) :]
        grown = self.limit > self._before and len(fresh) <= 2 * len(recent)
        older = self._samples.without(fresh if grown else recent)
        if len(recent) < RECENT or len(older) < MIN_SAMPLES:
            return 1.0, 1.0, False
        least, most = latency_ratio(recent, older)
        if least > SLOWER:
            self._samples.drop(fresh if grown else older)
        return least, most, grown

    def _forget(self, now: float, fresh: list[RequestSample]) -> None:
        """Drop all samples after the server became faster; if fewer requests are not the reason, the ceiling too."""
        older = self._samples.without(fresh)
        if older and mean(fresh)[0] > 0.9 * mean(older)[0]:
            self._until, self._hold = 0.0, CEILING_HOLD_S / 2
        self._samples.drop(self._samples.all)
        self._changed = now

    def _move_to_target(self, now: float, fresh: list[RequestSample], running: int, memory: float | None) -> Decision:
        """Move towards the target by one step at most."""
        n, pace = mean(fresh)
        rate, busy = n / pace, min(1.0, n / self.limit)
        line = fit(self._samples.all)
        cap = self._cap(now, line.with_slope_shifted(1) if line else LatencyModel(0.0, pace / n), busy, memory)
        if line:
            least, most = (
                smallest_sufficient_limit(line.with_slope_shifted(errors), cap, busy)
                for errors in (CONFIDENCE_SE, -CONFIDENCE_SE)
            )
            target = min(max(self.limit, least), most, cap)
            why = f"{line.rate(target * busy) / line.rate(self.limit * busy) - 1:+.0%} tokens/s expected of {target}"
        else:
            fewer = max(min(FLOOR, self.limit), self.limit - max(1, self.limit // 8))
            target = cap if cap > self.limit else min(fewer, cap)
            why = f"to measure the effect of {'more' if target > self.limit else 'fewer'} jobs"
        if target > self.limit and running >= self.limit:
            pays = line is not None and line.rate(FAST_GROWTH * n) > GROWTH * line.rate(n)
            if self.limit > self._before and rate > self._rate > 0:
                why = f"throughput grew {rate / self._rate - 1:.0%}"
            return self._change(now, min(target, self._step(FAST_GROWTH if pays else GROWTH)), why, rate)
        if target < self.limit * DEAD_BAND:
            return self._change(now, max(target, int(self.limit * FAILURE_BACKOFF)), why, rate)
        return Decision(self.limit)

    def _step(self, factor: float) -> int:
        """The next larger limit: by `factor` up to an old ceiling, then by 1, 1, 2, 4, ... beyond it."""
        if self.limit < self._ceiling:
            return min(max(self.limit + 1, int(self.limit * factor)), self._ceiling)
        return self.limit + max(1, self.limit - self._ceiling)

    def _cap(self, now: float, line: LatencyModel, busy: float, memory: float | None) -> int:
        """The largest limit that the ceiling, the memory and the wall-time limit of a job allow."""
        cap = self._ceiling if now < self._until else self._most
        if memory is not None and memory < self._free:
            per_job = (self._free - memory) / self.limit
            cap = min(cap, self.limit + max(0, int((memory - MEMORY_LOW) / per_job)))
        jobs = [sample.job_share / sample.pace for sample in self._samples.all]
        longest = max(self._longest, LONGEST_PER_MEAN * sum(jobs) / len(jobs))
        while cap > 1 and longest * line.pace(cap * busy) > TIME_SHARE:
            cap -= 1
        return cap

    def _back_off(
        self, now: float, why: str, *, ceiling: bool = True, floor: int = 1, share: float = FAILURE_BACKOFF
    ) -> Decision:
        if ceiling and self._answered >= self._cut:  # without any answer the server is dead, and no ceiling follows
            good = self._before if self._before < self.limit else self.limit - 1
            self._hold = min(CEILING_HOLD_MAX_S, 2 * self._hold) if now - self._cut < 3 * self._hold else CEILING_HOLD_S
            self._ceiling, self._until = max(1, (good + self.limit) // 2), now + self._hold
        self._cut = now
        return self._change(now, max(min(floor, self.limit), int(self.limit * share)), why, 0.0)

    def _change(self, now: float, limit: int, why: str, rate: float) -> Decision:
        self._before, self._rate, self._changed = self.limit, rate, now
        self.limit = max(1, limit)
        return Decision(self.limit, why if self.limit != self._before else "")


def smallest_sufficient_limit(line: LatencyModel, cap: int, busy: float) -> int:
    """The smallest limit with nearly the throughput of the cap; each job has `busy` requests in flight."""
    target = TARGET_FRACTION * line.rate(cap * busy)
    return next(jobs for jobs in range(min(FLOOR, cap), cap + 1) if line.rate(jobs * busy) >= target)
