"""The `applejack` command line: submit runs, monitor them, fetch their results, run the machines.

applejack demo
"""

import sys
from typing import Annotated

import typer

from config.exit_codes import run
from config.version import version
from producer.commands import demo, deploy, doctor, prompts, resubmit, results, stack, stages, status, submit, verify

app = typer.Typer(
    name="applejack",
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

SUBMIT, MONITOR, OPERATE = "Submit runs", "Monitor runs and get results", "Operate machines"
app.command(rich_help_panel=OPERATE)(demo.demo)
app.command(rich_help_panel=SUBMIT)(prompts.prompts)
app.command(rich_help_panel=SUBMIT)(submit.submit)
app.command(rich_help_panel=SUBMIT, epilog=resubmit.CHOICES)(resubmit.resubmit)
app.command(rich_help_panel=MONITOR)(status.status)
app.command(rich_help_panel=MONITOR)(status.why)
app.command(rich_help_panel=MONITOR)(results.report)
app.command(rich_help_panel=MONITOR)(results.compare)
app.command(rich_help_panel=MONITOR)(results.fetch)
app.command(rich_help_panel=MONITOR)(results.archive)
app.command(rich_help_panel=MONITOR)(verify.verify)
app.command(rich_help_panel=OPERATE)(stack.up)
app.command(rich_help_panel=OPERATE)(stack.worker)
app.command(rich_help_panel=OPERATE)(stack.flower)
app.command(rich_help_panel=OPERATE)(doctor.doctor)
app.command(rich_help_panel=OPERATE, epilog=deploy.EXAMPLE)(deploy.deploy)
stages.register(app)


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
    run(
        lambda: app(prog_name="applejack", standalone_mode=False),
        interrupted="interrupted; queued work is kept, and the same command continues it",
    )
