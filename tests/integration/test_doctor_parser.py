"""mlx_lm's server must parse the tool calls that a template renders: tested with mlx_lm in a separate process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.normalizers import Lowercase

from config.diagnostics import DoctorReport, run_checks
from tests.support.students import student_with, template
from tests.support.tiny_student import make_tiny_student
from worker.doctor.student_checks import StudentDoctor
from worker.student import fenced_json, templates

QWEN25 = template("qwen25")
FENCED = templates.path(templates.QWEN25_CODER_FENCED).read_text(encoding="utf-8")


def student(folder: Path, source: str, parser: str | None = None) -> Path:
    """A tiny student with this template and, if given, this tool parser."""
    directory = student_with(source, folder / "student")
    if parser:
        file = directory / "tokenizer_config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps({**config, "tool_parser_type": parser}), encoding="utf-8")
    return directory


def diagnose(directory: Path) -> DoctorReport:
    return run_checks(StudentDoctor(directory).checks())


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: make_tiny_student(folder / "student"),  # the bundled template, and its parser by name
        lambda folder: student(folder, QWEN25),  # mlx_lm infers the parser
        lambda folder: student(folder, template("qwen3_coder")),
        lambda folder: student(folder, FENCED, fenced_json.NAME),
    ],
)
def test_every_hard_sample_survives_rendering_and_parsing(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    report = diagnose(make(tmp_path))
    assert (report.findings, report.not_checked) == ((), ())


WRITES = "tool_call.arguments | tojson }}"
ONE_LINE = QWEN25.replace(WRITES, "tool_call.arguments | tojson | replace('\\\\n', ' ') }}")


@pytest.mark.parametrize(
    ("source", "parser", "name", "message"),
    [
        (FENCED, None, "no_tool_parser", "infers no tool parser"),
        (template("qwen3_coder"), "json_tools", "tool_parser", "JSONDecodeError"),
        (QWEN25, "qwen3_coder", "tool_parser", "misreads 9 of 10"),  # all but the answer without a call
        (
            QWEN25,
            "moonspeak",
            "mlx_refuses",
            "cannot load this tokenizer",
        ),  # there is no such parser, so no server would start
        (ONE_LINE, None, "tool_parser", "misreads 1 of"),  # only the sample with newlines shows it
    ],
)
def test_a_misread_notation_is_an_error(
    tmp_path: Path, source: str, parser: str | None, name: str, message: str
) -> None:
    (finding,) = diagnose(student(tmp_path, source, parser)).findings
    assert (finding.name, finding.severity) == (name, "error")
    assert message in finding.message


def test_text_lost_by_the_tokenizer_is_an_error(tmp_path: Path) -> None:
    directory = student(tmp_path, QWEN25)
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.normalizer = Lowercase()  # the rendered text is correct, the decoded tokens are not
    tokenizer.save(str(directory / "tokenizer.json"))
    (finding,) = [finding for finding in diagnose(directory).findings if finding.name == "tool_parser"]
    assert "misreads 1 of 10 turns of this template (letters of other scripts)" in finding.message


def test_the_parser_check_is_skipped_if_the_inference_prompt_differs_from_training(tmp_path: Path) -> None:
    thinks = QWEN25.replace(
        "'<|im_start|>assistant\\n' }}\n{%- endif %}", "'<|im_start|>assistant\\nHm. ' }}\n{%- endif %}"
    )
    report = diagnose(student(tmp_path, thinks))
    assert [(skipped.check, skipped.why.rpartition("; ")[2]) for skipped in report.not_checked] == [
        ("student: tool parser", "see the finding `loss`")
    ]


def test_the_parser_check_is_skipped_without_mlx_lm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlx_lm.py").write_text("raise ImportError('no Metal device')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (skipped,) = diagnose(student(tmp_path, QWEN25)).not_checked
    assert (skipped.check, skipped.why) == (
        "student: tool parser",
        "mlx_lm failed: ImportError: no Metal device",
    )
