"""Compares the formats `turns` and `text`: one student trained on each, evaluated on the same held-out questions.

python -m benchmarks.formats TRAJECTORIES.jsonl --student MODEL --workspace CODE --out DIR [--iterations 60]

TRAJECTORIES is a file from `applejack archive RUN --keep`, for example of a demo run.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from config.records import Prompt, Trajectory
from config.report.model import Report
from config.settings import settings
from producer.demo import LORA, Demo
from producer.report.lines import compare
from worker.curate.options import Format, Options
from worker.curate.pipeline import curate
from worker.evaluate.evaluator import evaluate
from worker.tools.workspace import open_workspace
from worker.train.trainer import train

FORMATS: tuple[Format, ...] = ("turns", "text")


def main(
    trajectories: Path,
    student: Annotated[Path, typer.Option()],
    workspace: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    iterations: int = 60,
    questions: int = 12,
) -> None:
    """Curate, train and evaluate with both formats. Prints the reports side by side."""
    read = [Trajectory.model_validate_json(line) for line in trajectories.open(encoding="utf-8")]
    reports = {
        format_: run(format_, read, student, workspace, out / format_, iterations, questions) for format_ in FORMATS
    }
    console = Console()
    table = Table("format", "rows", "loss on other roles", "tool when needed", "correct", "loops", "final answer")
    for format_, (report, rows, foreign) in reports.items():
        after = report.after
        assert after is not None
        table.add_row(
            format_, str(rows), f"{foreign:.0%}", share(after.tool_when_needed.rate), share(after.correct.rate),
            share(after.loop.rate), share(after.final_answer.rate),
        )  # fmt: skip
    console.print(compare(reports["turns"][0], reports["text"][0]))
    console.print(table)


def run(
    format_: Format, read: list[Trajectory], student: Path, workspace: Path, out: Path, iterations: int, questions: int
) -> tuple[Report, int, float]:
    """One format's report, its number of training rows, and the share of the loss on tokens of other roles."""
    spec = Demo(settings()).spec(format_, workspace, student)
    options = Options(
        format=format_, max_seq_length=spec.max_seq_length, valid_share=spec.valid_share, test_share=spec.test_share,
        seed=spec.seed,
    )  # fmt: skip
    curated = curate(read, out=out / "dataset", options=options, student=student)
    train(
        out / "dataset",
        student=student,
        out=out / "adapter",
        overrides={"max_seq_length": spec.max_seq_length, **LORA, "iters": iterations},
        on_progress=lambda progress: print(format_, progress.iteration, progress.train_loss, flush=True),
        cancelled=lambda: False,
    )
    code = open_workspace(str(workspace), cache=out / "cache")
    with (out / "dataset" / "held_out.jsonl").open(encoding="utf-8") as lines:
        prompts = [Prompt.model_validate_json(line) for line in lines][:questions]
    report = evaluate(
        prompts,
        spec=spec,
        student=student,
        adapter=out / "adapter",
        workspace_for=lambda _: code,
        out=out / "report",
        on_progress=lambda phase, done, total: print(format_, phase, done, total, flush=True),
        worker="benchmark",
    )
    foreign = curated.summary.loss_proof.get("foreign_share")
    return report, curated.summary.splits["train"], foreign if isinstance(foreign, float) else 0.0


def share(rate: float | None) -> str:
    """A rate as a percentage."""
    return "-" if rate is None else f"{rate:.0%}"


if __name__ == "__main__":
    typer.run(main)
