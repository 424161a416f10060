import json
from pathlib import Path

import pytest
import typer

from config.errors import UsageError
from config.records import JsonObject, Prompt
from worker.cli.evaluate import score
from worker.evaluate.call_parsing import parse_answer
from worker.evaluate.held_out import read_prompts
from worker.evaluate.record_fields import is_single
from worker.evaluate.recorded import to_trajectory
from worker.evaluate.score import AnswerFault, observe

CALL = '<tool_call>\n{"name": "grep", "arguments": {"pattern": "x"}}\n</tool_call>'
FENCE = 'I\'ll use the grep tool.\n\n```json\n{\n  "name": "grep",\n  "arguments": {"pattern": "x"}\n}\n```'
XML = "<tool_call>\n<function=grep>\n<parameter=pattern>\nx\n</parameter>\n</function>\n</tool_call>"


def chatml(*turns: tuple[str, str]) -> str:
    return "\n".join(f"<|im_start|>{role}\n{text}<|im_end|>" for role, text in turns)


def found(record: JsonObject, *, needs: bool | None = None) -> set[AnswerFault]:
    trajectory = to_trajectory(record, run_id="r", number=1)
    return {one.fault for one in observe(trajectory, needs_tools=needs, single=is_single(record)).found}


@pytest.mark.parametrize("text", [CALL, FENCE, XML, CALL.removesuffix("</tool_call>")])
def test_call_in_text_is_read_in_each_notation(text: str) -> None:
    spoken = parse_answer(f"Let me see.\n{text}", row="1")
    assert [(call.name, call.arguments) for call in spoken.calls] == [("grep", {"pattern": "x"})]
    assert spoken.before.startswith(("Let me see.", "I'll"))
    assert spoken.after == ""


def test_code_that_is_no_call_stays_words() -> None:
    text = 'The configuration is\n```json\n{"name": "celery", "version": 5}\n```'
    assert parse_answer(text, row="1").calls == ()
    assert parse_answer(text, row="1").after == text


SOUND: list[JsonObject] = [
    {"prompt": "What is a queue?", "answer": "A list of waiting things."},
    {"question": "What is a queue?", "response": "A list of waiting things.<|im_end|>"},  # its own stop token
    {"instruction": "q", "output": "An answer", "requires_tools": False},
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "function": {"name": "grep", "arguments": '{"pattern": "x"}'}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "app.py:1: x"},
            {"role": "assistant", "content": "In app.py"},
        ]
    },
    {
        "text": chatml(
            ("system", "s"), ("user", "q"), ("assistant", FENCE), ("user", "Tool result: x"), ("assistant", "a")
        )
    },
    {
        "text": chatml(
            ("user", "q"), ("assistant", CALL), ("user", "<tool_response>\nx\n</tool_response>"), ("assistant", "a")
        )
    },
    {"query": "q", "tool_calls": [{"tool": "grep", "args": {"pattern": "x"}, "result": "app.py"}], "answer": "a"},
    {"prompt": "q", "tool_calls": [{"name": "grep", "args": '{"pattern": "x"}', "result": "app.py"}], "answer": "a"},
]


@pytest.mark.parametrize("record", SOUND)
def test_sound_record_of_each_form_has_no_fault(record: JsonObject) -> None:
    assert found(record) == set()


NO_RESULT = AnswerFault.NO_REAL_RESULT
PLANTED: list[tuple[JsonObject, set[AnswerFault]]] = [
    # it goes on calling, nobody answers
    ({"prompt": "q", "answer": f"{CALL}\n{CALL}\n{CALL}"}, {AnswerFault.LOOP}),
    # it answers its own call
    (
        {"prompt": "q", "answer": f"{FENCE}\nTool result: app.py\nIt is in app.py"},
        {AnswerFault.INVENTED_RESULT},
    ),
    # it goes on with the conversation
    ({"prompt": "q", "answer": "a<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>"}, {AnswerFault.INVENTED_TURN}),
    ({"prompt": "q", "answer": "a\n\nHuman: and what about this?\nAssistant: b"}, {AnswerFault.INVENTED_TURN}),
    ({"prompt": "q", "answer": ""}, {AnswerFault.EMPTY_ANSWER, AnswerFault.NO_FINAL_ANSWER}),
    ({"prompt": "q", "answer": "a", "finish_reason": "length"}, {AnswerFault.CUT_ANSWER, AnswerFault.NO_FINAL_ANSWER}),
    ({"prompt": "q", "answer": "a", "expect": {"contains": ["b"]}}, {AnswerFault.WRONG_ANSWER}),
    ({"prompt": "q", "answer": "<tool_call>{oops</tool_call> a"}, {AnswerFault.MALFORMED_CALL}),
    # a recorded null is no result, nor is one that is not there
    (
        {"query": "q", "tool_calls": [{"tool": "g", "args": {}, "result": None}], "answer": "a"},
        {NO_RESULT},
    ),
    ({"query": "q", "tool_calls": [{"tool": "g", "args": {}}], "answer": "a"}, {NO_RESULT}),
    # the transcript ends in a call
    ({"text": chatml(("user", "q"), ("assistant", CALL))}, {NO_RESULT, AnswerFault.NO_FINAL_ANSWER}),
    (
        {"text": chatml(("user", "q"), *[("assistant", CALL), ("user", "Tool result: x")] * 3, ("assistant", "a"))},
        {AnswerFault.LOOP},
    ),
]


