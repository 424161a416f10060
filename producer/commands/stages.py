"""The stages by hand: `applejack curate` and its like run `python -m worker.cli curate`."""

import os
import sys
from importlib.util import find_spec

import typer

from config.errors import UsageError

# What `applejack --help` says of each; the worker's own --help says the rest.
BY_HAND = {
    "curate": "Check trajectories or the seed's records on files and write a dataset; no broker needed.",
    "audit": "Faults of a training set made anywhere.",
    "review": "An HTML page of kept and rejected trajectories.",
    "train": "LoRA training of a student on a dataset.",
    "evaluate": "Ask a student held-out prompts, with and without its adapter.",
    "score": "Score recorded answers or trajectories without a model.",
}
NEEDED = ("pydantic_ai", "mlx_lm")  # the heaviest of the worker extra


def register(app: typer.Typer) -> None:
    """Add the commands; their arguments go through as they are."""
    for name, help_ in BY_HAND.items():
        app.command(
            name,
            help=help_,
            rich_help_panel="Stages by hand",
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(hand_over)


def hand_over(context: typer.Context) -> None:
    """Let the worker side do it, in this process's place."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"`applejack {context.info_name}` needs {missing[0]}, which this small install leaves out; "
            "install applejack[worker]"
        )
    command = [sys.executable, "-P", "-m", "worker.cli", str(context.info_name), *context.args]
    os.execv(command[0], command)  # noqa: S606 - it takes this process's place, and its signals and exit code
