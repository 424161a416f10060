"""Exit codes: 0 done, 1 the work fell short, 2 bad usage or bad input; an error of ours is one line on stderr."""

import sys
from collections.abc import Callable
from typing import Never

import click

from config.errors import ApplejackError, UsageError

FELL_SHORT = 1
BAD_INPUT = 2
INTERRUPTED = 130  # a shell's convention: 128 + SIGINT


def run(command: Callable[[], object], *, interrupted: str) -> Never:
    """Run a click or typer application (standalone_mode=False) and end the process with its code."""
    try:
        code = command()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write(f"{interrupted}\n")
        sys.exit(INTERRUPTED)
    except ApplejackError as error:
        sys.stderr.write(f"applejack: {error}\n")
        sys.exit(BAD_INPUT if isinstance(error, UsageError) else FELL_SHORT)
    sys.exit(code if isinstance(code, int) else 0)
