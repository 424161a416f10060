import json

import pytest

from config.records import JsonObject, RequestTiming, Timing, ToolTiming, Trajectory
from config.report.query_time import Measured, Share
from worker.curate.row import canonical
from worker.evaluate.query_time import query_time
from worker.generate.agent.request_clock import RequestClock


def request(
    seconds: float,
    first_token: float | None,
    *,
    tokens: tuple[int | None, int | None, int | None] = (100, 40, 10),
    reason: str | None = "stop",
) -> RequestTiming:
    """`tokens`: prompt, cached, output."""
    prompt, cached, output = tokens
    return RequestTiming(
        seconds=seconds,
        first_token=first_token,
        prompt_tokens=prompt,
        cached_tokens=cached,
        output_tokens=output,
        finish_reason=reason,
    )


def trajectory(seconds: float, *requests: RequestTiming, tools: tuple[float, ...] = ()) -> Trajectory:
    timing = Timing(requests=requests, tools=tuple(ToolTiming(name="grep", seconds=tool) for tool in tools))
    return Trajectory(run_id="r", job_id="1", prompt="p", outcome="completed", seconds=seconds, timing=timing)


def test_seconds_of_a_prompt_are_divided_into_prefill_decode_tools_and_waiting() -> None:
    found = query_time([trajectory(10, request(4, 1, reason="tool_calls"), request(3, 0.5), tools=(0.5, 1.0))])
    assert found is not None
    parts = [part.median for part in (found.prefill, found.decode, found.tools, found.waiting) if part]
    assert parts == [1.5, 5.5, 1.5, 1.5]
    assert sum(parts) == 10


def test_turns_are_counted_by_what_ended_them() -> None:
    first = trajectory(9, request(1, 0.1, reason="tool_calls"), request(1, 0.1), request(1, 0.1, reason="length"))
    broken = trajectory(9, request(1, None, tokens=(None, None, None), reason=None))
    found = query_time([first, broken])
    assert found is not None
    assert found.prompts == 2
    assert [found.stopped, found.called, found.cut] == [Share(count=1, of=3)] * 3


def test_request_that_hides_its_first_token_leaves_prefill_and_decode_unknown() -> None:
    hidden = trajectory(10, request(4, 1), request(3, None))
    found = query_time([hidden])
    assert found is not None
    assert (found.prefill, found.decode) == (None, None)
    assert found.waiting == Measured(median=3, p90=3, of=1)
    both = query_time([hidden, trajectory(5, request(4, 1))])
    assert both is not None
    assert both.prefill == Measured(median=1, p90=1, of=1)


def test_tokens_are_added_up_and_the_cached_ones_are_a_share_of_the_prompts() -> None:
    found = query_time([trajectory(5, request(1, 0.1), request(1, 0.1, tokens=(200, 110, 5)))])
    assert found is not None
    assert found.cached == Share(count=150, of=300)
    assert [part and part.median for part in (found.prompt_tokens, found.cached_tokens, found.output_tokens)] == [
        300,
        150,
        15,
    ]


@pytest.mark.parametrize("tokens", [(100, None, 10), (100, 120, 10), (None, 5, 10)])  # not told, impossible, no total
def test_cached_tokens_are_unknown_where_the_server_does_not_report_them(
    tokens: tuple[int | None, int | None, int | None],
) -> None:
    found = query_time([trajectory(5, request(1, 0.1, tokens=tokens))])
    assert found is not None
    assert (found.cached, found.cached_tokens) == (None, None)


def test_nothing_is_reported_without_a_timing() -> None:
    untimed = Trajectory(run_id="r", job_id="1", prompt="p", outcome="completed", seconds=5)
    assert query_time([untimed, trajectory(5)]) is None


def test_median_and_p90_are_over_the_prompts() -> None:
    found = query_time([trajectory(20, request(10, float(first))) for first in range(1, 11)])
    assert found is not None
    assert found.prefill == Measured(median=5.5, p90=9, of=10)


def test_timing_is_neither_part_of_the_content_nor_stored_when_unused() -> None:
    """Datasets are hashed by content, and older workers read trajectories without the field."""
    timed = trajectory(5, request(1, 0.1))
    untimed = timed.model_copy(update={"timing": None})
    assert canonical(timed) == canonical(untimed)
    assert "timing" not in json.loads(untimed.model_dump_json())
    assert Trajectory.model_validate_json(timed.model_dump_json()) == timed


ANSWER: JsonObject = {"choices": [{"finish_reason": "stop"}], "usage": {"completion_tokens": 12}}


@pytest.mark.parametrize(
    ("events", "known"),
    [
        (["text", "text"], True),  # streamed text
        (["read", "call"], True),  # mlx_lm: the call whole, after its mark of the prompt's end
        (["begin call", "call"], True),  # a call in pieces
        (["call"], False),  # a call in one piece without a mark
        (["call", "call"], False),  # two of them
        (["text"], False),  # a whole answer in one chunk
        ([], False),  # nothing
        (["text", "text", "read"], True),  # a mark after the first token does not move it
    ],
)
def test_first_token_is_known_only_where_the_stream_shows_it(events: list[str], known: bool) -> None:
    clock = RequestClock()
    for event in events:
        if event == "read":
            clock.read()
        else:
            clock.output(whole_call=event == "call")
    clock.complete(ANSWER)
    assert (clock.timing().first_token is not None) is known
    assert (clock.first_sign is not None) is bool(events)


def test_answer_of_one_token_needs_one_chunk_only() -> None:
    clock = RequestClock()
    clock.output(whole_call=False)
    clock.complete({"choices": [{"finish_reason": "length"}], "usage": {"completion_tokens": 1}})
    assert clock.timing().first_token is not None


def test_request_without_an_answer_has_its_seconds_and_nothing_else() -> None:
    timing = RequestClock().timing()
    assert timing == RequestTiming(seconds=timing.seconds)
