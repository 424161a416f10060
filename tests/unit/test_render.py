"""Rows as the trainer reads them, and templates that are refused."""

import json
from pathlib import Path

import pytest

from config.errors import UsageError
from tests.support.students import NO_TOOLS, student_with, template
from tests.support.tiny_student import make_tiny_student
from tests.support.trajectories import asks, call, from_memory, looked_up, says, told, trajectory, user
from worker.curate.chat import chat_messages
from worker.curate.render import render_text, render_turns
from worker.student import templates
from worker.student.tokenizer import RenderError, Student


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(make_tiny_student(tmp_path_factory.mktemp("student")))


def test_text_ends_exactly_at_the_stop_token(tmp_path: Path, student: Student) -> None:
    for one in (student, Student(student_with(template("qwen25"), tmp_path))):  # its template ends in a newline
        text = str(render_text(looked_up(), one).rows[0]["text"])
        assert text.endswith("shop/part0.py.<|im_end|>")
        assert one.text_ids(text)[-2:] != [one.eos_id, one.eos_id]


def test_text_holds_system_tools_call_and_result_in_order(student: Student) -> None:
    text = str(render_text(looked_up(), student).rows[0]["text"])
    parts = ("You answer questions", "grep", "Which file defines", "<tool_call>", "shop/part0.py:3:", "is defined in")
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)


def test_turns_has_a_row_per_assistant_turn_and_that_turn_last(student: Student) -> None:
    rows = render_turns(looked_up(), student).rows
    assert [row["messages"][-1]["role"] for row in rows] == ["assistant", "assistant"]
    assert [len(row["messages"]) for row in rows] == [3, 5]
    assert all(row["tools"] for row in rows)
    assert render_turns(from_memory(tools=()), student).rows[0].keys() == {"messages", "job_id"}


def test_without_a_system_prompt_there_is_no_system_message() -> None:
    assert [m["role"] for m in chat_messages(from_memory(system_prompt=""))] == ["user", "assistant"]


def test_rendering_never_edits_a_result(student: Student) -> None:
    result = "  a.py:1: \tx  \n\n[3 more matches not shown]  "
    sample = trajectory([user("q"), asks(call(pattern="x")), told(result), says("done")])
    row = render_turns(sample, student).rows[-1]
    assert row["messages"][3]["content"] == result
    assert result in str(render_text(sample, student).rows[0]["text"])


def test_white_space_at_the_ends_of_a_turn_is_not_its_text_and_that_inside_is(student: Student) -> None:
    inside = "Let me look:\n\n    def f():\n        return  1\n\tand more"
    sample = trajectory(
        [
            user(" q \n"),
            asks(call(pattern="x"), call(key="c2", pattern="y"), text="\n"),
            told("a.py:1: x"),
            told("a.py:2: y", "c2"),
            asks(call(key="c3", pattern="z"), text=f"\n\n{inside}\n"),
            told("\n  z\n", "c3"),
            says(f"\n{inside} \n\n"),
        ]
    )
    contents = [message["content"] for message in chat_messages(sample)]
    assert contents[1:] == [" q \n", "", "a.py:1: x", "a.py:2: y", inside, "\n  z\n", inside]
    text = str(render_text(sample, student).rows[0]["text"])
    assert text.count(inside) == 2


REFUSED = [
    # a template, and what the message says of it
    (NO_TOOLS, "leaves out the tools and tool calls"),
    ("{% for m in messages %}{{ m.content }}{{ m.tool_calls }}{% endfor %}", "leaves out the tools"),
    (
        "{{ tools }}{% for m in messages if m.role != 'tool' %}{{ m.content }}{{ m.tool_calls }}{% endfor %}",
        "leaves out tool results",
    ),
    ("{{ tools }}{{ raise_exception('Only user and assistant roles are supported!') }}", "fails with tools"),
    ("{{ tools }}{% for m in messages %}{{ m.content + 1 }}{% endfor %}", "fails with tools"),
]


@pytest.mark.parametrize(("source", "said"), REFUSED)
def test_a_template_without_tools_is_refused_with_the_remedy(source: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"chatml_tools\.jinja") as refused:
        Student(student_with(source, tmp_path)).require_tools()
    assert said in str(refused.value)


@pytest.mark.parametrize("name", [templates.CHATML_TOOLS, templates.QWEN25_CODER_FENCED])
def test_the_bundled_templates_are_the_remedy(name: str, tmp_path: Path) -> None:
    Student(student_with(templates.path(name).read_text(), tmp_path)).require_tools()


def test_a_student_without_a_template_is_refused(tmp_path: Path) -> None:
    directory = make_tiny_student(tmp_path)
    (directory / "chat_template.jinja").unlink()
    with pytest.raises(UsageError, match="has no chat template"):
        Student(directory).require_tools()


def test_a_student_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no student at"):
        Student(tmp_path / "none")
    with pytest.raises(UsageError, match="has no tokenizer: none of"):
        Student(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match="cannot be loaded"):
        Student(tmp_path)


def test_a_conversation_the_template_refuses_is_a_render_error(tmp_path: Path) -> None:
    source = "{% if messages | length > 4 %}{{ raise_exception('too long') }}{% endif %}x"
    with pytest.raises(RenderError, match="too long"):
        render_text(looked_up(), Student(student_with(source, tmp_path)))


def test_stop_tokens_are_those_the_server_stops_at(tmp_path: Path) -> None:
    directory = make_tiny_student(tmp_path)
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 2]}))
    assert Student(directory).eos_ids == {0, 2}


def test_the_fenced_template_writes_the_seeds_notation(tmp_path: Path) -> None:
    source = templates.path(templates.QWEN25_CODER_FENCED).read_text()
    student = Student(student_with(source, tmp_path))
    sample = trajectory(
        [user("q"), asks(call(pattern="x", path="src")), told("a.py:1: x"), says("It is a.py.")], tools=()
    )
    assert render_text(sample, student).rows[0]["text"] == (
        "<|im_start|>system\nYou answer questions about code.<|im_end|>\n"
        "<|im_start|>user\nq<|im_end|>\n"
        "<|im_start|>assistant\nI'll use the grep tool.\n\n"
        '```json\n{\n  "name": "grep",\n  "arguments": {\n    "pattern": "x",\n    "path": "src"\n  }\n}\n```'
        "<|im_end|>\n"
        "<|im_start|>user\nTool result: a.py:1: x<|im_end|>\n"
        "<|im_start|>assistant\nIt is a.py.<|im_end|>"
    )
