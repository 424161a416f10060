"""Streams of a real server, carried through capture, rendering, loss proof and served prefix in four notations."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.errors import FailureKind, RejectionReason
from config.records import Failure, JsonObject, Limits, Spec, Trajectory
from tests.support.served_answers import Conversation, recorded, replaying, tools
from tests.support.students import NOTATIONS, student_of
from worker.curate.checks import all_checks, findings
from worker.curate.loss_mask import losses, own_tokens
from worker.curate.proof_causes import causes
from worker.curate.render import render_text, render_turns
from worker.generate.agent import converse, endpoint_teacher
from worker.generate.agent.agent_loop import TOOL_RETRIES
from worker.student.tokenizer import Student

SPEC = Spec(run_id="replay", limits=Limits(requests=6, tool_calls=8))
# A sound recording has none of these: each call was run, and its result recorded.
UNSOUND = {
    RejectionReason.NULL_RESULT,
    RejectionReason.UNPAIRED_RESULT,
    RejectionReason.PHANTOM_CALL,
    RejectionReason.MALFORMED,
    RejectionReason.CHAT_MARKUP,
}


@dataclass(frozen=True)
class Replayed:
    """What the agent loop makes of a recorded conversation."""

    conversation: Conversation
    trajectory: Trajectory
    requests: list[JsonObject]
    """bodies, as sent"""

    @property
    def is_parallel(self) -> bool:
        return any(len(message.tool_calls) > 1 for message in self.trajectory.messages)


def replay(number: int, conversation: Conversation) -> Replayed:
    schemas, requests = tools(), []
    streams = [stream.raw for stream in conversation.streams]
    again = streams[-1:] * TOOL_RETRIES if is_lost(conversation) else []  # it ended there when it was recorded
    with replaying([*streams, *again], requests) as url:
        said = asyncio.run(
            converse(
                conversation.prompt,
                system_prompt=SPEC.system_prompt,
                teacher=endpoint_teacher(url, model="default_model", sampling=None, request_seconds=10),
                limits=SPEC.limits,
                schemas=schemas,
                tools=conversation.tools(schemas),
            )
        )
    trajectory = Trajectory(
        run_id="replay",
        job_id=f"{number:06d}-aaaaaaaa",
        prompt=conversation.prompt,
        category=conversation.category,
        system_prompt=SPEC.system_prompt,
        tools=tuple(schemas),
        messages=said.messages,
        outcome="failed" if said.error else "completed",
        failure=Failure(kind=said.error.kind, message=str(said.error)) if said.error else None,
        finish_reasons=said.finish_reasons,
    )
    return Replayed(conversation, trajectory, requests)


@pytest.fixture(scope="module")
def replayed() -> list[Replayed]:
    return [replay(number, conversation) for number, conversation in enumerate(recorded())]


def is_lost(conversation: Conversation) -> bool:
    """Whether the server dropped a call that it could not parse."""
    last = conversation.streams[-1]
    return last.finish_reason == "tool_calls" and not any(delta.get("tool_calls") for delta in last.deltas)


def sound(replayed: Iterable[Replayed]) -> list[Replayed]:
    """Those that reached an answer."""
    return [one for one in replayed if one.trajectory.outcome == "completed" and not one.trajectory.truncated]


@pytest.fixture(scope="module", params=NOTATIONS)
def student(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Student:
    return student_of(request.param, tmp_path_factory.mktemp(request.param))


def test_the_corpus_is_what_it_says(replayed: list[Replayed]) -> None:
    streams = [stream for one in replayed for stream in one.conversation.streams]
    assert len(streams) >= 200
    assert {one.conversation.temperature for one in replayed} == {0.1, 0.7, 1.0}
    assert {one.conversation.code for one in replayed} == {"celery", "click"}
    assert {stream.finish_reason for stream in streams} == {"stop", "tool_calls", "length"}
    assert sum(one.is_parallel for one in replayed) >= 10
    assert any(delta.get("content") == "\n" for stream in streams for delta in stream.deltas)
    assert len(sound(replayed)) >= 60


def test_replay_sends_the_recorded_requests(replayed: list[Replayed]) -> None:
    for one in replayed:
        sent: list[JsonObject] = []
        assert len(one.requests) == len(one.conversation.requests) + TOOL_RETRIES * is_lost(one.conversation)
        for request, new in zip(one.requests, one.conversation.requests, strict=False):
            sent += new
            assert request["messages"] == sent
            assert request["tools"] == tools()


def test_every_sound_answer_passes_the_proof(student: Student, replayed: list[Replayed]) -> None:
    for one in sound(replayed):
        for render, foreign_allowed in ((render_text, True), (render_turns, False)):
            rendered = render(one.trajectory, student)
            faults = losses(rendered, student, max_seq_length=4096).faults(foreign_allowed=foreign_allowed)
            assert faults == (), one.trajectory.messages
            assert causes(one.trajectory, rendered, student) == {}


def test_the_server_prefills_the_trained_prefix(student: Student, replayed: list[Replayed]) -> None:
    """mlx_lm's own rendering of each request, token for token; and each trained turn is in the request after it."""
    asked = [(one, render_text(one.trajectory, student).spans) for one in sound(replayed)]
    requests = [{"messages": body["messages"], "tools": body["tools"]} for one, _ in asked for body in one.requests]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.mlx_rows", str(student.directory)],
        input=json.dumps({"turns": [], "text": [], "requests": requests, "said": []}),
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    served = iter([tuple(ids) for ids in json.loads(done.stdout.splitlines()[-1])["requests"]])
    for one, spans in asked:
        assert len(spans) == len(one.requests)
        before: tuple[int, ...] = ()
        for span in spans:
            prompt = next(served)
            assert prompt == span.prompt_ids
            assert prompt[: len(before)] == before
            before = own_tokens(span.through_ids[len(prompt) :], student)
            before = (*prompt, *before)


