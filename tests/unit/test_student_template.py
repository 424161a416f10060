"""The chat template: what a served prompt and a training row have in common, token for token."""

import json
from pathlib import Path

import pytest

from config.records import JsonObject
from tests.support.tiny_student import make_tiny_student
from worker.student import templates
from worker.student.tokenizer import Student

TOOLS: list[JsonObject] = [
    {
        "type": "function",
        "function": {
            "name": "grep",
            "parameters": {
                "type": "object",
                "properties": {
                    "pattern": {"type": "string"},
                    "lines": {"type": "integer"},
                    "path": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
                "required": ["pattern", "lines"],
            },
        },
    },
    {"type": "function", "function": {"name": "now"}},
]


def call(name: str, arguments: object) -> JsonObject:
    return {"id": name, "type": "function", "function": {"name": name, "arguments": arguments}}  # type: ignore[dict-item]


MESSAGES: list[JsonObject] = [
    {"role": "system", "content": "Look first."},
    {"role": "user", "content": 'Who says "héllo" 42 times?'},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [call("grep", {"pattern": 'a<b "é"', "lines": 3}), call("now", {})],
    },
    {"role": "tool", "tool_call_id": "grep", "content": "x.py:1"},
    {"role": "tool", "tool_call_id": "now", "content": "noon"},
    {"role": "assistant", "content": "x.py does."},
]
RENDERED = """<|im_start|>system
Look first.
Tools:
grep(pattern, lines: integer, path?)
now()<|im_end|>
<|im_start|>user
Who says "héllo" 42 times?<|im_end|>
<|im_start|>assistant
<tool_call>
{"name": "grep", "arguments": {"pattern": "a<b \\"é\\"", "lines": 3}}
</tool_call>
<tool_call>
{"name": "now", "arguments": {}}
</tool_call><|im_end|>
<|im_start|>tool
x.py:1<|im_end|>
<|im_start|>tool
noon<|im_end|>
<|im_start|>assistant
x.py does.<|im_end|>"""


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(make_tiny_student(tmp_path_factory.mktemp("student")))


def test_render_of_a_whole_conversation(student: Student) -> None:
    assert student.render(MESSAGES, TOOLS) == RENDERED


def test_what_is_served_is_the_beginning_of_what_is_learnt(student: Student) -> None:
    for turn in (2, 5):
        prompt = student.ids([student.render(MESSAGES[:turn], TOOLS, prompt=True)])[0]
        row = student.ids([student.render(MESSAGES[: turn + 1], TOOLS)])[0]
        assert row[: len(prompt)] == prompt
        assert row[-1] == student.eos_id


ARGUMENTS = [
    (
        json.dumps({"pattern": "x"}),
        '"arguments": {"pattern": "x"}',
    ),  # text as OpenAI's clients send it: not encoded twice
    ("", '"arguments": {}'),
    (None, '"arguments": {}'),
]


@pytest.mark.parametrize(("arguments", "written"), ARGUMENTS)
def test_render_of_arguments_that_are_no_object(student: Student, arguments: object, written: str) -> None:
    messages: list[JsonObject] = [
        MESSAGES[1],
        {"role": "assistant", "content": None, "tool_calls": [call("g", arguments)]},
    ]
    assert written in student.render(messages, [])


def test_render_without_system_and_tools_begins_with_the_user(student: Student) -> None:
    assert student.render(MESSAGES[1:2], []).startswith("<|im_start|>user\nWho")


def test_require_tools_accepts_the_template(student: Student) -> None:
    student.require_tools()


def test_path_of_a_template_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match="'nothing'"):
        templates.path("nothing")


def test_tiny_student_is_the_same_every_time(tmp_path: Path) -> None:
    one, two = make_tiny_student(tmp_path / "one"), make_tiny_student(tmp_path / "two")
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes()
