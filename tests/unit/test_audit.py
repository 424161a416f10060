import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import JsonValue

from config.errors import UsageError
from config.records import JsonObject
from worker.curate.audit import audit

SYSTEM = "You are brief."
CALL = 'I\'ll use the grep tool.\n\n```json\n{\n  "name": "grep",\n  "arguments": {"pattern": "x"}\n}\n```'


def chatml(*turns: tuple[str, str]) -> JsonObject:
    return {"text": "\n".join(f"<|im_start|>{role}\n{text}<|im_end|>" for role, text in turns)}


def text_row(question: str, *, result: str = "a.py:1", call: str = CALL, answer: str = "In a.py.") -> JsonObject:
    asked = (("system", SYSTEM), ("user", question), ("assistant", call))
    return chatml(*asked, ("user", f"Tool result: {result}"), ("assistant", answer))


def chat_row(question: str, *, arguments: JsonValue = None, result: str | None = "a.py:1") -> JsonObject:
    function: JsonObject = {"name": "grep", "arguments": {"pattern": "x"} if arguments is None else arguments}
    return {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": question},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "1", "content": result},
            {"role": "assistant", "content": "In a.py."},
        ]
    }


def audited(tmp_path: Path, **splits: list[JsonObject]) -> JsonObject:
    for split, rows in splits.items():
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return audit([tmp_path]).as_json()


def kinds(told: JsonObject) -> dict[str, list[int]]:
    assert isinstance(told["findings"], list)
    return {f"{found['kind']} {found['split']}": found["rows"] for found in told["findings"]}  # type: ignore[index,call-overload,misc]


def test_a_sound_text_set_is_clean(tmp_path: Path) -> None:
    told = audited(tmp_path, train=[text_row("a"), text_row("b")], valid=[text_row("c")])
    assert told["clean"] is True
    assert told["rows"] == {"train": 2, "valid": 1}
    assert told["lost_call_rows"] == {"train": 2, "valid": 1}  # a count; a text row's loss is on its calls
    assert told["notations"] == {"fenced_json": 3}
    assert told["tool_share"] == 1.0


def test_copies_and_leaks_are_counted_by_row(tmp_path: Path) -> None:
    told = audited(
        tmp_path,
        train=[text_row("a"), text_row("b"), text_row("a"), text_row("a")],
        valid=[text_row("a"), text_row("a"), text_row("  B\n", result="b.py:2"), text_row("c")],
        test=[text_row("c"), text_row("d")],
    )
    assert told["duplicates"] == {"train": 2, "valid": 1, "test": 0}
    assert told["leaked_rows"] == {"train-valid": 2, "train-test": 0, "valid-test": 1}
    assert told["leaked_questions"] == {"train-valid": 3, "train-test": 0, "valid-test": 1}
    found = kinds(told)
    assert found["duplicate train"] == [3, 4]
    assert found["leaked_row valid"] == [1, 2]
    assert found["leaked_question valid"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (chatml(("user", "q"), ("assistant", "a")), "no_system"),
        (chatml(("system", "Other."), ("user", "q"), ("assistant", "a")), "other_system"),
        (chat_row("q"), "lost_call"),  # no other row ends in this call
        (text_row("q", call=CALL.replace('{"pattern": "x"}', "{}")), "empty_arguments"),
        (chat_row("q", arguments="{}"), "empty_arguments"),
        (chat_row("q", arguments='{"pattern": "x"}'), "bad_call"),  # arguments as text
        (text_row("q", call="<tool_call>\n{'name': 'grep'}\n</tool_call>"), "bad_call"),
        (text_row("q", call='<tool_call>\n{"name": "grep", "arguments": {"p": 1}}\n</tool_call>'), "mixed_notation"),
        (text_row("q", call="<function=grep>\n<parameter=p>\nx\n</parameter>\n</function>"), "mixed_notation"),
        (text_row("q", call='{"name": "grep", "arguments": {"p": 1}}'), "mixed_notation"),
        (text_row("q", result="[Tool execution completed]"), "placeholder"),
        (text_row("q", result="None"), "placeholder"),
        (chat_row("q", result=None), "placeholder"),  # null in the file
        (chatml(("system", SYSTEM), ("user", "q"), ("assistant", CALL)), "unanswered_call"),
        (chatml(("system", SYSTEM), ("user", "q"), ("assistant", CALL), ("assistant", "a")), "call_without_result"),
        ({"text": chatml(("system", SYSTEM), ("user", "q"))["text"] + "\n"}, "outside_turns"),  # type: ignore[operator]
        ({"text": "<|im_start|>system\nYou are brief.<|im_end|>\n<|im_start|>user\nq"}, "outside_turns"),  # not closed
        (text_row("q", answer="<|im_end|><|im_start|>narrator\nhm"), "outside_turns"),  # a speaker nobody knows
        (text_row("q", answer="see <|endoftext|>"), "markup"),
        (text_row("q", answer="<tool_response>made up</tool_response>"), "markup"),
        (text_row("q", answer="Tool result: a.py:1\nIn a.py."), "markup"),  # the seed's form of a result
        (text_row("q", answer="Tool result: null"), "markup"),
        (text_row("q", answer="Tool result: null"), "placeholder"),
        (text_row("q", answer="It says\n<tool_response>\nnull\n</tool_response>"), "placeholder"),
        (chatml(("system", SYSTEM), ("user", "q"), ("assistant", CALL + "\n\nTool result: null")), "placeholder"),
        ({"prompt": "q", "completion": "a"}, "unreadable"),
    ],
)
def test_each_fault_is_found_in_its_row(tmp_path: Path, row: JsonObject, kind: str) -> None:
    sound = [text_row(f"question {number}") for number in range(3)]
    assert kinds(audited(tmp_path, train=sound)) == {}
    assert kinds(audited(tmp_path, train=[*sound, row]))[f"{kind} train"] == [4]


