"""The evaluate stage on files: `python -m worker.cli evaluate DATASET ...`, and `... score IN...`."""

import platform
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, TextIO

import typer

from config.errors import UsageError
from config.exit_codes import EXIT_INCOMPLETE
from config.records import JsonObject, Spec
from config.report.metrics import Targets
from config.report.rows import lines
from config.settings import settings
from config.terminal import say, say_json
from worker.evaluate import recorded
from worker.evaluate.rates import metrics
from worker.evaluate.score import AnswerFault, AnswerScore, observe
from worker.models.resolve import local_model

DETAIL = 200  # characters of evidence
SHOWN_ROWS = 5  # rows per finding on a terminal; --json has all

JsonFlag = Annotated[bool, typer.Option("--json", help="last line of stdout is one JSON object")]


def evaluate(
    prompts: Annotated[Path, typer.Argument(help="a dataset's directory, or prompts.jsonl")],
    student: Annotated[str, typer.Option(metavar="MODEL", help="model: directory or hub id on this machine")],
    out: Annotated[Path, typer.Option(help="directory for report.json, answers and logs")],
    adapter: Annotated[Path | None, typer.Option(help="adapter directory; omit it to evaluate the base only")] = None,
    workspace: Annotated[
        str | None, typer.Option(help="code that the tools read: PATH or PATH@REV  [default: the run's, at its pin]")
    ] = None,
    system_prompt: Annotated[
        str | None, typer.Option(help="system prompt of every conversation  [default: the run's]")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="ask N prompts, in equal parts from each category  [default: as many as the run]"),
    ] = None,
    unseen: Annotated[
        bool, typer.Option("--unseen/--no-unseen", help="also ask the dataset's questions about code that it lacks")
    ] = True,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="prompts in flight; the server batches them  [default: the run's, else 4]")
    ] = None,
    evaluate_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="maximum tokens of one answer; raise it if answers are cut"),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="further answers to each prompt at the student's own temperature"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Evaluate base and adapter on the same prompts with real tools, verify which weights answered, write a report.

    The dataset of a run records the run's tools, limits, system prompt and code, so that
    the report of the run can be repeated:

    applejack evaluate runs/night-1/dataset --student ORG/NAME --adapter runs/night-1/adapter --out repeated
    """
    from worker.evaluate.evaluator import evaluate as run  # takes seconds; `score` does not need it
    from worker.evaluate.repeat import Overrides, Repeat
    from worker.evaluate.training_set import check_against_training, dataset_of

    if system_prompt is not None and not system_prompt.strip():
        raise UsageError(f"--system-prompt is {system_prompt!r}; set a text, or omit it")
    repeat = Repeat(
        prompts,
        run_id=re.sub(r"[^A-Za-z0-9._-]+", "-", out.resolve().name).lstrip("._-")[:64] or "evaluation",
        overrides=Overrides(workspace=workspace, system_prompt=system_prompt, limit=limit, unseen=unseen),
        cache=settings().cache,
        warn=lambda line: say(f"applejack: {line}", file=sys.stderr),
    )
    spec = _with(repeat.spec, evaluate_tokens=evaluate_tokens, samples=samples)
    model = local_model(student).path
    asked = [*repeat.prompts, *repeat.unseen.prompts]
    notes = check_against_training(asked, spec, dataset=dataset_of(prompts), student=model, adapter=adapter)
    report = run(
        repeat.prompts,
        unseen=repeat.unseen.prompts,
        spec=spec,
        student=model,
        adapter=adapter,
        workspace_for=repeat.workspace_for,
        out=out,
        on_progress=lambda phase, done, total: say(f"{phase}: {done} of {total}", file=sys.stderr),
        worker=platform.node(),
        concurrency=concurrency,
    )
    report = repeat.completed(report, adapter).model_copy(update={"notes": notes})
    report.write(out)
    people = sys.stderr if as_json else sys.stdout
    say(report.markdown(), file=people)
    say(f"report: {out / 'report.json'}", file=people)
    if as_json:
        say_json(report.model_dump(mode="json") | {"report": str(out / "report.json")})


def _with(spec: Spec, *, evaluate_tokens: int | None, samples: int | None) -> Spec:
    """The spec with the options that were given."""
    limits = spec.evaluate_limits.model_copy(update={"max_tokens": evaluate_tokens or spec.evaluate_limits.max_tokens})
    taken = spec.evaluate_samples if samples is None else samples
    return spec.model_copy(update={"evaluate_limits": limits, "evaluate_samples": taken})


def score(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="recorded answers or conversations: JSON lines, or JSON nested as evaluation scripts write it"
        ),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Score recorded answers without a model: loops, invented turns, unsupported claims, missing answers and others.

    A single answer may be a call. Findings that need more are looked for where a record has it: "requires_tools" (true
    or false), "expect" (the facts of a right answer), "finish_reason" ("length" if max_tokens cut it).
    """
    recorded.require_record(files)
    seen: list[AnswerScore] = []
    found: dict[AnswerFault, list[JsonObject]] = {fault: [] for fault in AnswerFault}
    broken: list[JsonObject] = []
    scored: Counter[Path] = Counter()
    for record in recorded.read(files):
        observed = _observe(record)
        if isinstance(observed, str) or record.trajectory is None:
            broken.append(_place(record) | {"reason": str(observed)})
            say(f"{record.place}: {observed}", file=sys.stderr)
            continue
        scored[record.file] += 1
        seen.append(observed)
        row = _place(record) | {"index": scored[record.file], "job_id": record.trajectory.job_id}
        for finding in observed.found:
            found[finding.fault].append(row | {"detail": finding.detail[:DETAIL], "kind": finding.kind})
    _print_scores(seen, found, broken, to=sys.stderr if as_json else sys.stdout)
    if as_json:
        findings = {fault.value: {"count": len(rows), "rows": rows} for fault, rows in found.items()}
        rates = metrics(seen).model_dump(mode="json")
        say_json({"scored": len(seen), "findings": findings, "broken": broken, "metrics": rates})
    if not seen:
        raise typer.Exit(EXIT_INCOMPLETE)


def _observe(record: recorded.Recorded) -> AnswerScore | str:
    """The score of a record, or why it has none."""
    if record.trajectory is None:
        return record.problem or "no answer"
    try:
        return observe(record.trajectory, needs_tools=record.needs_tools, single=record.single)
    except UsageError as error:  # a malformed `expect`
        return str(error)


def _place(record: recorded.Recorded) -> JsonObject:
    """The file, and the line of JSON lines or the path in a JSON value."""
    place: JsonObject = {"line": record.line} if record.line else {"path": record.where}
    return {"file": str(record.file)} | place


def _print_scores(
    seen: list[AnswerScore], found: dict[AnswerFault, list[JsonObject]], broken: list[JsonObject], *, to: TextIO
) -> None:
    """Print the scores and the first rows of each finding."""
    table = lines((metrics(seen),), (None,), Targets())
    for line in table:
        target = f"  (target {line.target})" if line.target else ""
        say(f"{line.measure:<40}{line.values[0].text}{target}", file=to)
    for fault, rows in found.items():
        if rows:
            say(f"\n{fault.value}: {len(rows)}", file=to)
        for row in rows[:SHOWN_ROWS]:
            where = row.get("line") or row.get("path") or row["index"]
            say(f"  {row['file']}:{where}  {' '.join(str(row['detail']).split())[:100]}", file=to)
    if broken:
        say(f"\n{len(broken)} answers could not be read", file=to)
