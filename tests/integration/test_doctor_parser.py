"""Whether mlx_lm's own server reads back what a template writes: asked of mlx_lm in a process of its own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.normalizers import Lowercase

from config.diagnostics import DoctorReport, run_checks
from tests.support.students import student_with, template
from tests.support.tiny_student import make_tiny_student
from worker.student import fenced_json, templates
from worker.student.doctor.student_checks import StudentDoctor

QWEN25 = template("qwen25")
FENCED = templates.path(templates.QWEN25_CODER_FENCED).read_text(encoding="utf-8")


def student(folder: Path, source: str, parser: str | None = None) -> Path:
    """A tiny student with this template, and with the parser it names if it names one."""
    directory = student_with(source, folder / "student")
    if parser:
        file = directory / "tokenizer_config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps({**config, "tool_parser_type": parser}), encoding="utf-8")
    return directory


def looked(directory: Path) -> DoctorReport:
    return run_checks(StudentDoctor(directory).checks())


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: make_tiny_student(folder / "student"),  # the bundled template, and its parser by name
        lambda folder: student(folder, QWEN25),  # the parser is left to mlx_lm to infer
        lambda folder: student(folder, template("qwen3_coder")),
        lambda folder: student(folder, FENCED, fenced_json.NAME),
    ],
)
def test_every_hard_sample_comes_back_as_it_went_in(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    seen = looked(make(tmp_path))
    assert (seen.findings, seen.not_checked) == ((), ())


WRITES = "tool_call.arguments | tojson }}"
ONE_LINE = QWEN25.replace(WRITES, "tool_call.arguments | tojson | replace('\\\\n', ' ') }}")


@pytest.mark.parametrize(
    ("source", "parser", "trap", "said"),
    [
        (FENCED, None, "no_tool_parser", "infers no tool parser"),
        (template("qwen3_coder"), "json_tools", "tool_parser", "JSONDecodeError"),
        (QWEN25, "qwen3_coder", "tool_parser", "misreads 9 of 10"),  # all but the answer without a call
        (QWEN25, "moonspeak", "mlx_refuses", "cannot load this tokenizer"),  # no such parser: no server would start
        (ONE_LINE, None, "tool_parser", "misreads 1 of"),  # only the sample with newlines tells it
    ],
)
def test_a_notation_that_is_misread(tmp_path: Path, source: str, parser: str | None, trap: str, said: str) -> None:
    (found,) = looked(student(tmp_path, source, parser)).findings
    assert (found.name, found.severity) == (trap, "error")
    assert said in found.message


def test_what_the_tokens_do_not_carry_is_misread(tmp_path: Path) -> None:
    directory = student(tmp_path, QWEN25)
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.normalizer = Lowercase()  # the text that the template writes is sound, what the student says is not
    tokenizer.save(str(directory / "tokenizer.json"))
    (found,) = [trap for trap in looked(directory).findings if trap.name == "tool_parser"]
    assert "misreads 1 of 10 turns of this template (letters of other scripts)" in found.message


def test_behind_another_prompt_than_the_served_one_nothing_is_read(tmp_path: Path) -> None:
    thinks = QWEN25.replace(
        "'<|im_start|>assistant\\n' }}\n{%- endif %}", "'<|im_start|>assistant\\nHm. ' }}\n{%- endif %}"
    )
    seen = looked(student(tmp_path, thinks))
    assert [(unseen.check, unseen.why.rpartition("; ")[2]) for unseen in seen.not_checked] == [
        ("student: tool parser", "see the finding `loss`")
    ]


def test_without_mlx_lm_the_parser_is_told_as_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlx_lm.py").write_text("raise ImportError('no Metal device')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (unseen,) = looked(student(tmp_path, QWEN25)).not_checked
    assert (unseen.check, unseen.why) == (
        "student: tool parser",
        "mlx_lm failed: ImportError: no Metal device",
    )
