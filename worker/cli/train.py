"""The train stage on a dataset directory: `python -m worker.cli train DATASET --student MODEL --out DIR`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from config import hyperparameters
from config.console import PlainConsole
from config.records import Adapter, TrainProgress
from config.terminal import say_json
from config.trainer_command import TRAINER_HELP, parse_trainer
from worker.models.resolve import local_model
from worker.train.command_trainer import train_with_command
from worker.train.file_names import LOG
from worker.train.trainer import train as run_train

SHORT = 0.1  # minutes left that are not worth showing


def train(
    dataset: Annotated[Path, typer.Argument(help="directory with train.jsonl and valid.jsonl")],
    student: Annotated[str, typer.Option(metavar="MODEL", help="model: directory or hub id on this machine")],
    out: Annotated[Path, typer.Option(help="directory of the adapter")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=hyperparameters.OVERRIDE_HELP)
    ] = None,
    config: Annotated[Path, typer.Option(help="hyperparameters file")] = hyperparameters.DEFAULT_FILE,
    trainer: Annotated[str | None, typer.Option(metavar="TRAINER", help=TRAINER_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="last line of stdout is one JSON object")] = False,
) -> None:
    """Train a LoRA adapter of the student on a dataset. Reuses an existing adapter of the same inputs.

    Started again after an interruption, it goes on from its last checkpoint, with the same result.

    Without iters, its length follows from the rows and epochs of the hyperparameters. A row that does not fit this
    machine's memory is refused before the model is loaded; grad_checkpoint is chosen where it is needed.
    """
    console = PlainConsole(stderr=as_json)
    settings = hyperparameters.parse_overrides(overrides or [])
    command = parse_trainer(trainer) if trainer is not None else None
    run = partial(train_with_command, command, cwd=Path.cwd()) if command else run_train
    with _bar(console) as bar:
        task = bar.add_task("loading", total=None, losses="")
        adapter = run(
            dataset,
            student=local_model(student).path,
            out=out,
            overrides=settings,
            on_progress=lambda line: show(bar, task, line),
            cancelled=lambda: False,
            file=config,
        )
    print_adapter(console, adapter)
    if as_json:
        body = adapter.model_dump(mode="json", exclude={"path"})
        say_json({"adapter": adapter.path, **body})


def show(bar: Progress, task: TaskID, line: TrainProgress) -> None:
    """Update the progress bar. Without a terminal, print one line per report. The plan is printed in any case."""
    if line.plan:
        bar.console.print(f"training on {line.plan}", soft_wrap=True)
        return
    parts = {"train": line.train_loss, "valid": line.valid_loss}
    losses = "  ".join(f"{name} loss {loss:.3f}" for name, loss in parts.items() if loss is not None)
    bar.update(task, description="training", total=line.iterations, completed=line.iteration, losses=losses)
    if not bar.console.is_terminal:
        left = f"  about {line.minutes_left:.1f} min left" if (line.minutes_left or 0) > SHORT else ""
        bar.console.print(f"iteration {line.iteration}/{line.iterations}  {losses}{left}", soft_wrap=True)


def print_adapter(console: PlainConsole, adapter: Adapter) -> None:
    """Print a summary of the adapter."""
    console.print(
        f"adapter: {adapter.path}  {adapter.iterations} iterations in {adapter.seconds:.0f} s, "
        f"{adapter.tokens_per_second:.0f} trained tokens/s, {adapter.peak_memory_gb:.1f} GB  "
        f"(log: {Path(adapter.path) / LOG})",
        soft_wrap=True,
    )
    if adapter.unservable:
        console.print(f"it cannot be evaluated: {adapter.unservable}", soft_wrap=True)


def _bar(console: PlainConsole) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total}"))
    return Progress(
        *columns,
        TextColumn("{task.fields[losses]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
