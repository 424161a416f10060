"""The help as a terminal of 80 columns shows it: no word that has to be typed is broken."""

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
def test_every_choice_stands_in_the_help_unbroken(command: str, words: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from producer.cli import main; main()", command, "--help"],
        capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert words - set(re.findall(r"[\w-]+", done.stdout)) == set()
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert re.search(r"<[^<>\n]*$", done.stdout, re.MULTILINE) is None  # a type that goes on in the next line
