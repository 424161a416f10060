"""Runs one stage: python -m worker.cli curate|audit|review|precision|verify|train|evaluate|score|pull|doctor."""

import sys
from importlib import import_module

import typer

from config import logs
from config.exit_codes import EXIT_BAD_INPUT, fail, run
from config.private_files import make_files_private
from config.settings import settings

# name -> module and function. Only the requested one is imported, because the imports are slow.
COMMANDS = {
    "curate": ("worker.cli.curate", "curate"),
    "audit": ("worker.cli.audit", "audit"),
    "review": ("worker.cli.review", "review"),
    "precision": ("worker.cli.precision", "precision"),
    "verify": ("worker.cli.verify", "verify"),
    "train": ("worker.cli.train", "train"),
    "evaluate": ("worker.cli.evaluate", "evaluate"),
    "score": ("worker.cli.evaluate", "score"),
    "pull": ("worker.cli.pull", "pull"),
    "doctor": ("worker.cli.doctor", "doctor"),
}


def main() -> None:
    """Run one stage. Our own errors print one line on stderr; the exit code is 2 for bad input and 1 otherwise."""
    make_files_private()
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        fail(f"no stage {name!r}; choose one of {', '.join(COMMANDS)}", EXIT_BAD_INPUT)
    run(lambda: _stage(name), interrupted="interrupted")


def _stage(name: str) -> object:
    """Import and run the stage. The imports take seconds, so they are inside the interrupt handling."""
    module, function = COMMANDS[name]
    app = typer.Typer(
        add_completion=False,  # it writes into shell profiles
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(getattr(import_module(module), function))
    logs.configure(settings())
    return app(sys.argv[2:], prog_name=f"applejack {name}", standalone_mode=False)


if __name__ == "__main__":
    main()
