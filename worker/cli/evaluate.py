"""The evaluate stage on files: `python -m worker.cli evaluate PROMPTS ...`, and `... score IN...`."""

import json
import platform
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Annotated, TextIO

import typer

from config.errors import UsageError
from config.exit_codes import EXIT_INCOMPLETE
from config.records import JsonObject, Prompt, Spec
from config.report.metrics import Targets
from config.report.rows import lines
from config.settings import settings
from worker.curate.jsonlines import numbered_lines, parse_object
from worker.evaluate import recorded
from worker.evaluate.score import AnswerFault, AnswerScore, metrics, observe
from worker.models.resolve import local_model

HELD_OUT = "held_out.jsonl"  # in a dataset's directory: prompts that are not in the training rows
DETAIL = 200  # characters of evidence
SHOWN_ROWS = 5  # rows per finding on a terminal; --json has all

JsonFlag = Annotated[bool, typer.Option("--json", help="last line of stdout is one JSON object")]


def evaluate(
    prompts: Annotated[Path, typer.Argument(help="prompts.jsonl, or a dataset's directory")],
    student: Annotated[str, typer.Option(metavar="MODEL", help="model: directory or hub id on this machine")],
    out: Annotated[Path, typer.Option(help="directory for report.json, answers and logs")],
    adapter: Annotated[Path | None, typer.Option(help="adapter directory; omit it to evaluate the base only")] = None,
    workspace: Annotated[str | None, typer.Option(help="code that the tools read: PATH or PATH@REV")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="evaluate only the first N prompts")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="prompts in flight; the server batches them")] = 4,
    as_json: JsonFlag = False,
) -> None:
    """Evaluate base and adapter on the same prompts with real tools, verify which weights answered, write a report."""
    from worker.evaluate.evaluator import evaluate as run  # takes seconds; `score` does not need it
    from worker.tools.workspace import Workspace, open_workspace

    selected = read_prompts(prompts)[:limit]
    spec = Spec(run_id=re.sub(r"[^A-Za-z0-9._-]+", "-", out.resolve().name).lstrip("._-")[:64] or "evaluation")
    if workspace is None and any(prompt.requires_tools and not prompt.workspace for prompt in selected):
        raise UsageError(
            "some prompts need tools but have no workspace; pass the code that they are about with --workspace"
        )

    @cache
    def opened(name: str) -> Workspace:
        return open_workspace(name, cache=settings().cache)

    report = run(
        selected,
        spec=spec,
        student=local_model(student).path,
        adapter=adapter,
        workspace_for=lambda prompt: opened(named) if (named := prompt.workspace or workspace) else None,
        out=out,
        on_progress=lambda phase, done, total: print(f"{phase}: {done} of {total}", file=sys.stderr),
        worker=platform.node(),
        concurrency=concurrency,
    )
    people = sys.stderr if as_json else sys.stdout
    print(report.markdown(), file=people)
    print(f"report: {out / 'report.json'}", file=people)
    if as_json:
        print(json.dumps(report.model_dump(mode="json") | {"report": str(out / "report.json")}))


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
            print(f"{record.place}: {observed}", file=sys.stderr)
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
        print(json.dumps({"scored": len(seen), "findings": findings, "broken": broken, "metrics": rates}))
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


def read_prompts(path: Path) -> list[Prompt]:
    """Read the prompts of a file or a dataset's directory. UsageError names the file, line and fault of a bad one."""
    file = path / HELD_OUT if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            prompts = [_prompt(line, f"{file}:{number}") for number, line in numbered_lines(opened)]
    except OSError as error:
        raise UsageError(f"{str(file)!r} cannot be read: {error.strerror}") from error
    if not prompts:
        raise UsageError(f"{str(file)!r} contains no prompts")
    return prompts


def _prompt(line: bytes, where: str) -> Prompt:
    try:
        return Prompt.model_validate(parse_object(line))
    except ValueError as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}") from error


def _print_scores(
    seen: list[AnswerScore], found: dict[AnswerFault, list[JsonObject]], broken: list[JsonObject], *, to: TextIO
) -> None:
    """Print the scores and the first rows of each finding."""
    table = lines((metrics(seen),), (None,), Targets())
    for line in table:
        target = f"  (target {line.target})" if line.target else ""
        print(f"{line.measure:<40}{line.values[0].text}{target}", file=to)
    for fault, rows in found.items():
        if rows:
            print(f"\n{fault.value}: {len(rows)}", file=to)
        for row in rows[:SHOWN_ROWS]:
            where = row.get("line") or row.get("path") or row["index"]
            print(f"  {row['file']}:{where}  {' '.join(str(row['detail']).split())[:100]}", file=to)
    if broken:
        print(f"\n{len(broken)} answers could not be read", file=to)
