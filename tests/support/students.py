"""Tiny students with the chat templates that real ones have."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.tiny_student import make_tiny_student
from worker.student import templates
from worker.student.tokenizer import Student

TEMPLATES = Path(__file__).parent / "templates"
NO_TOOLS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def student_with(template: str, directory: Path) -> Path:
    """A tiny student with this template's source, its tool parser left for the server to infer."""
    make_tiny_student(directory)
    (directory / "chat_template.jinja").write_text(template, encoding="utf-8")
    file = directory / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config.pop("tool_parser_type", None)
    file.write_text(json.dumps(config), encoding="utf-8")
    return directory


def template(name: str) -> str:
    """The source of a template that a real model has."""
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


NOTATIONS: Mapping[str, Callable[[], str]] = {
    "chatml_tools": lambda: templates.path(templates.CHATML_TOOLS).read_text(),
    "qwen25": lambda: template("qwen25"),
    "qwen3_coder": lambda: template("qwen3_coder"),
    "qwen25_coder_fenced": lambda: templates.path(templates.QWEN25_CODER_FENCED).read_text(),
}


def student_of(notation: str, directory: Path) -> Student:
    """A tiny student that writes its calls in this notation."""
    student_with(NOTATIONS[notation](), directory)
    if notation == templates.QWEN25_CODER_FENCED:
        file = directory / "tokenizer_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "tool_parser_type": "fenced_json"}))
    made = Student(directory)
    made.require_tools()
    return made
