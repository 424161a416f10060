"""Print a command's output: text, and with --json one JSON object as the last line on stdout."""

from collections.abc import Sequence
from dataclasses import dataclass

import typer

from config.console import PlainConsole
from config.records import JsonObject
from config.terminal import say_json


@dataclass(frozen=True)
class Output:
    """Output of a command. With --json, text goes to stderr."""

    as_json: bool

    @property
    def console(self) -> PlainConsole:
        """Console for text output."""
        return PlainConsole(stderr=self.as_json, soft_wrap=True)

    def result(self, body: JsonObject) -> None:
        """Print the JSON object; nothing without --json."""
        if self.as_json:
            say_json(body)


def pluralise(number: int, noun: str) -> str:
    """Pluralise: "1 job", "2 jobs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def either(words: Sequence[str]) -> str:
    """Join alternatives: "a", "a or b", "a, b or c"."""
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def partial_failure() -> typer.Exit:
    """Exit code 1: some of the work failed."""
    return typer.Exit(1)
