"""Simulates generate workers and model servers in virtual time, to measure worker/concurrency/controller.py.

All requests in a batch advance at the same pace: one token per `step(n)` seconds for n served requests. So a server is
a virtual clock and a heap. step(n) = alone + each * n fits mlx_lm on two CPU cores: its total of 21, 34, 54 and 75
tokens/s at 1, 2, 4 and 8 requests is 0.040 + 0.0084 n within 4%. As in mlx_lm, prompts cost time, a streamed request
ends when its client gives up, and the server never rejects a request as one too many.
A job has two to five requests, with a tool call between them. Calls have a median of 60 output tokens and answers of
150, both log-normal with a maximum of 1024. A job whose request fails is retried, and is lost after four attempts. A
job that exceeds its own time is lost at once, unless the controller has meanwhile found that the server is degraded.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from worker.concurrency.controller import ConcurrencyController
from worker.concurrency.latency_model import RequestSample

MOST = 32  # requests that mlx_lm decodes together by default; more wait in line
REQUEST_SECONDS = 120.0  # of silence (config/records.py, Limits.request_seconds); a served request is not silent
JOB_SECONDS = 180.0  # config/records.py, Limits.seconds
ATTEMPTS = 4  # per job (config/records.py, Spec.delivery_limit); then it is lost
TOOL_SECONDS = 0.3  # mean of the pause between two turns of one job
WANDER = 0.02  # per second; the server's pace varies by about 5% around its mean
WARM_UP = 60.0  # seconds that are not measured
FIRST = 300.0  # seconds of the 5-minute measure, which includes the warm-up


@dataclass(frozen=True)
class Profile:
    """A server. A batch of n takes `alone + each * n` seconds per decoded token."""

    name: str
    alone: float
    each: float
    prefill: float = 30.0  # prompt tokens that cost as much as one decoded token
    slots: int = MOST  # requests served at once; the others wait in line
    base_memory: float = 0.5  # share of memory in use without requests
    each_memory: float = 0.002  # share of memory per request
    shows_memory: bool = True  # False for a server on another machine
    throttled: tuple[float, float] = (0.0, 0.0)  # from and until, seconds
    slowdown: tuple[float, float] = (1.0, 1.0)  # of `alone` and `each` while throttled
    seconds: float = 1200.0  # simulated; longer where few jobs end, so that single jobs matter less

    def step(self, n: int, now: float, memory: float) -> float:
        """Seconds per token with n served requests. A machine without free memory swaps."""
        alone, each = self.alone, self.each
        if self.throttled[0] <= now < self.throttled[1]:
            alone, each = alone * self.slowdown[0], each * self.slowdown[1]
        swapping = max(0.0, memory - SWAPS) * 100
        return (alone + each * n) * (1 + swapping)


SWAPS = 0.95  # share of memory in use; each hundredth above it adds one step's time
REFUSES = 0.99  # share of memory in use above which new requests fail

PROFILES = (
    Profile("fast", alone=0.008, each=0.0012),
    Profile("slow", alone=0.060, each=0.040, seconds=3600.0),  # the job's time limit binds before the batch size
    Profile("batch-friendly", alone=0.040, each=0.0010),
    Profile("serial", alone=0.0, each=0.020, slots=1),
    Profile(
        "memory-limited", alone=0.020, each=0.0020, base_memory=0.55, each_memory=0.034
    ),  # swaps at 12, fails at 13
    Profile("degrading", alone=0.020, each=0.0030, throttled=(300.0, 600.0), slowdown=(1.5, 6.0)),
)
OTHERS = (  # shown with the six profiles, but not part of the goal
    Profile("mlx on two cores", alone=0.040, each=0.0084),
    replace(PROFILES[4], name="memory unseen", shows_memory=False),
)


@dataclass
class Job:
    """One job: the output tokens of its turns, drawn once, so that each attempt has the same work."""

    turns: tuple[int, ...]
    attempt: int = 1
    began: float = 0.0
    turn: int = 0
    spent: int = 0  # tokens of this attempt, subtracted if it fails
    request: "Request | None" = None  # the one in flight
    ended: bool = False


@dataclass(eq=False)
class Request:
    """One model request. `area` is the time integral of the number in flight, at its start."""

    job: Job
    tokens: int
    work: float
    began: float
    area: float
    served: bool = False
    ended: bool = False


@dataclass
class Outcome:
    """Result of one simulated run."""

    tokens: list[tuple[float, int]] = field(default_factory=list)  # (time, count)
    limits: list[tuple[float, int, str]] = field(default_factory=list)  # (time, limit, reason)
    failed: int = 0  # attempts that ended with a timeout or an error
    lost: int = 0  # jobs without attempts or time left
    done: int = 0

    def rate(self, since: float, until: float) -> float:
        """Output tokens per second of attempts that did not fail."""
        return sum(count for at, count in self.tokens if since <= at < until) / (until - since)

    def limit_at(self, when: float) -> int:
        """The limit at a time."""
        return [limit for at, limit, _ in self.limits if at <= when][-1]


class Worker:
    """A worker with endless jobs and a simulated server. The controller is called once a second."""

    def __init__(
        self, profile: Profile, seed: int, *, controller: ConcurrencyController | None = None, fixed: int = 1
    ) -> None:
        self._profile = profile
        self._random = random.Random(f"{profile.name} {seed}")
        self._jobs = random.Random(f"jobs {seed}")  # separate, so that every limit gets the same jobs
        self._controller = controller
        self._limit = controller.limit if controller else fixed
        self._now = self._virtual = self._area = 0.0
        self._noise, self._memory = 0.0, profile.base_memory
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._served: list[tuple[float, int, Request]] = []
        self._line: list[Request] = []
        self._number = itertools.count()
        self._running = self._in_flight = 0
        self._again: list[Job] = []
        self.outcome = Outcome()

    def run(self, seconds: float) -> Outcome:
        """Simulate this many seconds."""
        self.outcome.limits.append((0.0, self._limit, "start"))
        self._tick()
        while self._now < seconds:
            finishes = self._next_finish()
            if self._events[0][0] <= finishes:
                self._advance(self._events[0][0])
                heapq.heappop(self._events)[2]()
            else:
                self._advance(finishes)
                self._finish(heapq.heappop(self._served)[2])
        return self.outcome

    def _step(self) -> float:
        return self._profile.step(len(self._served), self._now, self._memory) * math.exp(self._noise)

    def _next_finish(self) -> float:
        return self._now + (self._served[0][0] - self._virtual) * self._step() if self._served else math.inf

    def _advance(self, until: float) -> None:
        if self._served:
            self._virtual += (until - self._now) / self._step()
        self._area += (until - self._now) * self._in_flight
        self._now = until

    def _after(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now + seconds, next(self._number), do))

    def _tick(self) -> None:
        self._noise = 0.9 * self._noise + self._random.gauss(0, WANDER)
        wanted = self._profile.base_memory + self._profile.each_memory * len(self._served)
        self._memory += 0.3 * (min(1.0, wanted) - self._memory)  # caches grow and shrink over some seconds
        if self._controller:
            memory = 1 - self._memory if self._profile.shows_memory else None
            decision = self._controller.decide(self._now, running=self._running, memory=memory)
            if decision.limit != self._limit:
                self._limit = decision.limit
                self.outcome.limits.append((self._now, decision.limit, decision.reason))
        while self._running < self._limit:
            self._begin_job()
        self._after(1.0, self._tick)

    def _begin_job(self) -> None:
        if self._again:
            job = self._again.pop(0)
        else:
            calls = [self._jobs.lognormvariate(math.log(60), 0.5) for _ in range(self._jobs.randint(1, 4))]
            answer = self._jobs.lognormvariate(math.log(150), 0.4)
            job = Job(tuple(int(min(1024, max(8, tokens))) for tokens in (*calls, answer)))
        self._running += 1
        job.began = self._now
        self._after(JOB_SECONDS, lambda: self._time_out(job))
        self._request(job)

    def _request(self, job: Job) -> None:
        if job.ended:
            return
        prompt = 700 if job.turn == 0 else self._random.randint(100, 600)  # the rest is in the prompt cache
        tokens = job.turns[job.turn]
        work = tokens + prompt / self._profile.prefill
        job.request = request = Request(job, tokens, work, self._now, self._area)
        self._in_flight += 1
        if self._memory > REFUSES:
            self._after(0.5, lambda: self._end(request, "error"))
            return
        self._after(REQUEST_SECONDS, lambda: None if request.served else self._end(request, "timeout"))
        self._line.append(request)
        self._serve()

    def _serve(self) -> None:
        while self._line and len(self._served) < self._profile.slots:
            request = self._line.pop(0)
            request.served = True
            heapq.heappush(self._served, (self._virtual + request.work, next(self._number), request))

    def _finish(self, request: Request) -> None:
        self._serve()
        self._end(request, None)

    def _end(self, request: Request, failure: str | None) -> None:
        if request.ended:
            return
        request.ended, request.job.request = True, None
        seconds = self._now - request.began
        in_flight = (self._area - request.area) / seconds
        self._in_flight -= 1
        if failure:  # the client is gone: the server notices with the next token
            self._line = [waiting for waiting in self._line if waiting is not request]
            self._served = [served for served in self._served if served[2] is not request]
            heapq.heapify(self._served)
            self._serve()
        if self._controller:
            tokens, share = 0 if failure else request.tokens, (self._now - request.job.began) / JOB_SECONDS
            self._controller.observe(RequestSample(self._now, seconds, in_flight, tokens, failure, job_share=share))
        if failure:
            self._fail(request.job)
        else:
            self._answered(request)

    def _time_out(self, job: Job) -> None:
        """The job's own time is up."""
        if job.ended:
            return
        if not (
            self._controller and self._controller.degraded_since(job.began)
        ):  # otherwise worker/job_runner.py would release it for another attempt
            job.attempt = ATTEMPTS
        if job.request:
            self._end(job.request, "timeout")
        else:
            self._fail(job)

    def _answered(self, request: Request) -> None:
        job = request.job
        job.turn += 1
        job.spent += request.tokens
        self.outcome.tokens.append((self._now, request.tokens))
        if job.turn < len(job.turns):
            self._after(self._random.expovariate(1 / TOOL_SECONDS), lambda: self._request(job))
        else:
            self.outcome.done += 1
            job.ended = True
            self._next_job()

    def _fail(self, job: Job) -> None:
        job.ended = True
        self.outcome.failed += 1
        self.outcome.tokens.append((self._now, -job.spent))
        if job.attempt < ATTEMPTS:
            self._again.append(Job(job.turns, job.attempt + 1))
        else:
            self.outcome.lost += 1
        self._next_job()

    def _next_job(self) -> None:
        self._running -= 1
        if self._running < self._limit:
            self._begin_job()