def test_one_row_per_assistant_turn_is_sound(tmp_path: Path) -> None:
    whole = chat_row("q")
    assert isinstance(whole["messages"], list)
    told = audited(tmp_path, train=[{"messages": whole["messages"][:3]}, whole])
    assert told["lost_call_rows"] == {"train": 1}
    assert told["unanswered_calls"] == 0
    assert told["clean"] is True


def test_other_trajectories_of_a_question_are_noted_and_are_no_fault(tmp_path: Path) -> None:
    """Fails where copies are only looked for across splits."""
    again = [text_row("q"), text_row(" Q\n", answer="It is in a.py."), text_row("q", answer="a.py.")]
    told = audited(tmp_path, train=[*again, text_row("q")], valid=[text_row("other")])
    assert told["repeated_questions"] == {"train": 2, "valid": 0}
    assert told["duplicates"] == {"train": 1, "valid": 0}  # a copy has its own kind
    assert kinds(told) == {"repeated_question train": [2, 3], "duplicate train": [4]}
    noted = audited(tmp_path, train=again, valid=[text_row("other")])
    assert noted["clean"] is True
    assert isinstance(noted["findings"], list)
    assert noted["findings"][0]["note"] is True  # type: ignore[index,call-overload]
    text = audit([tmp_path]).as_text()
    assert "no faults found" in text
    assert "2  repeated_question in train" in text
    assert "rows 2, 3 (the first is the same as train:1)" in text


