"""The same prompts trained twice: once on real tool results, once on "[Tool execution completed]" in their place:

    applejack demo --dir DEMO && python -m benchmarks.placeholder --demo DEMO --out OUT

The demo is the real half. Its training rows are copied with every tool result replaced; curation would reject them. The
student is trained on these with the demo's own hyperparameters, and both adapters answer the demo's held-out questions
with real tools. Prints the rates of both, an exact McNemar test and the causes of failure; the last line is JSON.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.table import Table

from config.records import JsonObject
from config.report.comparison import Comparison, compare
from config.report.metrics import Metrics
from config.report.model import Report
from config.report.outcomes import shared
from config.report.rows import Value, lines
from producer.demo import LORA
from worker.evaluate.evaluator import evaluate
from worker.evaluate.repeat import Overrides, Repeat
from worker.train.file_names import RECIPE
from worker.train.trainer import train

PLACEHOLDER = "[Tool execution completed]"
COPIED = ("held_out.jsonl", "evaluation.json")


def main() -> None:
    """Train and evaluate the placeholder half, and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True, help="directory of an earlier `applejack demo`")
    parser.add_argument("--out", type=Path, required=True, help="directory for dataset, adapter and report")
    given = parser.parse_args()
    run = latest_run(given.demo)
    recipe = json.loads((run / "adapter-v1" / RECIPE).read_text(encoding="utf-8"))
    student = Path(recipe["student"]["path"])
    dataset = given.out / "dataset"
    replaced = with_placeholders(run / "dataset-v1", dataset)
    say(f"{replaced} tool results replaced in {dataset}")
    adapter = given.out / "adapter"
    train(
        dataset,
        student=student,
        out=adapter,
        overrides=own(recipe["hyperparameters"]),
        on_progress=lambda progress: say(f"iteration {progress.iteration} of {progress.iterations}"),
        cancelled=lambda: False,
    )
    repeat = Repeat(dataset, run_id="placeholder", overrides=Overrides(), cache=given.out / "cache", warn=say)
    made = evaluate(
        repeat.prompts,
        spec=repeat.spec,
        student=student,
        adapter=adapter,
        workspace_for=repeat.workspace_for,
        out=given.out / "report",
        on_progress=lambda phase, done, total: say(f"{phase}: {done} of {total}"),
        worker="benchmark",
    )
    show(Report.read(run / "report-v1"), made)


def latest_run(demo: Path) -> Path:
    """The folder of the demo's last run that has a report."""
    reports = sorted(demo.resolve().glob("runs/demo-*/report-v1"))
    if not reports:
        sys.exit(f"no finished run under {str(demo)!r}; make one with `applejack demo --dir {demo}`")
    return reports[-1].parent


def with_placeholders(source: Path, target: Path) -> int:
    """Copy a dataset with every tool result replaced; returns how many were."""
    target.mkdir(parents=True, exist_ok=True)
    replaced = 0
    for split in ("train.jsonl", "valid.jsonl"):
        rows = [json.loads(line) for line in (source / split).read_text(encoding="utf-8").splitlines()]
        for row in rows:
            for message in row["messages"]:
                if message["role"] == "tool":
                    message["content"] = PLACEHOLDER
                    replaced += 1
        (target / split).write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    for name in COPIED:
        shutil.copyfile(source / name, target / name)
    return replaced


def own(hyperparameters: JsonObject) -> JsonObject:
    """The demo's overrides, with the values of a recipe."""
    return {key: hyperparameters[key] for key in (*LORA, "iters", "seed", "max_seq_length")}


def show(real: Report, placeholders: Report) -> None:
    """Print both adapters side by side, and how the second one fails."""
    console = Console(width=100)
    assert real.after is not None
    assert placeholders.after is not None
    table = Table("measure", "real results", "placeholders")
    for line in lines((real.after, placeholders.after), (real.training, None), real.targets):
        table.add_row(line.measure, *(value.text for value in cast("tuple[Value, ...]", line.values)))
    console.print(table)
    paired: Comparison = compare(shared(real.outcomes, placeholders.outcomes).pairs)
    console.print(f"right from a real result, real against placeholders: {paired.grounded_correct}")
    for cause in placeholders.failure_causes:
        console.print(f"{cause.count} of {cause.of}: {cause.title}")
    print(
        json.dumps(
            {"real": rates(real.after), "placeholders": rates(placeholders.after), "p": paired.grounded_correct.p}
        )
    )


def rates(metrics: Metrics) -> JsonObject:
    """The rates of one adapter."""
    return cast("JsonObject", metrics.model_dump(mode="json", include={"grounded_correct", "correct", "loop",
        "unsupported_claim", "invented_result", "tool_calls_per_prompt", "findings"}))  # fmt: skip


def say(line: object) -> None:
    """Progress on stderr."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
