"""Trajectories that other programs wrote: ids that start anew in each response, arguments as text, lists of parts."""

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from config.records import JsonObject, Trajectory
from tests.support.trajectories import COUNT, GREP, SYSTEM
from worker.curate.checks import all_checks, findings
from worker.curate.sources import read


def ask(key: str, arguments: JsonValue = None, name: str = "grep") -> JsonObject:
    return {"id": key, "name": name, "arguments": {"pattern": "x"} if arguments is None else arguments}


def calls(*made: JsonObject) -> JsonObject:
    return {"role": "assistant", "content": None, "tool_calls": list(made)}


def result(key: str, content: JsonValue = "a.py:1: x", name: str = "grep") -> JsonObject:
    return {"role": "tool", "tool_call_id": key, "name": name, "content": content}


def conversation(file: Path, *messages: JsonObject) -> Trajectory:
    record = {
        "run_id": "theirs", "job_id": "000001-aaaaaaaa", "prompt": "Where is x?", "outcome": "completed",
        "system_prompt": SYSTEM, "tools": [GREP, COUNT],
        "messages": [
            {"role": "user", "content": "Where is x?"}, *messages, {"role": "assistant", "content": "x is in a.py."}
        ],
    }  # fmt: skip
    file.write_text(json.dumps(record))
    [sourced] = read([file])
    assert sourced.trajectory is not None, sourced.problem
    return sourced.trajectory


def reasons(trajectory: Trajectory) -> set[str]:
    return {finding.reason.value for finding in findings(trajectory, all_checks(max_calls=8))}


IDS = [
    # messages, the ids of their calls, the ids of their results, the reasons
    # ids that start anew in each response
    (
        [calls(ask("0"), ask("1", {"pattern": "y"})), result("0"), result("1"),
         calls(ask("0", {"pattern": "z"})), result("0")],
        ["0", "1", "0-2"], ["0", "1", "0-2"], set(),
    ),
    # no ids at all, one call a response
    ([calls(ask("")), result(""), calls(ask("", {"pattern": "y"})), result("")], ["", "call-2"], ["", "call-2"], set()),
    # an id that the second use would get is taken
    (
        [calls(ask("0"), ask("0-2", {"pattern": "y"})), result("0"), result("0-2"),
         calls(ask("0", {"pattern": "z"})), result("0")],
        ["0", "0-2", "0-3"], ["0", "0-2", "0-3"], set(),
    ),
    # two calls wait under one id: whose result is it?
    (
        [calls(ask("0"), ask("0", {"pattern": "y"})), result("0"), result("0")],
        ["0", "0"], ["0", "0"], {"unpaired_result"},
    ),
    # a call that never got a result, and one that did, under one id
    ([calls(ask("0")), calls(ask("0", {"pattern": "y"})), result("0")], ["0"] * 2, ["0"], {"unpaired_result"}),
    # a second result for one call
    ([calls(ask("0")), result("0"), result("0")], ["0"], ["0"] * 2, {"unpaired_result"}),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "of_calls", "of_results", "rejected"), IDS)
def test_a_repeated_id_is_sound_if_each_result_follows_its_call(
    messages: list[JsonObject], of_calls: list[str], of_results: list[str], rejected: set[str], tmp_path: Path
) -> None:
    trajectory = conversation(tmp_path / "theirs.jsonl", *messages)
    assert [call.id for call in trajectory.tool_calls] == of_calls
    assert [message.tool_call_id for message in trajectory.messages if message.role == "tool"] == of_results
    assert {"unpaired_result"} & reasons(trajectory) == rejected


ARGUMENTS = [
    # as written, as read, whether it is malformed
    ("", {}, False),
    ("{}", {}, False),
    ({}, {}, False),
    ('{"pattern": "x"}', {"pattern": "x"}, False),
    ('{"pattern": "App', '{"pattern": "App', True),
    ('["x"]', '["x"]', True),
]


@pytest.mark.parametrize(("written", "arguments", "malformed"), ARGUMENTS)
def test_arguments_are_read_as_a_server_reads_them(
    written: JsonValue, arguments: JsonValue, malformed: bool, tmp_path: Path
) -> None:
    made = [calls(ask("0", written, "count")), result("0", "12 files", "count")]
    trajectory = conversation(tmp_path / "theirs.jsonl", *made)
    assert trajectory.tool_calls[0].arguments == arguments
    assert ("malformed" in reasons(trajectory)) == malformed


def test_a_call_without_arguments_has_none(tmp_path: Path) -> None:
    trajectory = conversation(
        tmp_path / "theirs.jsonl", calls({"id": "0", "name": "count"}), result("0", "12 files", "count")
    )
    assert trajectory.tool_calls[0].arguments == {}


def test_text_parts_are_one_text(tmp_path: Path) -> None:
    parts: JsonValue = [{"type": "text", "text": "a.py:1: x\n"}, {"type": "text", "text": "b.py:2: x"}]
    trajectory = conversation(tmp_path / "theirs.jsonl", calls(ask("0")), result("0", parts))
    assert trajectory.messages[2].content == "a.py:1: x\nb.py:2: x"