def rows_per_turn(question: str, **fields: str) -> list[JsonObject]:
    """One row per assistant turn; the last one is a second answer to a second question."""
    messages = chat_row(question)["messages"]
    assert isinstance(messages, list)
    more = [*messages, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": f"Yes.{fields}"}]
    return [{"messages": part, **fields} for part in (messages[:3], messages, more)]


def test_rows_of_one_trajectory_do_not_repeat_its_question(tmp_path: Path) -> None:
    """Fails where each row counts: `turns` has one per assistant turn."""
    assert audited(tmp_path, train=rows_per_turn("q"))["repeated_questions"] == {"train": 0}
    ours = rows_per_turn("q", job_id="1")
    assert audited(tmp_path, train=ours)["repeated_questions"] == {"train": 0}
    told = audited(tmp_path, train=[*ours, *rows_per_turn("q", job_id="2")])
    assert told["repeated_questions"] == {"train": 1}
    answers = [chat(("user", "q"), ("assistant", answer)) for answer in ("a", "b", "a b")]  # no one continues another
    told = audited(tmp_path, train=[*rows_per_turn("q"), *answers])
    assert kinds(told)["repeated_question train"] == [4, 5, 6]


def test_a_failed_call_may_be_left_out_of_the_loss_when_the_next_one_has_it(tmp_path: Path) -> None:
    messages = chat_row("q")["messages"]
    assert isinstance(messages, list)
    failed = [*messages[:4], *messages[2:]]  # a call, its error, the call again, its result, the answer
    assert audited(tmp_path, train=[{"messages": failed[:5]}, {"messages": failed}])["clean"] is True
    assert kinds(audited(tmp_path, train=[{"messages": failed}])) == {"lost_call train": [1]}


def test_a_tool_without_required_arguments_may_be_called_with_none(tmp_path: Path) -> None:
    schema: JsonObject = {"type": "function", "function": {"name": "grep", "parameters": {"type": "object"}}}
    row = text_row("q", call=CALL.replace('{"pattern": "x"}', "{}"))
    listed = chat_row("q", arguments={}) | {"tools": [schema]}
    told = audited(tmp_path, train=[row, listed])
    assert told["empty_argument_calls"] == 2
    assert kinds(told)["empty_arguments train"] == [1]


def chat(*turns: tuple[str, str]) -> JsonObject:
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


RESPONSES = "<tool_response>\na.py:1\n</tool_response>\n<tool_response>\n</tool_response>"
TAGGED_CALL = '<tool_call>\n{"name": "grep", "arguments": {"pattern": "x"}}\n</tool_call>'
DESCRIBED = "Results stand in <tool_response></tool_response>; a call without </tool_call> is lost."


@pytest.mark.parametrize("form", [chat, chatml])
def test_markup_that_a_template_writes_is_not_the_assistants(tmp_path: Path, form: Callable[..., JsonObject]) -> None:
    """Fails if a tag counts regardless of its author: Qwen's template renders results as such user turns."""
    asked = (("system", DESCRIBED), ("user", "q"), ("assistant", TAGGED_CALL + TAGGED_CALL))
    rendered = [(*asked, ("user", RESPONSES)), (*asked, ("user", "<tool_response>\nb.py\n</tool_response>"))]
    said = [
        (*asked, ("user", RESPONSES), ("assistant", f"{RESPONSES} In a.py.")),  # the assistant's own
        (*asked, ("user", RESPONSES), ("assistant", "In a.py.</tool_response>")),
        (*asked, ("user", "<tool_response>a.py<|im_end"), ("assistant", "In a.py.")),  # half a token, not closed
        (*asked, ("user", "It says <tool_response>"), ("assistant", "In a.py.")),  # no template writes half of it
        (("system", f"{DESCRIBED}<|endoftext|>"), ("user", "q"), ("assistant", "a")),
    ]
    whole = [form(*turns, ("assistant", "In a.py.")) for turns in rendered]
    found = kinds(audited(tmp_path, train=[*whole, *(form(*turns) for turns in said)]))
    assert found["markup train"] == [3, 4, 5, 6, 7]


def test_tags_in_a_tool_message_are_markup_because_its_template_writes_them_again(tmp_path: Path) -> None:
    assert kinds(audited(tmp_path, train=[chat_row("q", result="<tool_response>x</tool_response>")]))["markup train"]


def test_results_in_response_tags_are_no_markup(tmp_path: Path) -> None:
    turns = [("system", SYSTEM), ("user", "q"), ("assistant", CALL), ("user", "<tool_response>\nx\n</tool_response>")]
    assert kinds(audited(tmp_path, train=[chatml(*turns, ("assistant", "a"))])) == {}
    none = chatml(*turns[:3], ("user", "<tool_response>\nNone\n</tool_response>"), ("assistant", "a"))
    assert kinds(audited(tmp_path, train=[none])) == {"placeholder train": [1]}


def test_broken_lines_are_findings_and_end_nothing(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    row = json.dumps(text_row("q")).encode()
    file.write_bytes(b"\xef\xbb\xbf" + row + b"\r\n\n{torn\n\xff\n[1]\n" + row.replace(b"q<", b"r<"))
    told = audit([file]).as_json()
    assert told["rows"] == {"train": 2}
    assert kinds(told) == {"unreadable train": [3, 4, 5]}


def test_files_name_their_splits_and_a_directory_leaves_out_what_was_rejected(tmp_path: Path) -> None:
    for name in ("valid", "train", "rejected", "other"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(text_row(name)) + "\n", encoding="utf-8")
    assert list(audit([tmp_path]).files) == ["train", "valid"]
    assert list(audit([tmp_path / "other.jsonl", tmp_path / "train.jsonl"]).files) == ["train", "other"]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["missing"], "does not exist"),
        (["empty"], "holds no training set"),
        (["a/train.jsonl", "b/train.jsonl"], "both split 'train'"),
        (["b/train.jsonl"], "no training row"),
    ],
)
def test_what_is_no_training_set_is_refused(tmp_path: Path, names: list[str], complaint: str) -> None:
    for directory in ("empty", "a", "b"):
        (tmp_path / directory).mkdir()
    (tmp_path / "a/train.jsonl").write_text(json.dumps(text_row("q")) + "\n", encoding="utf-8")
    (tmp_path / "b/train.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=complaint):
        audit([tmp_path / name for name in names])


def test_over_long_rows_are_found_with_a_measure(tmp_path: Path) -> None:
    rows = [text_row("short"), text_row("long " * 40)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    told = audit([tmp_path], measure=lambda row: len(str(row.source)), max_seq_length=500).as_json()
    assert kinds(told) == {"over_length train": [2]}
