"""Run a stage by hand: `applejack curate` and its siblings run `python -m worker.cli curate`."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import typer

from config.atomic_files import writing
from config.errors import UsageError
from producer.commands.options import settings_with_dir
from producer.connect import open_ledger
from producer.fetch import fetch_for_review

OF_A_RUN = ("review", "precision")  # these accept the id of a run instead of a dataset directory
WORKER_PACKAGES = ("pydantic_ai", "mlx_lm")  # the largest packages of the `worker` extra


def run_worker_cli(context: typer.Context) -> None:
    """Replace this process with the worker's command line."""
    arguments = with_local_run(context.args) if context.info_name in OF_A_RUN else context.args
    command = worker_command(str(context.info_name), *arguments)
    os.execv(command[0], command)  # noqa: S606 - replaces this process, so signals and exit code are the worker's


def worker_command(name: str, *arguments: str) -> list[str]:
    """The command line of a stage. Raises UsageError if the worker's packages are not installed."""
    missing = [package for package in WORKER_PACKAGES if find_spec(package) is None]
    if missing:
        raise UsageError(f"`applejack {name}` needs {missing[0]}, which is not installed; install applejack[worker]")
    return [sys.executable, "-P", "-m", "worker.cli", name, *arguments]


def with_local_run(arguments: list[str]) -> list[str]:
    """The arguments with the run id in front replaced by a directory with the run's dataset and trajectories.

    The directory is runs/RUN under --dir, as of `applejack fetch`. Paths and options in front stay as they are, without
    --dir, which only the id of a run needs.
    """
    folder, others = _take_dir(arguments)
    if not others or others[0].startswith("-") or Path(others[0]).exists():
        return others
    run, *others = others
    settings = settings_with_dir(folder)
    target = settings.runs / run
    try:
        with open_ledger(settings, stopped=True) as (ledger, _), writing(target):
            ledger.run(run)
            target.mkdir(parents=True, exist_ok=True)
            fetch_for_review(ledger, run, target)
    except UsageError as error:
        raise UsageError(f"{run!r} is neither a directory nor a run that can be read: {error}") from error
    return [str(target), *others]


def _take_dir(arguments: list[str]) -> tuple[Path | None, list[str]]:
    """The value of --dir, and the other arguments."""
    for place, argument in enumerate(arguments):
        name, separator, value = argument.partition("=")
        if name == "--dir" and (separator or place + 1 < len(arguments)):
            after = place + 1 if separator else place + 2
            return Path(value or arguments[place + 1]), arguments[:place] + arguments[after:]
    return None, arguments
