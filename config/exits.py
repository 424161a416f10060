"""Exit codes: 0 done, 1 the work fell short, 2 bad usage or bad input; an error of ours is one line on stderr."""

import sys
from collections.abc import Callable
from typing import Never, Protocol, runtime_checkable

import typer

from config.errors import ApplejackError, UsageError

FELL_SHORT = 1
BAD_INPUT = 2
INTERRUPTED = 130  # a shell's convention: 128 + SIGINT


@runtime_checkable
class Shown(Protocol):
    """A usage error of click's: typer carries its own copy of click, whose exceptions have no public name."""

    exit_code: int

    def show(self) -> None:
        """Print it, with the usage line."""


def run(command: Callable[[], object], *, interrupted: str) -> Never:
    """Run a typer application (standalone_mode=False) and end the process with its code."""
    try:
        code = command()
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write(f"{interrupted}\n")
        sys.exit(INTERRUPTED)
    except ApplejackError as error:
        sys.stderr.write(f"applejack: {error}\n")
        sys.exit(BAD_INPUT if isinstance(error, UsageError) else FELL_SHORT)
    except Exception as error:
        if not isinstance(error, Shown):
            raise
        error.show()
        sys.exit(error.exit_code)
    if code == INTERRUPTED:  # typer's own answer to Ctrl-C, given without a word
        sys.stderr.write(f"{interrupted}\n")
    sys.exit(code if isinstance(code, int) else 0)
