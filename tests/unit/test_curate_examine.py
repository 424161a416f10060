"""Students that will do, and what is wrong with those that will not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.students import NO_TOOLS, student_with, template
from tests.tiny_student import make_tiny_student
from worker.curate.examine import examine
from worker.student import templates


def parser_named(directory: Path, name: str) -> Path:
    file = directory / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "tool_parser_type": name}))
    return directory


def qwen25(directory: Path) -> Path:
    return student_with(template("qwen25"), directory)


def fenced(directory: Path) -> Path:
    return student_with(templates.path(templates.QWEN25_CODER_FENCED).read_text(), directory)


EXAMINED: list[tuple[Callable[[Path], Path], str]] = [
    (make_tiny_student, ""),
    (qwen25, ""),  # the parser is inferred from its template
    (lambda place: parser_named(fenced(place), "fenced_json"), ""),
    (lambda place: student_with(NO_TOOLS, place), "leaves out the tools"),
    (fenced, "finds no tool parser"),  # not named, and nothing to infer it from
    (lambda place: parser_named(qwen25(place), "qwen3_coder"), "reads []"),  # another notation's parser
    (lambda place: parser_named(qwen25(place), "moonspeak"), "cannot load its tokenizer"),
    (
        lambda place: student_with(template("qwen25").replace("<|im_end|>", "<|turn_end|>"), place),
        "the marker '<|turn_end|>' is",
    ),
    (
        lambda place: student_with(template("qwen25").replace("<|im_end|>", ""), place),
        "turns: 2 assistant turns have no stop token",
    ),
]


@pytest.mark.parametrize(("make", "said"), EXAMINED)
def test_examined(make: Callable[[Path], Path], said: str, tmp_path: Path) -> None:
    found = examine(make(tmp_path))
    assert bool(found) is bool(said)
    assert said in " ".join(found)
