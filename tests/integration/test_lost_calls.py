"""Tool calls that the model server could not parse: what mlx_lm's parser refuses, and what a rollout does about it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import FailureKind, RejectionReason
from config.records import JsonObject, Limits, Trajectory
from tests.support import rollout
from tests.support.scripted_endpoint import Reply, Script, call, calls, says
from worker.curate.chat import chat_messages, turns
from worker.curate.checks import all_checks, findings
from worker.generate.agent.agent_loop import CALL_AGAIN, TOOL_RETRIES
from worker.tools import toolset

LOST = Reply(finish_reason="tool_calls")
LOST_WITH_TEXT = Reply(text="I will look.", finish_reason="tool_calls")
LOOK, ANSWER = calls(call("grep", pattern="Apple")), says("Apple is in a.py.")


def roll(tmp_path: Path, script: Script, **limits: int) -> tuple[Trajectory, list[JsonObject]]:
    (tmp_path / "a.py").write_text("class Apple: ...\nx = null\n")
    return rollout.roll(tmp_path, script, prompt="Where is Apple?", limits=Limits(**limits))


@pytest.mark.parametrize("lost", [LOST, LOST_WITH_TEXT])
@pytest.mark.parametrize("before", [(), (calls(call("list_dir")),)])
def test_the_model_is_asked_again_and_the_lost_turn_is_not_trained_on(
    tmp_path: Path, lost: Reply, before: tuple[Reply, ...]
) -> None:
    trajectory, requests = roll(tmp_path, [*before, lost, LOOK, ANSWER])
    assert trajectory.failure is None
    assert trajectory.lost_calls == 1
    assert trajectory.answer == ANSWER.text
    sent = requests[1 + len(before)]["messages"]
    assert isinstance(sent, list)
    assert sent[-2:] == [
        {"role": "assistant", "content": lost.text or ""},
        {"role": "user", "content": CALL_AGAIN},
    ]
    assert [message.role for message in trajectory.messages if message.is_error] == ["user"]
    assert findings(trajectory, all_checks(max_calls=8)) == ()
    rendered = chat_messages(trajectory)
    assert CALL_AGAIN not in [message["content"] for message in rendered]
    assert [rendered[turn.index]["role"] for turn in turns(trajectory)] == ["assistant"] * (2 + len(before))
    whole, _ = roll(tmp_path, [*before, LOOK, ANSWER])
    assert [message["role"] for message in rendered] == [message["role"] for message in chat_messages(whole)]


def test_a_model_that_does_not_repeat_its_call_is_rejected(tmp_path: Path) -> None:
    trajectory, _ = roll(tmp_path, [LOOK, LOST, ANSWER])
    assert RejectionReason.RETRY_UNANSWERED in {one.reason for one in findings(trajectory, all_checks(max_calls=8))}


def test_a_call_that_is_always_lost_fails_after_some_turns(tmp_path: Path) -> None:
    trajectory, requests = roll(tmp_path, [LOST] * 9)
    assert trajectory.failure is not None
    assert trajectory.failure.kind is FailureKind.MALFORMED_TOOL_CALL
    assert trajectory.lost_calls == len(requests) == 1 + TOOL_RETRIES
    enough, _ = roll(tmp_path, [*[LOST] * TOOL_RETRIES, LOOK, *[LOST] * TOOL_RETRIES, LOOK, ANSWER], repeats=9)
    assert enough.failure is None  # it counts turns in a row


def test_a_cut_call_is_truncated_and_not_lost(tmp_path: Path) -> None:
    trajectory, requests = roll(tmp_path, [Reply(finish_reason="length")])
    assert trajectory.truncated
    assert (trajectory.lost_calls, len(requests)) == (0, 1)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("grep", {"pattern": None}, "to search for the word null write [n]ull"),
        ("count", {"pattern": None}, "to search for the word null write [n]ull"),  # and not a count of files
        ("read_file", {"path": None}, "argument 'path' is null"),
    ],
)
def test_a_null_argument_is_refused_in_words_that_help(
    tmp_path: Path, name: str, arguments: dict[str, None], words: str
) -> None:
    trajectory, _ = roll(tmp_path, [calls(call(name, **arguments)), LOOK, ANSWER])
    assert words in (trajectory.messages[2].content or "")
    assert trajectory.messages[2].is_error
    again, _ = roll(tmp_path, [calls(call("grep", pattern="[n]ull", path=None)), ANSWER])  # a default may be null
    assert again.messages[2].content == "a.py:2: x = null"


PARSE = """
import json, sys
from mlx_lm.server import ToolCallFormatter
from mlx_lm.tool_parsers import json_tools, qwen3_coder
tools, given = json.loads(sys.stdin.read())
parsers = {"qwen3_coder": qwen3_coder, "json_tools": json_tools}
for parser, text in given:
    made = ToolCallFormatter(parsers[parser].parse_tool_call, tools)([text])
    print(json.dumps([json.loads(one["function"]["arguments"]) for one in made]))
"""
XML = "\n<function={}>\n<parameter={}>\n{}\n</parameter>\n</function>\n"


def test_what_mlx_lm_does_with_calls_that_it_cannot_parse() -> None:
    """If this fails with a newer mlx_lm, the server may report such calls: see agent_loop.CALL_AGAIN."""
    texts = [
        ("qwen3_coder", XML.format("read_file", "start", "None"), []),
        ("qwen3_coder", XML.format("read_file", "start", ""), []),
        ("qwen3_coder", XML.format("grep", "pattern", "null"), [{"pattern": None}]),
        ("qwen3_coder", XML.format("grep", "pattern", "None"), [{"pattern": "None"}]),
        ("qwen3_coder", XML.format("grep", "pattern", "App")[:-14], []),  # cut by max_tokens
        ("json_tools", '{"name": "grep", "arguments": {"pattern": "App', []),
    ]
    schemas = toolset.schemas(("read_file", "grep"))
    done = subprocess.run(
        [sys.executable, "-c", PARSE],
        input=json.dumps([schemas, [text[:2] for text in texts]]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [expected for _, _, expected in texts]
    assert done.stderr.count("Failed to parse tool call") == 4
