"""What servers send beside text and calls, recorded as it is sent back: reasoning, text in parts, empty arguments."""

import json
from pathlib import Path

import pytest

from config.records import JsonObject, Limits, Trajectory
from tests.support import rollout
from tests.support.scripted_endpoint import Reply, says
from tests.support.students import NOTATIONS, student_of
from worker.curate.loss_mask import losses
from worker.curate.render import render_text, render_turns

PLAIN: JsonObject = {"id": "c1", "type": "function", "function": {"name": "list_dir", "arguments": "{}"}}


def message(content: object = None, *calls: JsonObject, **fields: object) -> Reply:
    said = {"role": "assistant", "content": content, "tool_calls": list(calls or [PLAIN]), **fields}
    choice = {"index": 0, "message": said, "finish_reason": "tool_calls"}
    return Reply(body=json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]}))


def without_arguments(**function: object) -> JsonObject:
    return {**PLAIN, "function": {"name": "list_dir", **function}}


def roll(tmp_path: Path, *replies: Reply) -> tuple[Trajectory, list[JsonObject]]:
    (tmp_path / "a.py").write_text("class Apple: ...\n")
    return rollout.roll(tmp_path, replies, prompt="What is here?", limits=Limits(seconds=20))


PARTS = [
    # the first answer, and the text that is recorded
    (message("\n"), None),
    (message(" \n\n"), None),
    (message("Let me look.\n"), "Let me look."),
    (message("\n\nLet me look:\n\n  a\n\tb\n"), "Let me look:\n\n  a\n\tb"),
    (message([{"type": "text", "text": "Let me "}, {"type": "text", "text": "look.\n"}]), "Let me look."),
    # reasoning in the text, in a field by either name, and with its opening tag in the generation prompt
    (message("<think>\nI must look.\n</think>\n\nLet me look."), "Let me look."),
    (message("<think>I must look.</think>\n"), None),
    (message("Let me look.\n", reasoning="I must look."), "Let me look."),
    (message("", reasoning_content="I must look."), None),
    (message("I must look.\n</think>\n\nLet me look."), "Let me look."),
    (message("The tag `</think>` ends it."), "The tag `</think>` ends it."),
    # calls without arguments
    (message(None, without_arguments(arguments="")), None),
    (message(None, without_arguments(arguments=" {} ")), None),
]


@pytest.mark.parametrize(("reply", "content"), PARTS)
def test_a_turn_is_recorded_as_it_is_sent_back(reply: Reply, content: str | None, tmp_path: Path) -> None:
    trajectory, requests = roll(tmp_path, reply, says("a.py is here."))
    assert trajectory.outcome == "completed", trajectory.failure
    said = trajectory.messages[1]
    assert said.content == content
    assert said.tool_calls[0].arguments == {}
    sent = requests[1]["messages"]
    assert isinstance(sent, list)
    assert isinstance(sent[2], dict)
    assert sent[2].keys() == {"role", "content", "tool_calls"}  # no field with reasoning
    assert sent[2]["content"] == content
    assert "I must look" not in json.dumps(requests[1])
    assert sent[2]["tool_calls"] == [PLAIN]


@pytest.mark.parametrize("notation", NOTATIONS)
def test_every_such_turn_passes_the_proof(notation: str, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    student = student_of(notation, tmp_path / "student")
    for reply, _ in PARTS:
        trajectory, _ = roll(tmp_path / "code", reply, says("\n\na.py is here.\n"))
        for render, foreign_allowed in ((render_text, True), (render_turns, False)):
            counted = losses(render(trajectory, student), student, max_seq_length=4096)
            assert counted.faults(foreign_allowed=foreign_allowed) == (), reply
