"""Print a command's output: text, and with --json one JSON object as the last line on stdout."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console

from config.errors import UsageError
from config.records import JsonObject


@dataclass(frozen=True)
class Output:
    """Output of a command. With --json, text goes to stderr."""

    as_json: bool

    @property
    def console(self) -> Console:
        """Console for text output."""
        return Console(stderr=self.as_json, highlight=False, soft_wrap=True)

    def result(self, body: JsonObject) -> None:
        """Print the JSON object; nothing without --json."""
        if self.as_json:
            sys.stdout.write(json.dumps(body, ensure_ascii=False) + "\n")
            sys.stdout.flush()


def pluralise(number: int, noun: str) -> str:
    """Pluralise: "1 job", "2 jobs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate OSError to UsageError while the block writes to a path that the user gave."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error


def partial_failure() -> typer.Exit:
    """Exit code 1: some of the work failed."""
    return typer.Exit(1)
