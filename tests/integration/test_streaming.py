"""Streams of a real mlx_lm server: a request that is given up ends its generation, and calls come as they do whole."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.records import JsonObject, Limits, Pin, Prompt, Spec, Trajectory
from tests.support.scripted_student import make_scripted_student
from worker.concurrency.observer import RequestEnded
from worker.endpoint.model_server import ModelServer, ServerFlags
from worker.evaluate.query_time import query_time
from worker.generate.agent import endpoint_teacher
from worker.generate.rollout import run_rollout
from worker.tools.workspace import Workspace

LONG = Limits(seconds=1.5, max_tokens=100_000)
WITHIN = 1.0  # seconds after which a server no longer works for a client that has gone
CALLS = ['{"name":"grep",', '"arguments":{"pattern":"Apple"}}', "</tool_call>"]
SAYS = ["Looking.", "<tool_call>", *CALLS, '<tool_call>{"name":"list_dir","arguments":{}}', "</tool_call>Done."]
NOT_STREAMED: JsonObject = {}
STREAMED = "worker.generate.agent.teacher.STREAMED"  # what the agent adds to a request's body


@pytest.fixture
def roll(tmp_path: Path) -> Callable[[str, Limits], tuple[Trajectory, list[float | None]]]:
    """roll(url, limits) -> the trajectory, and the times to the first token."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("class Apple: ...\n")

    def run(url: str, limits: Limits) -> tuple[Trajectory, list[float | None]]:
        first_tokens: list[float | None] = []

        def begun() -> RequestEnded:
            def ended(output_tokens: int, failure: str | None, first_token: float | None = None, /) -> None:
                first_tokens.append(first_token)

            return ended

        trajectory = run_rollout(
            Prompt(prompt="Where is Apple?"),
            spec=Spec(run_id="r", limits=limits),
            job_id="000000-aaaaaaaa",
            attempt=1,
            workspace=Workspace(tmp_path / "code", Pin(origin="code")),
            teacher=endpoint_teacher(url, model="default_model", sampling=None, request_seconds=20, watch=begun),
            worker="w",
        )
        return trajectory, first_tokens

    return run


def test_a_request_that_is_given_up_ends_its_generation(
    roll: Callable[[str, Limits], tuple[Trajectory, list[float | None]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server logs each token that it makes; not streamed, it makes them for nobody."""
    student = make_scripted_student(tmp_path / "student", says=["on", "and"], for_ever=True)
    flags = ServerFlags(log_level="DEBUG")
    with ModelServer(student, log=tmp_path / "server.log", flags=flags) as server:

        def works_on() -> bool:
            trajectory, _ = roll(server.url, LONG)
            assert trajectory.failure is not None
            assert trajectory.failure.kind == "timeout"
            time.sleep(WITHIN)
            before = server.log_size
            time.sleep(WITHIN)
            return server.log_size > before

        assert not works_on()
        assert server.alive
        monkeypatch.setattr(STREAMED, NOT_STREAMED)  # the planted fault
        assert works_on()


def test_calls_of_a_real_server_come_as_they_do_whole(
    roll: Callable[[str, Limits], tuple[Trajectory, list[float | None]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    student = make_scripted_student(tmp_path / "student", says=SAYS)
    limits = Limits(repeats=1, seconds=60)
    with ModelServer(student, log=tmp_path / "server.log") as server:
        streamed, first_tokens = roll(server.url, limits)
        monkeypatch.setattr(STREAMED, NOT_STREAMED)
        whole, none = roll(server.url, limits)
    for trajectory in (streamed, whole):  # ids are the server's, another each time
        said = trajectory.messages[1]
        assert said.content == "Looking.Done."
        assert [(call.name, call.arguments) for call in said.tool_calls] == [
            ("grep", {"pattern": "Apple"}),
            ("list_dir", {}),
        ]
        assert trajectory.messages[2].content == "a.py:1: class Apple: ..."
        assert trajectory.finish_reasons == ("tool_calls", "tool_calls")
    assert streamed.usage == whole.usage
    assert streamed.usage.output_tokens == 2 * (len(SAYS) + 1)
    assert all(seconds is not None and 0 < seconds < 20 for seconds in first_tokens)
    assert none == [None, None]
    assert streamed.timing is not None
    assert whole.timing is not None
    assert [(one.prompt_tokens, one.output_tokens) for one in streamed.timing.requests] == [
        (one.prompt_tokens, one.output_tokens) for one in whole.timing.requests
    ]
    assert sum(one.prompt_tokens or 0 for one in streamed.timing.requests) == streamed.usage.input_tokens
    assert [one.first_token for one in whole.timing.requests] == [None, None]  # a JSON response shows none
    first, second = streamed.timing.requests
    assert first.cached_tokens is not None
    assert second.cached_tokens is not None
    assert second.prompt_tokens is not None
    assert first.cached_tokens < second.cached_tokens < second.prompt_tokens  # the first request's prompt is in it
    spent = query_time([streamed])
    assert spent is not None
    assert spent.called.count == spent.called.of == 2


def test_prefill_ends_before_a_call_that_comes_in_one_piece(
    roll: Callable[[str, Limits], tuple[Trajectory, list[float | None]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every output chunk of this answer comes at its end; only the server's mark tells prefill from decoding."""
    words = [f"w{number}" for number in range(300)]
    says = ["<tool_call>", '{"name":"grep","arguments":{"pattern":"', *words, '"}}', "</tool_call>"]
    student = make_scripted_student(tmp_path / "student", says=says)
    limits = Limits(requests=1, seconds=60)
    with ModelServer(student, log=tmp_path / "server.log") as server:
        seen = query_time([roll(server.url, limits)[0]])
        monkeypatch.setattr("worker.generate.agent.streaming._PROMPT_READ", re.compile("never"))
        unseen = query_time([roll(server.url, limits)[0]])
    assert seen is not None
    assert unseen is not None
    assert seen.output_tokens is not None
    assert seen.output_tokens.median == len(says) + 1
    assert seen.prefill is not None
    assert seen.decode is not None
    assert seen.decode.median > 3 * seen.prefill.median
    assert (unseen.prefill, unseen.decode) == (None, None)
