"""The `applejack` command line: submit runs, monitor them, fetch their results, run the machines.

applejack demo
"""

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated

import typer
from typer.core import TyperGroup

from config.exit_codes import run
from config.private_files import make_files_private
from config.version import version

SUBMIT, MONITOR, OPERATE = "Submit runs", "Monitor runs and get results", "Operate machines"
STAGES = "Stages by hand"


@dataclass(frozen=True)
class Entry:
    """A command's place: what `applejack --help` shows, without importing the command."""

    panel: str
    module: str
    """in producer/commands; imported when the command is used, because it may take a second"""
    summary: str
    """first line of the function's docstring, a test compares them; the stages' own --help is the worker's"""


COMMANDS = {
    "demo": Entry(
        OPERATE, "demo", "Generate data, train a small student on it, and test the student before and after training."
    ),
    "prompts": Entry(SUBMIT, "prompts", "Mine questions with known answers from code."),
    "submit": Entry(
        SUBMIT, "submit", "Queue one generation job per prompt; a chord then starts curation, training and evaluation."
    ),
    "resubmit": Entry(SUBMIT, "resubmit", "Run failed and rejected jobs again, and curate the run again."),
    "cancel": Entry(
        SUBMIT,
        "control",
        "Stop a run: its jobs in flight end within seconds, and nothing of it starts again before `resume`.",
    ),
    "pause": Entry(
        SUBMIT,
        "control",
        "Hold a run: its jobs and stages in flight end as usual, and no other starts before `resume`.",
    ),
    "resume": Entry(
        SUBMIT,
        "control",
        "Let a paused or cancelled run go on; the jobs that `cancel` stopped are queued again.",
    ),
    "status": Entry(
        MONITOR,
        "status",
        "Show the state of a run: jobs per state, failures by kind, stages, workers, rate and time left.",
    ),
    "why": Entry(MONITOR, "status", "Show the history of one job: attempts, workers, messages, checks, provenance."),
    "report": Entry(MONITOR, "results", "Show a student's scores before and after training, beside the targets."),
    "compare": Entry(
        MONITOR, "results", "Compare the adapters of two runs, or two of one run, on the prompts that both evaluated."
    ),
    "fetch": Entry(
        MONITOR, "results", "Copy a run's dataset, adapter and report to this machine, and verify their hashes."
    ),
    "archive": Entry(
        MONITOR,
        "results",
        "Move a finished run from the ledger to a directory: prompts, all attempts, verdicts and result files.",
    ),
    "recover": Entry(
        MONITOR, "recover", "Rebuild runs in the ledger from the journals of any workers, after Redis has lost data."
    ),
    "verify": Entry(
        MONITOR, "verify", "Execute recorded tool calls again on their pinned code and compare the results."
    ),
    "up": Entry(
        OPERATE, "stack", "Run Redis, workers and Flower on this machine in the foreground. Ctrl-C stops all of them."
    ),
    "worker": Entry(OPERATE, "stack", "Start a worker on this machine, or pause, resume or drain one of the fleet."),
    "flower": Entry(
        OPERATE, "stack", "Start Flower with the Runs page. It requires a password and listens on loopback by default."
    ),
    "open": Entry(MONITOR, "open", "Open the Runs pages in the browser, logged in by a one-time link."),
    "deploy": Entry(OPERATE, "deploy", "Print or install the files that run a role on this machine as a service."),
    "pull": Entry(OPERATE, "stages", "Download a model from the hub; a killed download continues where it ended."),
    "doctor": Entry(OPERATE, "doctor", "Check this machine and the fleet for known misconfigurations."),
    "notify": Entry(
        OPERATE,
        "notify",
        "Send a test notification, as --notify of `up`, `flower`, `status --watch` and `submit --wait` would.",
    ),
    "curate": Entry(
        STAGES, "stages", "Check trajectories or seed records in files and write a dataset, without a broker."
    ),
    "audit": Entry(STAGES, "stages", "Find faults in any training set."),
    "review": Entry(
        STAGES, "stages", "Write an HTML page of kept and rejected trajectories, or mark them as right or wrong."
    ),
    "precision": Entry(STAGES, "stages", "Show precision and recall of curation from people's marks."),
    "train": Entry(STAGES, "stages", "Fine-tune a student on a dataset with LoRA."),
    "evaluate": Entry(STAGES, "stages", "Test a student on held-out prompts, with and without its adapter."),
    "score": Entry(STAGES, "stages", "Score recorded answers or trajectories without a model."),
}


class LazyGroup(TyperGroup):
    """Imports a command's module when the command is used: `applejack --help` imports none of them."""

    # The types are those of typer's own copy of click, which has no public name.
    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Replace the placeholder, which only has a name and a summary, by the command."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else command, rest


app = typer.Typer(
    name="applejack",
    cls=LazyGroup,
    help=(
        "Generate verified tool-calling training data on several Macs, train a student model on it and evaluate the "
        "student."
    ),
    no_args_is_help=True,
    add_completion=False,  # its --install-completion would edit shell profiles
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def placeholder() -> None:
    """Never called: LazyGroup loads the command in its place."""


for command_name, entry in COMMANDS.items():
    app.command(command_name, help=entry.summary, rich_help_panel=entry.panel)(placeholder)


def load(name: str) -> object:
    """Import a command and build it, as typer.main.get_command returns it."""
    module = import_module(f"producer.commands.{COMMANDS[name].module}")
    single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    if COMMANDS[name].module == "stages":  # the arguments are passed on unchanged, --help too
        settings = {"allow_extra_args": True, "ignore_unknown_options": True}
        single.command(name, add_help_option=False, context_settings=settings)(module.run_worker_cli)
    else:
        single.command(name, epilog=getattr(module, "EPILOG", None))(getattr(module, name))
    return typer.main.get_command(single)


def print_version(requested: bool) -> None:
    """Print the version and exit, if requested."""
    if requested:
        sys.stdout.write(f"applejack {version()}\n")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Options before the command name; `app` defines the help text."""


def main() -> None:
    """Run a command and exit with its code."""
    make_files_private()
    run(
        lambda: app(prog_name="applejack", standalone_mode=False),
        interrupted="interrupted; queued work is kept, and the same command continues it",
    )
