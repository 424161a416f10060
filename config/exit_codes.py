"""Exit codes: 0 done, 1 some of the work failed, 2 invalid usage or input. Errors are one line on stderr.

With --json the last line on stdout is {"error": ..., "exit_code": ...}.
"""

import sys
from collections.abc import Callable
from typing import Never, Protocol, runtime_checkable

import typer

from config.errors import ApplejackError, UsageError
from config.terminal import say, say_json

EXIT_INCOMPLETE = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # shell convention: 128 + SIGINT


class ClickContext(Protocol):
    """The part of click's Context that is used."""

    command_path: str


@runtime_checkable
class ClickUsageError(Protocol):
    """A usage error of click. typer bundles a copy of click whose exceptions have no public name."""

    exit_code: int

    def format_message(self) -> str:
        """The message, in one or more lines; empty if --help has already printed its text."""


def run(command: Callable[[], object], *, interrupted: str) -> Never:
    """Run a typer application (standalone_mode=False) and exit with its code."""
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
    if code == EXIT_INTERRUPTED:  # typer returns this on Ctrl-C, without a message
        fail(interrupted, EXIT_INTERRUPTED, prefix="")
    sys.exit(code if isinstance(code, int) else 0)


def fail(line: str, code: int, *, prefix: str = "applejack: ") -> Never:
    """Print the error to stderr, with --json to stdout as well, and exit."""
    say(f"{prefix}{line}", file=sys.stderr)
    if "--json" in sys.argv[1:]:  # argv, because the options of an invalid command line are not parsed
        say_json({"error": line, "exit_code": code})
    sys.exit(code)


def usage_line(error: ClickUsageError) -> str:
    """A usage error in one line with a pointer to --help; empty if there is no message."""
    lines = error.format_message().replace("Value error, ", "").splitlines()  # pydantic's prefix of our validators
    message = " ".join(line.strip() for line in lines).strip().rstrip(".")
    context: ClickContext | None = getattr(error, "ctx", None)
    return f"{message}; `{context.command_path} --help` shows its options" if message and context else message
