"""--help on an 80-column terminal: no word that the user has to type is broken across lines."""

import os
import re
import subprocess
import sys

import pytest

from config.errors import FailureKind, RejectionReason
from config.topology import Stage


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
