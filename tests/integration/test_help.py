"""--help: no word that the user has to type is broken across lines of 80 columns, and it imports nothing heavy."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys

import pytest

from config.errors import FailureKind, RejectionReason
from config.topology import Stage
from producer.cli import COMMANDS

HEAVY = {"celery", "flower", "httpx", "kombu", "pydantic", "pydantic_settings", "redis", "tornado", "yaml"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("resubmit", {member.value for members in (FailureKind, RejectionReason, Stage) for member in members}),
        ("submit", {"text", "turns", "seed-text", "endpoint", "scripted"}),
        ("worker", {"generate", "curate", "train"}),
    ],
)
def test_help_shows_every_choice_unbroken(command: str, words: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from producer.cli import main; main()", command, "--help"],
        capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert words - set(re.findall(r"[\w-]+", done.stdout)) == set()
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert re.search(r"<[^<>\n]*$", done.stdout, re.MULTILINE) is None  # a type broken across lines


def test_the_list_of_commands_imports_no_command_and_no_heavy_library() -> None:
    code = (
        "import json, sys\nfrom producer.cli import main\ntry: main()\nexcept SystemExit: pass\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, "--help"], capture_output=True, text=True, timeout=60)
    imported = json.loads(done.stdout.splitlines()[-1])
    assert "producer.cli" in imported  # it measures what it should
    assert {name for name in imported if name.split(".")[0] in HEAVY or name.startswith("producer.commands")} == set()


@pytest.mark.parametrize("name", [name for name, entry in COMMANDS.items() if entry.module != "stages"])
def test_the_list_of_commands_shows_the_first_line_of_each_docstring(name: str) -> None:
    command = getattr(importlib.import_module(f"producer.commands.{COMMANDS[name].module}"), name)
    assert COMMANDS[name].summary == (inspect.getdoc(command) or "").splitlines()[0]
