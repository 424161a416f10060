"""Where the seconds of a model's prompts went. Pure; reads the timing that each rollout recorded.

prefill   seconds from sending a request until the server had read the prompt or sent its first token, over all
          requests of a prompt. It includes the time in the server's queue, which no server reports.
decode    seconds from then until the end of the answer.
tools     seconds in tool calls.
waiting   the wall time of the rollout minus the three: the worker's own work, and its waits between requests.

A prompt has a prefill and a decode only if each of its requests shows where the one ended and the other began
(worker/generate/agent/request_clock.py). A token count is known only if every request of the prompt reports it.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence

from config.records import CALLED, CUT, RequestTiming, Timing, Trajectory
from config.report.query_time import Measured, QueryTime, Share

STOPPED = "stop"  # the finish reason of a turn that the stop token ended; the agent sends no other stop sequence


def query_time(trajectories: Iterable[Trajectory]) -> QueryTime | None:
    """The times over all trajectories that recorded them, failed ones included; None if there is none."""
    timed = [(one.seconds, one.timing) for one in trajectories if one.timing and one.timing.requests]
    if not timed:
        return None
    times = [timing for _, timing in timed]
    reasons = [request.finish_reason for timing in times for request in timing.requests if request.finish_reason]
    return QueryTime(
        prompts=len(timed),
        prefill=_measured(_prefill(timing) for timing in times),
        decode=_measured(_decode(timing) for timing in times),
        tools=_measured(_tools(timing) for timing in times),
        waiting=_measured(_waiting(seconds, timing) for seconds, timing in timed),
        prompt_tokens=_measured(_tokens(timing, lambda request: request.prompt_tokens) for timing in times),
        cached_tokens=_measured(_tokens(timing, _cached) for timing in times),
        output_tokens=_measured(_tokens(timing, lambda request: request.output_tokens) for timing in times),
        cached=_cached_share(times),
        stopped=Share(count=reasons.count(STOPPED), of=len(reasons)),
        called=Share(count=reasons.count(CALLED), of=len(reasons)),
        cut=Share(count=reasons.count(CUT), of=len(reasons)),
    )


def _prefill(timing: Timing) -> float | None:
    return _total(request.first_token for request in timing.requests)


def _decode(timing: Timing) -> float | None:
    return _total(
        None if request.first_token is None else max(0.0, request.seconds - request.first_token)
        for request in timing.requests
    )


def _tools(timing: Timing) -> float:
    return sum(tool.seconds for tool in timing.tools)


def _waiting(seconds: float, timing: Timing) -> float | None:
    """None if the wall time was not recorded."""
    if seconds <= 0:
        return None
    return max(0.0, seconds - sum(request.seconds for request in timing.requests) - _tools(timing))


def _tokens(timing: Timing, count: Callable[[RequestTiming], int | None]) -> float | None:
    return _total(count(request) for request in timing.requests)


def _cached(request: RequestTiming) -> int | None:
    """None also where a server's count cannot be true: more than the prompt has."""
    cached, prompt = request.cached_tokens, request.prompt_tokens
    return None if cached is None or prompt is None or cached > prompt else cached


def _cached_share(times: Sequence[Timing]) -> Share | None:
    counts = list(_cached_counts(times))
    return Share(count=sum(cached for cached, _ in counts), of=sum(prompt for _, prompt in counts)) if counts else None


def _cached_counts(times: Sequence[Timing]) -> Iterator[tuple[int, int]]:
    for timing in times:
        for request in timing.requests:
            cached = _cached(request)
            if cached is not None and request.prompt_tokens is not None:
                yield cached, request.prompt_tokens


def _total(values: Iterable[float | None]) -> float | None:
    """The sum; None if one value is unknown."""
    known = list(values)
    return sum(value for value in known if value is not None) if None not in known else None


def _measured(values: Iterable[float | None]) -> Measured | None:
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    return Measured(median=statistics.median(known), p90=known[math.ceil(0.9 * len(known)) - 1], of=len(known))
