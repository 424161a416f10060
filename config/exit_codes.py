"""Exit codes: 0 done, 1 the work fell short, 2 bad usage or bad input; an error of ours is one line on stderr.

With --json the last line on stdout tells it too: {"error": ..., "exit_code": ...}.
"""

import json
import sys
from collections.abc import Callable
from typing import Never, Protocol, runtime_checkable

import typer

from config.errors import ApplejackError, UsageError

EXIT_INCOMPLETE = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # a shell's convention: 128 + SIGINT


class ClickContext(Protocol):
    """A command that was being read from the command line, as far as it is used."""

    command_path: str


@runtime_checkable
class ClickUsageError(Protocol):
    """A usage error of click's: typer carries its own copy of click, whose exceptions have no public name."""

    exit_code: int

    def format_message(self) -> str:
        """What is wrong, in one line or several; empty when the help was asked for and is printed already."""


def run(command: Callable[[], object], *, interrupted: str) -> Never:
    """Run a typer application (standalone_mode=False) and end the process with its code."""
    try:
        code = command()
    except (KeyboardInterrupt, typer.Abort):
        fail(interrupted, EXIT_INTERRUPTED, prefix="")
    except ApplejackError as error:
        fail(str(error), EXIT_BAD_INPUT if isinstance(error, UsageError) else EXIT_INCOMPLETE)
    except Exception as error:
        if not isinstance(error, ClickUsageError):
            raise
        if line := usage_line(error):
            fail(line, error.exit_code)
        sys.exit(error.exit_code)
    if code == EXIT_INTERRUPTED:  # typer's own answer to Ctrl-C, given without a word
        fail(interrupted, EXIT_INTERRUPTED, prefix="")
    sys.exit(code if isinstance(code, int) else 0)


def fail(line: str, code: int, *, prefix: str = "applejack: ") -> Never:
    """Say why on stderr, with --json on stdout as well, and end the process."""
    sys.stderr.write(f"{prefix}{line}\n")
    if "--json" in sys.argv[1:]:  # asked of the words themselves: what cannot be parsed has no options
        sys.stdout.write(json.dumps({"error": line, "exit_code": code}, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    sys.exit(code)


def usage_line(error: ClickUsageError) -> str:
    """A usage error in one line that says where to look; empty when there is nothing to say."""
    lines = error.format_message().replace("Value error, ", "").splitlines()  # pydantic's words for typer's own checks
    told = " ".join(line.strip() for line in lines).strip().rstrip(".")
    context: ClickContext | None = getattr(error, "ctx", None)
    return f"{told}; `{context.command_path} --help` shows its options" if told and context else told
