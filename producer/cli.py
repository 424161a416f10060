"""The `applejack` command: ask for runs, watch them, take what they made.

applejack demo
"""

import sys
from typing import Annotated

import typer

from config.exit_codes import run
from config.version import version
from producer.commands import demo, doctor, prompts, resubmit, results, stack, stages, status, submit

app = typer.Typer(
    name="applejack",
    help="Tool-calling training data made by several Macs, proven real; a student trained on it and evaluated.",
    no_args_is_help=True,
    add_completion=False,  # it writes into shell profiles, which nobody asked for here
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ASK, WATCH, RUN = "Ask for runs", "Watch and take", "Run the machines"
app.command(rich_help_panel=RUN)(demo.demo)
app.command(rich_help_panel=ASK)(prompts.prompts)
app.command(rich_help_panel=ASK)(submit.submit)
app.command(rich_help_panel=ASK, epilog=resubmit.CHOICES)(resubmit.resubmit)
app.command(rich_help_panel=WATCH)(status.status)
app.command(rich_help_panel=WATCH)(status.why)
app.command(rich_help_panel=WATCH)(results.report)
app.command(rich_help_panel=WATCH)(results.compare)
app.command(rich_help_panel=WATCH)(results.fetch)
app.command(rich_help_panel=WATCH)(results.archive)
app.command(rich_help_panel=RUN)(stack.up)
app.command(rich_help_panel=RUN)(stack.worker)
app.command(rich_help_panel=RUN)(stack.flower)
app.command(rich_help_panel=RUN)(doctor.doctor)
stages.register(app)


def print_version(asked: bool) -> None:
    """Print it and be done."""
    if asked:
        sys.stdout.write(f"applejack {version()}\n")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """What may stand before a command; the help is the application's."""


def main() -> None:
    """Run a command and exit with its code."""
    run(
        lambda: app(prog_name="applejack", standalone_mode=False),
        interrupted="interrupted; what is queued is kept, and the same command goes on",
    )