@pytest.mark.parametrize(("record", "faults"), PLANTED)
def test_planted_fault_is_found_in_each_form(record: JsonObject, faults: set[AnswerFault]) -> None:
    assert found(record) == faults


def test_need_of_tools_counts_only_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[JsonObject] = [
        {"prompt": "q", "answer": "a"},
        {"prompt": "q", "answer": "a", "requires_tools": True},
        {"query": "q", "answer": "a", "tool_calls": [], "metadata": {"requires_tools": True}},
        {"prompt": "q", "answer": CALL + "a", "requires_tools": False},
    ]
    told = run_score(tmp_path, [json.dumps(row) for row in rows], capsys)
    assert told["metrics"]["tool_when_needed"]["count"] == 0
    assert told["metrics"]["tool_when_needed"]["of"] == 2
    assert [row["line"] for row in told["findings"]["no_tool_when_needed"]["rows"]] == [2, 3]
    assert [row["line"] for row in told["findings"]["tool_when_not_needed"]["rows"]] == [4]


def test_broken_lines_are_told_and_do_not_end_the_reading(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ['{"prompt": "q", "answer": "a"}', "{torn", "[1]", '{"prompt": "q"}', '{"messages": [3]}', ""]
    rows += ['{"prompt": "q", "answer": "a", "expect": {"contians": ["b"]}}', '{"prompt": "q", "answer": "b"}']
    told = run_score(tmp_path, rows, capsys)
    assert told["scored"] == 2
    assert [one["line"] for one in told["broken"]] == [2, 3, 4, 5, 7]
    assert all(one["reason"] for one in told["broken"])


@pytest.mark.parametrize("content", ["", "{torn\n", '{"prompt": "q"}\n'])
def test_a_file_without_a_record_is_refused(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"no recorded answer in '.*in\.jsonl'"):
        score([file])
    assert capsys.readouterr() == ("", "")


def test_nothing_scored_falls_short(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"prompt": "q", "answer": "a", "expect": {"contians": ["b"]}}\n')  # an answer, and no way to score
    with pytest.raises(typer.Exit) as raised:
        score([file])
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_people_read_stdout_when_no_program_does(
    tmp_path: Path, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "q", "answer": "a"}\n')
    score([tmp_path / "in.jsonl"], as_json=as_json)
    told = capsys.readouterr()
    people, other = (told.err, told.out) if as_json else (told.out, told.err)
    assert "loop" in people
    assert len(other.splitlines()) == as_json


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.jsonl"):
        score([tmp_path / "nowhere.jsonl"])


def test_prompts_come_from_a_file_or_a_datasets_held_out_rows(tmp_path: Path) -> None:
    (tmp_path / "held_out.jsonl").write_text('{"prompt": "q", "requires_tools": false}\n')
    assert read_prompts(tmp_path) == [Prompt(prompt="q", requires_tools=False)]
    (tmp_path / "named.jsonl").write_text('{"prompt": "q", "job_id": "000001-aaaaaaaa"}\n')
    assert [prompt.job_id for prompt in read_prompts(tmp_path / "named.jsonl")] == ["000001-aaaaaaaa"]
    (tmp_path / "bad.jsonl").write_text('{"prompt": "q"}\n{"promt": "q"}\n')
    with pytest.raises(UsageError, match=r"bad\.jsonl:2: "):
        read_prompts(tmp_path / "bad.jsonl")


def run_score(folder: Path, rows: list[str], capsys: pytest.CaptureFixture[str]) -> dict:  # type: ignore[type-arg]
    file = folder / "in.jsonl"
    file.write_text("\n".join(rows) + "\n")
    score([file], as_json=True)
    return json.loads(capsys.readouterr().out.splitlines()[-1])
