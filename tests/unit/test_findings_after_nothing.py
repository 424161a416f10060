"""Answers after nothing but empty or failed results: those that assert something are found, honest ones are not."""

import json
from pathlib import Path

import pytest

from config.records import JsonObject, Message, ToolCall, Trajectory
from worker.evaluate.causes import failure_causes
from worker.evaluate.score import AnswerFault, observe

FILE = Path(__file__).parents[1] / "data" / "answers_after_nothing.jsonl"
ROWS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
PLANTED = [row for row in ROWS if not row["honest"]]
HONEST = [row for row in ROWS if row["honest"]]


def trajectory(row: JsonObject, number: int = 1) -> Trajectory:
    question, calls, answer = row["question"], row["calls"], row["answer"]
    assert isinstance(question, str)
    assert isinstance(calls, list)
    messages = [Message(role="user", content=question)]
    for place, call in enumerate(calls):
        name, arguments, result, is_error = call  # type: ignore[misc]
        made = ToolCall.model_validate({"id": f"c{place}", "name": name, "arguments": arguments})
        messages.append(Message(role="assistant", tool_calls=(made,)))
        messages.append(Message(role="tool", tool_call_id=f"c{place}", content=str(result), is_error=bool(is_error)))
    messages.append(Message(role="assistant", content=str(answer)))
    fields = {"run_id": "r", "job_id": f"{number:06d}-0", "prompt": question, "outcome": "completed"}
    return Trajectory.model_validate(fields | {"messages": messages})


def is_found(row: JsonObject) -> bool:
    found = observe(trajectory(row), needs_tools=True).found
    return AnswerFault.UNSUPPORTED_CLAIM in {finding.fault for finding in found}


def test_answers_that_assert_something_after_nothing_are_found() -> None:
    missed = [row["answer"] for row in PLANTED if not is_found(row)]
    assert len(PLANTED) >= 40
    assert len(missed) <= 0.05 * len(PLANTED), missed


@pytest.mark.parametrize("row", HONEST, ids=lambda row: row["answer"][:40])
def test_honest_answer_after_a_search_that_would_have_found_it_is_not_a_claim(row: JsonObject) -> None:
    assert not is_found(row)


def test_their_cause_is_named_and_not_the_missing_support() -> None:
    causes = {cause.cause: cause.count for cause in failure_causes(map(trajectory, PLANTED, range(len(PLANTED))))}
    assert causes["answered_after_nothing"] + causes["name_miscopied"] >= 0.95 * len(PLANTED)
