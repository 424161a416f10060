"""Every way in which a rollout can fail, reached over real HTTP: a failure kind and what was said so far."""

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import FailureKind, RejectionReason
from config.records import JsonObject, Limits, Pin, Prompt, Spec, Trajectory
from tests.support.scripted_endpoint import (
    Call,
    Reply,
    Script,
    ScriptedEndpoint,
    call,
    calls,
    cut,
    drops,
    fails,
    says,
    stalls,
)
from worker.curate.checks import LACKING_WHEN_CUT, all_checks, findings
from worker.generate.agent import endpoint_teacher
from worker.generate.rollout import run_rollout
from worker.tools.workspace import Workspace

LIMITS = Limits(requests=5, tool_calls=6, repeats=2, seconds=20, request_seconds=10)
Roll = Callable[..., Trajectory]


@pytest.fixture
def roll(tmp_path: Path) -> Roll:
    """roll(script or url, limits=..., model=...) -> the trajectory of one rollout."""
    root = tmp_path / "code"
    root.mkdir()
    (root / "a.py").write_text("class Apple: ...\n")

    def run(
        script: Script | str, *, limits: Limits = LIMITS, model: str = "default_model", root: Path = root
    ) -> Trajectory:
        def against(url: str) -> Trajectory:
            return run_rollout(
                Prompt(prompt="Where is Apple?"),
                spec=Spec(run_id="r", limits=limits),
                job_id="000000-aaaaaaaa",
                attempt=1,
                workspace=Workspace(root, Pin(origin="code")),
                teacher=endpoint_teacher(url, model=model, sampling=None, request_seconds=limits.request_seconds),
                worker="w",
            )

        if isinstance(script, str):
            return against(script)
        with ScriptedEndpoint(script) as endpoint:
            return against(endpoint.base_url)

    return run


