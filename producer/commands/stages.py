"""Run a stage by hand: `applejack curate` and its siblings run `python -m worker.cli curate`."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import typer

from config.atomic_files import writing
from config.errors import UsageError
from config.ledger import Ledger
from config.settings import Settings
from config.terminal import say
from producer.commands.options import settings_with_dir
from producer.connect import open_ledger
from producer.fetch import fetch_for_review
from producer.review import MOST, write_review_file

OF_A_RUN = ("review", "precision")  # these accept the id of a run instead of a dataset directory
HELP = frozenset({"--help", "-h"})
WORKER_PACKAGES = ("pydantic_ai", "mlx_lm")  # the largest packages of the `worker` extra


def run_worker_cli(context: typer.Context) -> None:
    """Replace this process with the worker's command line. The page of a run is written by a child process."""
    name, arguments = str(context.info_name), context.args
    if name in OF_A_RUN:
        run, folder, arguments = take_run(arguments)
        if run is not None:
            settings = settings_with_dir(folder)
            if name == "review" and "--mark" not in arguments:
                review_run(run, settings, arguments)
            arguments = [*with_local_run(run, settings, trajectories=name == "review"), *arguments]
    command = worker_command(name, *arguments)
    os.execv(command[0], command)  # noqa: S606 - replaces this process, so signals and exit code are the worker's


def take_run(arguments: list[str]) -> tuple[str | None, Path | None, list[str]]:
    """(the run id in front of the arguments, --dir, the other arguments).

    The run is None where a path or an option stands in its place. Only the id of a run needs --dir.
    """
    folder, others = _take("--dir", arguments)
    _, positional = _take("--most", others)
    run = positional[0] if positional and not positional[0].startswith("-") else None
    if run is None or Path(run).exists():
        return None, None, others
    place = others.index(run)
    return run, Path(folder) if folder else None, others[:place] + others[place + 1 :]


def review_run(run: str, settings: Settings, arguments: list[str]) -> NoReturn:
    """Write the page of a run in the ledger, and exit with the worker's code."""
    most, others = _take("--most", arguments)
    if most is not None and not most.isdecimal():
        raise UsageError(f"--most is {most!r}; give the number of trajectories of each reason, or 0 for all")
    with tempfile.TemporaryDirectory(prefix="applejack-review-") as place:
        file, target = Path(place) / "review.jsonl", settings.runs / run
        command = worker_command("review", str(target), "--judged", str(file), *others)
        if not HELP.intersection(others):
            with run_in_ledger(run, settings) as ledger:
                write_review_file(ledger, run, file, most=MOST if most is None else int(most))
        done = subprocess.run(command, check=False)
    raise typer.Exit(done.returncode)


def worker_command(name: str, *arguments: str) -> list[str]:
    """The command line of a stage. Raises UsageError if the worker's packages are not installed."""
    missing = [package for package in WORKER_PACKAGES if find_spec(package) is None]
    if missing:
        raise UsageError(f"`applejack {name}` needs {missing[0]}, which is not installed; install applejack[worker]")
    return [sys.executable, "-P", "-m", "worker.cli", name, *arguments]


def with_local_run(run: str, settings: Settings, *, trajectories: bool) -> list[str]:
    """The worker's argument for a run: a directory with its dataset and, with `trajectories`, trajectories.jsonl.

    The directory is runs/RUN under --dir, as of `applejack fetch`.
    """
    target = settings.runs / run
    with run_in_ledger(run, settings) as ledger, writing(target):
        target.mkdir(parents=True, exist_ok=True)
        fetch_for_review(ledger, run, target, trajectories=trajectories)
        view = ledger.run(run)
    if view.judged and view.judged.version != view.version:
        older, newer = view.judged.version, view.version
        say(f"applejack: the dataset is of version {older}; the run is at version {newer}", file=sys.stderr)
    return [str(target)]


@contextmanager
def run_in_ledger(run: str, settings: Settings) -> Iterator[Ledger]:
    """The ledger that has the run. Raises UsageError if it has not."""
    try:
        with open_ledger(settings, stopped=True) as (ledger, _):
            ledger.run(run)
            yield ledger
    except UsageError as error:
        raise UsageError(f"{run!r} is neither a directory nor a run that can be read: {error}") from error


def _take(option: str, arguments: list[str]) -> tuple[str | None, list[str]]:
    """The value of an option, and the other arguments."""
    for place, argument in enumerate(arguments):
        name, separator, value = argument.partition("=")
        if name == option and (separator or place + 1 < len(arguments)):
            after = place + 1 if separator else place + 2
            return value if separator else arguments[place + 1], arguments[:place] + arguments[after:]
    return None, arguments