def test_nothing_is_rejected_for_a_wrong_reason(replayed: list[Replayed]) -> None:
    checks = all_checks(max_calls=8)
    failures: Counter[FailureKind] = Counter()
    for one in replayed:
        reasons = {finding.reason for finding in findings(one.trajectory, checks)}
        assert one.trajectory.failure or not reasons & UNSOUND, findings(one.trajectory, checks)
        is_cut = one.conversation.streams[-1].finish_reason == "length"
        assert (RejectionReason.TRUNCATED in reasons) == one.trajectory.truncated == is_cut
        if one.trajectory.failure:
            failures[one.trajectory.failure.kind] += 1
        assert one.trajectory.lost_calls == (1 + TOOL_RETRIES) * is_lost(one.conversation)
        if is_lost(one.conversation):
            assert one.trajectory.failure
            assert one.trajectory.failure.kind is FailureKind.MALFORMED_TOOL_CALL
    of_the_model = {FailureKind.REQUEST_LIMIT, FailureKind.TOOL_RETRIES_EXCEEDED}
    assert failures[FailureKind.MALFORMED_TOOL_CALL]
    assert set(failures) - of_the_model == {FailureKind.MALFORMED_TOOL_CALL}


@pytest.mark.parametrize("notation", ["chatml_tools", "qwen25"])  # the others trim the text beside calls themselves
def test_the_proof_catches_line_breaks_between_calls(
    notation: str, replayed: list[Replayed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted fault: content is recorded and rendered as the server sent it."""
    student = student_of(notation, tmp_path)
    parallel = [one.conversation for one in sound(replayed) if one.is_parallel]
    monkeypatch.setattr("worker.generate.agent.teacher.own_text", str)
    monkeypatch.setattr("worker.curate.chat.own_text", lambda content: content or "")
    found: Counter[str] = Counter()
    for number, conversation in enumerate(parallel):
        trajectory = replay(number, conversation).trajectory
        found.update(causes(trajectory, render_turns(trajectory, student), student).keys())
    assert len(parallel) >= 10
    assert sum(found.values()) >= len(parallel)
    assert all("merges into other tokens with the end of the generation prompt" in cause for cause in found)