def piece(delta: JsonObject | None, finish_reason: str | None = None, **more: object) -> str:
    """One event of a stream, as mlx_lm writes it."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return f"data: {json.dumps({'id': 'x', 'model': 'default_model', 'choices': choices, **more})}\n\n"


def streams(*events: str) -> Reply:
    """Events as they are."""
    return Reply(stream="".join(events))


LOOK = calls(call("grep", pattern="Apple"))
TOLD = piece({"role": "assistant", "content": "Apple is"})
DONE = "data: [DONE]\n\n"
OTHER = [calls(call("grep", pattern=f"x{number}")) for number in range(9)]
BROKEN = calls(Call("grep", '{"pattern": "App'))


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        # the connection closes without a byte
        ([drops()], FailureKind.ENDPOINT_UNREACHABLE, "no answer from the endpoint"),
        # and in the middle of the answer
        ([Reply(text="x" * 500, half=True)], FailureKind.ENDPOINT_UNREACHABLE, "no answer from the endpoint"),
        ([Reply(text="x" * 500, half=True, plain=True)], FailureKind.ENDPOINT_UNREACHABLE, "no answer from"),
        # in the middle of a call
        ([replace(LOOK, half=True)], FailureKind.ENDPOINT_UNREACHABLE, "without a finish_reason"),
        # a stream that ends well, but never said why
        ([streams(TOLD, DONE)], FailureKind.ENDPOINT_UNREACHABLE, "without a finish_reason"),
        # and one without anything in it
        ([streams(DONE)], FailureKind.ENDPOINT_UNREACHABLE, "without a finish_reason"),
        # the event with the reason is cut itself
        ([streams(TOLD, piece({}, "stop")[:-9])], FailureKind.ENDPOINT_UNREACHABLE, "without a finish_reason"),
        # the endpoint's words within a stream, as an object and as mlx_lm's kind of text
        ([streams(TOLD, 'data: {"error": {"message": "out of memory"}}\n\n')], FailureKind.ENDPOINT_ERROR, "out of m"),
        ([streams('data: {"error": "out of memory"}\n\n')], FailureKind.ENDPOINT_ERROR, "answer: out of memory"),
        ([streams('data: {"error": "context length is 4096"}\n\n')], FailureKind.CONTEXT_OVERFLOW, "4096"),
        ([streams('data: {"error": "no such model"}\n\n')], FailureKind.WRONG_MODEL, "no such model"),
        # events that are no pieces of an answer
        ([streams(TOLD, "data: no json\n\n", DONE)], FailureKind.ENDPOINT_ERROR, "streamed 'no json'"),
        ([streams("data: [1]\n\n", DONE)], FailureKind.ENDPOINT_ERROR, "streamed '[1]'"),
        ([streams('data: {"choices": [1]}\n\n')], FailureKind.ENDPOINT_ERROR, "instead of a chunk of a completion"),
        # mlx_lm says 404 for nearly everything: its words must be quoted
        ([fails(404, "cannot unpack non-iterable")], FailureKind.ENDPOINT_ERROR, "404: cannot unpack non-iterable"),
        ([fails(500, "out of memory")], FailureKind.ENDPOINT_ERROR, "500: out of memory"),
        ([fails(503, "loading")], FailureKind.ENDPOINT_ERROR, "503: loading"),
        ([Reply(status=502, body="<html>bad gateway</html>")], FailureKind.ENDPOINT_ERROR, "bad gateway"),
        ([Reply(body="")], FailureKind.ENDPOINT_ERROR, ""),
        ([Reply(body="no json")], FailureKind.ENDPOINT_ERROR, ""),
        ([Reply(body="[]")], FailureKind.ENDPOINT_ERROR, ""),
        ([Reply(body='{"choices": []}')], FailureKind.ENDPOINT_ERROR, ""),
        ([fails(404, "404 Client Error. Repository Not Found for url: x")], FailureKind.WRONG_MODEL, "Repository"),
        ([fails(400, "maximum context length is 4096 tokens")], FailureKind.CONTEXT_OVERFLOW, "4096"),
        # the same call for ever
        ([LOOK] * 9, FailureKind.REQUEST_LIMIT, "the same call was made 3 times; the limit is 2"),
        # another call each time
        (OTHER, FailureKind.REQUEST_LIMIT, "request_limit of 5"),
        ([calls(*(call("grep", pattern=f"x{n}") for n in range(7)))], FailureKind.REQUEST_LIMIT, "7 tool calls"),
        # a call that cannot be mended
        ([calls(call("read_file", path=f"no{n}")) for n in range(9)], FailureKind.TOOL_RETRIES_EXCEEDED, "no3"),
        # a tool that is not there
        ([calls(call("bash", command=f"{n}")) for n in range(9)], FailureKind.TOOL_RETRIES_EXCEEDED, "bash"),
        ([calls(Call("grep", '{"pattern": "Ap' + "p" * n)) for n in range(9)], FailureKind.MALFORMED_TOOL_CALL, "JSON"),
        # mlx_lm drops a call it cannot read, and may still announce it
        ([Reply(finish_reason="tool_calls")] * 4, FailureKind.MALFORMED_TOOL_CALL, "announced a tool call"),
        # and may have left some text
        ([Reply(text='", "glob":', finish_reason="tool_calls")] * 4, FailureKind.MALFORMED_TOOL_CALL, "announced"),
    ],
)
def test_fault_becomes_its_failure_kind(roll: Roll, script: list[Reply], kind: FailureKind, words: str) -> None:
    trajectory = roll(script)
    assert trajectory.outcome == "failed"
    assert trajectory.failure is not None
    assert trajectory.failure.kind is kind
    assert words in trajectory.failure.message
    assert "\n" not in trajectory.failure.message
    assert trajectory.messages[0].content == "Where is Apple?"


def test_nobody_listening_is_unreachable(roll: Roll) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        trajectory = roll(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
    assert trajectory.failure is not None
    assert trajectory.failure.kind is FailureKind.ENDPOINT_UNREACHABLE
    assert "Connect call failed" in trajectory.failure.message


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/v1", "http:///v1", "nonsense"])
def test_address_that_leads_nowhere_is_unreachable(roll: Roll, url: str) -> None:
    trajectory = roll(url, limits=LIMITS.model_copy(update={"request_seconds": 3.0}))
    assert trajectory.failure is not None
    assert trajectory.failure.kind is FailureKind.ENDPOINT_UNREACHABLE


def test_silence_on_an_open_connection_is_wedged(roll: Roll) -> None:
    trajectory = roll([LOOK, stalls(30)], limits=LIMITS.model_copy(update={"request_seconds": 0.3}))
    assert trajectory.failure is not None
    assert trajectory.failure.kind is FailureKind.ENDPOINT_WEDGED
    assert [message.role for message in trajectory.messages] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("plain", [False, True])
def test_silence_in_the_middle_of_an_answer_is_wedged(roll: Roll, plain: bool) -> None:
    silent = Reply(text="x" * 500, pause=30, plain=plain)
    trajectory = roll([silent], limits=LIMITS.model_copy(update={"request_seconds": 0.3}))
    assert trajectory.failure is not None
    assert trajectory.failure.kind is FailureKind.ENDPOINT_WEDGED


def test_answer_that_takes_longer_than_the_silence_allowed_is_waited_for(roll: Roll) -> None:
    """Half of it after 0.6 s, the rest 0.6 s later."""
    slow = Reply(text="x" * 500, stall=0.6, pause=0.6)
    trajectory = roll([slow], limits=LIMITS.model_copy(update={"request_seconds": 0.9}))
    assert trajectory.answer == "x" * 500


def test_wall_time_ends_a_job_whatever_it_waits_for(roll: Roll) -> None:
    started = time.monotonic()
    trajectory = roll([LOOK, stalls(30)], limits=LIMITS.model_copy(update={"seconds": 0.8}))
    assert time.monotonic() - started < 5
    assert trajectory.failure is not None
    assert trajectory.failure.kind is FailureKind.TIMEOUT
    assert trajectory.failure.message == "the job's time of 0.8 s ran out"
    assert [message.role for message in trajectory.messages] == ["user", "assistant", "tool"]
    assert trajectory.messages[2].content == "a.py:1: class Apple: ..."


def test_another_model_than_asked_for_is_told(roll: Roll) -> None:
    trajectory = roll([Reply(text="hello", model="some/other")], model="the/teacher")
    assert trajectory.failure is not None
    assert trajectory.failure.kind is FailureKind.WRONG_MODEL
    assert "'the/teacher'" in trajectory.failure.message
    assert "'some/other'" in trajectory.failure.message


def test_default_model_may_have_any_name(roll: Roll) -> None:
    assert roll([Reply(text="hello", model="some/other")]).outcome == "completed"


def test_vanished_workspace_is_told(roll: Roll, tmp_path: Path) -> None:
    trajectory = roll([says("x")], root=tmp_path / "gone")
    assert trajectory.failure is not None
    assert trajectory.failure.kind is FailureKind.WORKSPACE_UNAVAILABLE


def test_fault_of_ours_is_internal_and_named(roll: Roll, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.tools.toolset._shortened", None)
    trajectory = roll([LOOK, says("x")])
    assert trajectory.failure is not None
    assert trajectory.failure.kind is FailureKind.INTERNAL
    assert "TypeError" in trajectory.failure.message
    assert trajectory.messages[1].tool_calls[0].name == "grep"  # what was said is kept


def test_answer_cut_at_max_tokens_completes_and_says_so(roll: Roll) -> None:
    trajectory = roll([cut("Apple is in")])
    assert (trajectory.outcome, trajectory.finish_reasons) == ("completed", ("length",))
    assert trajectory.answer == "Apple is in"


@pytest.mark.parametrize("reply", [Reply(), says(""), says(" \n"), cut("")])
def test_empty_answer_completes_and_stays_empty(roll: Roll, reply: Reply) -> None:
    trajectory = roll([LOOK, reply])
    assert trajectory.outcome == "completed"
    assert [message.role for message in trajectory.messages] == ["user", "assistant", "tool", "assistant"]
    assert trajectory.answer.strip() == ""


@pytest.mark.parametrize("arguments", ['{"pattern": "App', "[1]", '"text"', "null", "12"])
def test_broken_call_is_answered_by_an_error_and_can_be_mended(roll: Roll, arguments: str) -> None:
    trajectory = roll([calls(Call("grep", arguments)), LOOK, says("In a.py.")])
    assert trajectory.outcome == "completed", trajectory.failure
    assert trajectory.messages[1].tool_calls[0].arguments == arguments
    assert [message.is_error for message in trajectory.messages] == [False, False, True, False, False, False]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(calls=BROKEN.calls),  # half of a call
        LOOK,  # a whole call, and half of another that the server dropped
        Reply(text='<tool_call>{"name": "gre'),  # half of a call as text
        Reply(),  # nothing: the server could not parse half of a call
        Reply(text="Apple is in"),
        Reply(text="<think>Apple may be"),
    ],
)
def test_an_answer_cut_at_max_tokens_ends_the_rollout_as_truncated(roll: Roll, reply: Reply) -> None:
    trajectory = roll([LOOK, replace(reply, finish_reason="length"), LOOK, says("In a.py.")])
    assert trajectory.outcome == "completed"
    assert trajectory.truncated
    assert trajectory.finish_reasons == ("tool_calls", "length")
    assert [message.role for message in trajectory.messages] == ["user", "assistant", "tool", "assistant"]
    reasons = {finding.reason for finding in findings(trajectory, all_checks(max_calls=8))}
    assert RejectionReason.TRUNCATED in reasons
    assert not reasons & LACKING_WHEN_CUT


def test_request_limit_keeps_every_message(roll: Roll) -> None:
    trajectory = roll(OTHER)
    assert [message.role for message in trajectory.messages] == ["user", *(["assistant", "tool"] * 5)]
    assert trajectory.usage.requests == 5
