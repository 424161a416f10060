"""Tiny students with the chat templates that real ones have."""

import json
from pathlib import Path

from tests.support.tiny_student import make_tiny_student

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
