"""What a command prints: text for people, and with --json one JSON object as the last line on stdout."""

import json
import sys
from dataclasses import dataclass

import typer
from rich.console import Console

from config.records import JsonObject


@dataclass(frozen=True)
class Output:
    """With --json people's text goes to stderr."""

    as_json: bool

    @property
    def console(self) -> Console:
        """Where people read."""
        return Console(stderr=self.as_json, highlight=False, soft_wrap=True)

    def result(self, body: JsonObject) -> None:
        """The machine's line; nothing without --json."""
        if self.as_json:
            sys.stdout.write(json.dumps(body, ensure_ascii=False) + "\n")
            sys.stdout.flush()


def pluralise(number: int, noun: str) -> str:
    """A number of things, as people say it."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def partial_failure() -> typer.Exit:
    """Exit code 1: the work ended, and not all of it succeeded."""
    return typer.Exit(1)
