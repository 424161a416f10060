"""The shapes in which evaluation scripts write answers, and how `score` counts them."""

import json
from pathlib import Path

import pytest

from config.errors import UsageError
from config.records import JsonObject
from worker.cli.evaluate import score
from worker.evaluate.recorded import Recorded, read

CALL = '<tool_call>\n{"name": "grep", "arguments": {"pattern": "x"}}\n</tool_call>'
A, B = {"prompt": "p1", "response": "r1"}, {"prompt": "p2", "response": "r2"}
CHAT = {"messages": [{"role": "user", "content": "p1"}, {"role": "assistant", "content": "r1"}]}
TWO = [("p1", "r1"), ("p2", "r2")]
SHAPES: list[tuple[object, list[tuple[str, str]]]] = [
    ([A, B], TWO),
    (A, TWO[:1]),
    ({"results": [A, B]}, TWO),
    ({"model": "m", "date": "today", "results": {"base": [A], "tuned": [B]}}, TWO),
    ({"m1": {"outputs": [A]}, "m2": {"outputs": [B]}}, TWO),
    ({"config": {"model": "m"}, "samples": [CHAT]}, TWO[:1]),
    (["r1", "r2"], [("", "r1"), ("", "r2")]),
    ({"outputs": ["r1", "r2"], "config": {"model": "m"}}, [("", "r1"), ("", "r2")]),
    ({"q1": "r1", "q2": "r2"}, [("", "r1"), ("", "r2")]),
    ({"model": {"q1": "r1", "q2": "r2"}}, [("", "r1"), ("", "r2")]),
    ({"prompts": ["p1", "p2"], "responses": ["r1", "r2"]}, TWO),
    ({"prompt": "p1", "responses": ["r1", "r2"]}, [("p1", "r1"), ("p1", "r2")]),
    ([{"prompt": "p1", "outputs": [{"text": "r1"}]}], TWO[:1]),
    ([{"prompt": "p1", "base": {"answer": "r1"}, "tuned": {"answer": "r2"}}], [("p1", "r1"), ("p1", "r2")]),
    ([{"question": "p1", "prediction": "r1", "score": float("nan")}], TWO[:1]),
    ([{"prompt": "p1", "choices": [{"message": {"role": "assistant", "content": "r1"}}]}], TWO[:1]),
    ([{"messages": [{"role": "user", "content": "p1"}], "response": "r1"}], TWO[:1]),
    ([{"input": "p1", "resps": [["r1"]]}], TWO[:1]),
    (CHAT["messages"], TWO[:1]),
    ([CHAT["messages"], CHAT["messages"]], [*TWO[:1], *TWO[:1]]),
    ([{"id": 1, "conversations": [{"from": "human", "value": "p1"}, {"from": "gpt", "value": "r1"}]}], TWO[:1]),
    ([{"prompt": "p1", "response": None}], [("p1", "")]),
]


def answers(file: Path) -> list[Recorded]:
    return list(read([file]))


@pytest.mark.parametrize(("value", "expected"), SHAPES)
@pytest.mark.parametrize("indent", [None, 2])
def test_answers_are_found_in_each_shape(
    tmp_path: Path, value: object, expected: list[tuple[str, str]], indent: int | None
) -> None:
    (tmp_path / "in.json").write_text(json.dumps(value, indent=indent))
    found = [one.trajectory for one in answers(tmp_path / "in.json")]
    assert [(one.prompt, one.answer) for one in found if one] == expected
    assert None not in found


def test_json_lines_may_be_nested_too(tmp_path: Path) -> None:
    lines = [A, {"results": [A, B]}, CHAT]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert [(one.line, one.trajectory is not None) for one in answers(tmp_path / "in.jsonl")] == [
        (1, True),
        (2, True),
        (2, True),
        (3, True),
    ]


def test_tool_calls_of_a_chat_api_are_read(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "grep", "arguments": '{"pattern": "x"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    value = {"prompt": "p", "choices": [{"message": message, "finish_reason": "tool_calls"}]}
    (tmp_path / "in.json").write_text(json.dumps(value))
    (one,) = answers(tmp_path / "in.json")
    assert one.single
    assert one.trajectory is not None
    assert [made.name for made in one.trajectory.tool_calls] == ["grep"]


def test_listed_call_alone_is_a_single_answer(tmp_path: Path) -> None:
    call = {"name": "grep", "arguments": {"pattern": "x"}}
    rows = [{"prompt": "p", "response": text, "tool_calls": [call]} for text in ("", "r")]
    (tmp_path / "in.json").write_text(json.dumps(rows))
    assert [one.single for one in answers(tmp_path / "in.json")] == [True, False]


def run(capsys: pytest.CaptureFixture[str], *files: Path) -> JsonObject:
    score([*files], as_json=True)
    printed: JsonObject = json.loads(capsys.readouterr().out.splitlines()[-1])
    return printed


def test_index_counts_the_scored_answers_of_each_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torn = {"prompt": "p", "response": "r", "expect": {"contians": ["x"]}}  # cannot be scored, so it is not counted
    (tmp_path / "a.json").write_text(json.dumps({"results": [A, torn, {"prompt": "p", "response": ""}]}))
    (tmp_path / "b.jsonl").write_text("\n{torn\n" + json.dumps({"prompt": "p", "response": ""}) + "\n")
    told = run(capsys, tmp_path / "a.json", tmp_path / "b.jsonl")
    findings = told["findings"]
    assert isinstance(findings, dict)
    empty = findings["empty_answer"]
    assert isinstance(empty, dict)
    assert told["scored"] == 3
    assert empty["count"] == 2
    rows = empty["rows"]
    assert isinstance(rows, list)
    assert [(row["file"][-7:], row["index"]) for row in rows if isinstance(row, dict)] == [
        ("/a.json", 2),
        ("b.jsonl", 1),
    ]  # type: ignore[index]


def test_first_calls_alone_have_no_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.json").write_text(json.dumps([{"prompt": "p", "response": CALL}, {"response": CALL}]))
    told = run(capsys, tmp_path / "in.json")
    findings = told["findings"]
    assert isinstance(findings, dict)
    assert {name: found for name, found in findings.items() if found["count"]} == {}  # type: ignore[index, call-overload]


@pytest.mark.parametrize("content", ["[]", "{}", '{"results": []}', "[1, 2]", '{"a": 1}', "[\n{torn", "\x00", "\xff"])
def test_file_without_answers_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "in.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError) as raised:
        score([tmp_path / "in.json"])
    assert "\n" not in str(raised.value)
    assert "no recorded answer in" in str(raised.value)
