"""Whether mlx_lm's own server reads back what a template writes: asked of mlx_lm in a process of its own."""

import json
from pathlib import Path

import pytest

from config.traps import CannotLookError, Trap
from tests.students import student_with, template
from worker.curate.tokenizer import Student
from worker.student import fenced_json, readback, templates
from worker.student.doctor import TOOL

CHATML = templates.path(templates.CHATML_TOOLS).read_text(encoding="utf-8")
FENCED = templates.path(templates.QWEN25_CODER_FENCED).read_text(encoding="utf-8")


def faults(folder: Path, source: str, parser: str | None = None) -> list[Trap]:
    directory = student_with(source, folder / "student")
    if parser:
        file = directory / "tokenizer_config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps({**config, "tool_parser_type": parser}), encoding="utf-8")
    return list(readback.faults(Student(directory), TOOL))


@pytest.mark.parametrize(
    ("source", "parser"),
    [
        (template("qwen25"), None),  # the parser is left to mlx_lm to infer
        (template("qwen3_coder"), None),
        (FENCED, fenced_json.NAME),
    ],
)
def test_every_hard_sample_comes_back_as_it_went_in(tmp_path: Path, source: str, parser: str | None) -> None:
    assert faults(tmp_path, source, parser) == []


WRITES = "tool_call.arguments | tojson }}"
ONE_LINE = template("qwen25").replace(WRITES, "tool_call.arguments | tojson | replace('\\\\n', ' ') }}")


@pytest.mark.parametrize(
    ("source", "parser", "trap", "said"),
    [
        (FENCED, None, "no_tool_parser", "infers no tool parser"),
        (template("qwen3_coder"), "json_tools", "tool_parser", "JSONDecodeError"),
        (ONE_LINE, None, "tool_parser", "misreads 1 of"),  # only the sample with newlines tells it
    ],
)
def test_a_notation_that_is_misread(tmp_path: Path, source: str, parser: str | None, trap: str, said: str) -> None:
    (found,) = faults(tmp_path, source, parser)
    assert (found.trap, found.severity) == (trap, "error")
    assert said in found.told


def test_a_template_that_refuses_some_calls(tmp_path: Path) -> None:
    refusing = template("qwen25").replace(
        "{%- for tool_call in message.tool_calls %}",
        "{%- for tool_call in message.tool_calls %}"
        "{%- if loop.index > 1 %}{{ raise_exception('one call') }}{% endif %}",
    )
    assert [found.trap for found in faults(tmp_path, refusing)] == ["template_refuses"]


def test_a_parser_that_mlx_lm_does_not_have_is_told_as_not_checked(tmp_path: Path) -> None:
    with pytest.raises(CannotLookError, match="no_such_parser"):
        faults(tmp_path, CHATML, "no_such_parser")
