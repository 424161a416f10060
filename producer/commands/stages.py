"""Run a stage by hand: `applejack curate` and its siblings run `python -m worker.cli curate`."""

import os
import sys
from importlib.util import find_spec

import typer

from config.errors import UsageError

# The summaries in `applejack --help`; the worker's own --help has the details.
WORKER_COMMANDS = {
    "curate": "Check trajectories or seed records in files and write a dataset, without a broker.",
    "audit": "Find faults in any training set.",
    "review": "Write an HTML page of kept and rejected trajectories, or mark them as right or wrong.",
    "precision": "Show precision and recall of curation from people's marks.",
    "train": "Fine-tune a student on a dataset with LoRA.",
    "evaluate": "Test a student on held-out prompts, with and without its adapter.",
    "score": "Score recorded answers or trajectories without a model.",
}
WORKER_PACKAGES = ("pydantic_ai", "mlx_lm")  # the largest packages of the `worker` extra


def register(app: typer.Typer) -> None:
    """Add the commands; their arguments are passed on unchanged."""
    for name, help_ in WORKER_COMMANDS.items():
        app.command(
            name,
            help=help_,
            rich_help_panel="Stages by hand",
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(run_worker_cli)


def run_worker_cli(context: typer.Context) -> None:
    """Replace this process with the worker's command line."""
    missing = [name for name in WORKER_PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"`applejack {context.info_name}` needs {missing[0]}, which is not installed; install applejack[worker]"
        )
    command = [sys.executable, "-P", "-m", "worker.cli", str(context.info_name), *context.args]
    os.execv(command[0], command)  # noqa: S606 - replaces this process, so signals and exit code are the worker's
