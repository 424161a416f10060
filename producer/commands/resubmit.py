"""`applejack resubmit`: run selected jobs of a run, or a stage, again."""

from collections.abc import Sequence
from typing import Annotated

import typer

from config.errors import FailureKind, RejectionReason, UsageError
from config.hyperparameters import merge, parse_overrides, resolve
from config.ledger import Ledger
from config.records import JsonObject, Spec, StageState
from config.settings import Settings
from config.topology import Stage
from producer import enqueue
from producer.commands.model_options import Students, parse_students
from producer.commands.options import Dir, Json, RunId, settings_with_dir
from producer.connect import open_ledger
from producer.output import Output, pluralise
from producer.resubmit import JobFilter, Resubmission, job_named, plan, require_not_cancelled
from producer.resubmit import resubmit as resubmit_jobs
from producer.wrapping import wrap, wrap_items

SHIFT = 0.05  # share points; categories that change by less are summarised
MOST_SHIFTS = 4  # lines; the answer below must stay on the screen

# Shown below the options, because the help's narrow columns would break the words.
EPILOG = "\n\n".join(
    f"{name}: {', '.join(member.value for member in members)}"
    for name, members in (("KIND", FailureKind), ("REASON", RejectionReason), ("STAGE", Stage))
)


def resubmit(
    run: RunId,
    kind: Annotated[
        list[FailureKind] | None, typer.Option(metavar="KIND", help="Select jobs with this failure kind (repeatable).")
    ] = None,
    reason: Annotated[
        list[RejectionReason] | None,
        typer.Option(
            metavar="REASON",
            help="Select jobs rejected for this reason (repeatable); truncated also before curation.",
        ),
    ] = None,
    job: Annotated[
        list[str] | None, typer.Option(metavar="JOB", help="Select a job by its id or number (repeatable).")
    ] = None,
    worker: Annotated[
        list[str] | None,
        typer.Option(metavar="WORKER", help="Select failed and rejected jobs of this worker (repeatable)."),
    ] = None,
    stage: Annotated[
        Stage | None, typer.Option(metavar="STAGE", help="Run no jobs, but this finished stage and the later ones.")
    ] = None,
    student: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="With --stage curate: take this student. With --stage train: train=MODEL."),
    ] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="With --stage train: train one more adapter with this override, such as learning_rate=5e-5 "
            "(repeatable). The adapter of before and its report are kept as RUN@vN.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Select every job, including kept ones.")] = False,
    train: Annotated[bool, typer.Option(help="Also train and evaluate on the new dataset.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and change nothing.")] = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Run failed and rejected jobs again, and curate the run again.

    Without options, all failed and rejected jobs run again. A job is selected if it matches any of the options. The
    dataset gets a new version, and `applejack why` still shows earlier attempts. Example:
    applejack resubmit night-1 --kind endpoint_unreachable --kind timeout
    """
    settings, output = settings_with_dir(folder), Output(as_json)
    if stage and (kind or reason or job or worker or everything or train):
        raise UsageError(
            "--stage runs no jobs, so it cannot be combined with --kind, --reason, --job, --worker, --all or --train"
        )
    students = parse_students(student or [])
    if student and not (stage is Stage.CURATE or (stage is Stage.TRAIN and students.curate is None)):
        raise UsageError(
            "--student needs --stage curate, because the dataset is written for the student; "
            "for the same student at another place, give --stage train --student train=MODEL"
        )
    if lora and stage is not Stage.TRAIN:
        raise UsageError("--lora needs --stage train, which trains another adapter on the same dataset")
    with open_ledger(settings) as (ledger, with_url):
        view = ledger.run(run)
        if stage:
            require_not_cancelled(view)
            changed = with_lora(with_students(view.spec, students) if student else view.spec, lora or [])
            spec = changed if student or lora else None
            output.result(rerun_stage(ledger, with_url, run, stage, output, spec=spec, dry_run=dry_run))
            return
        if train and view.spec.trained_student is None:
            raise UsageError(f"run {run!r} has no student to train; submit a new run with --student")
        job_ids = tuple(job_named(ledger, run, text) for text in job or ())
        wanted = JobFilter(tuple(kind or ()), tuple(reason or ()), job_ids, tuple(worker or ()))
        planned = plan(ledger, run, wanted, everything=everything)
        body: JsonObject = {"run_id": run, "resubmitted": len(planned.jobs), "by_kind": dict(planned.by_kind)}
        body["mix"] = [{"category": name, "run": a, "retried": b} for name, a, b in planned.mix]
        show_plan(output, planned)
        if dry_run or not planned.jobs:
            without = f"; without --dry-run, {run} is curated again with them" if planned.jobs else ""
            say(output, f"{pluralise(len(planned.jobs), 'job')} would run again; nothing was changed{without}")
            output.result({**body, "dry_run": dry_run})
            return
        resubmit_jobs(ledger, with_url, planned, train=train)
    jobs = pluralise(len(planned.jobs), "job")
    say(output, f"{jobs} of {run} queued again; follow with `applejack status {run} --watch`")
    output.result({**body, "dry_run": False})


def say(output: Output, text: str, *, first: str = "") -> None:
    """Print text that is wrapped between words and commands."""
    output.console.print("\n".join(wrap(text, output.console.width, first=first)), markup=False)


def show_plan(output: Output, planned: Resubmission) -> None:
    """Print the causes of the jobs that would run again, and the categories whose share differs from the run's.

    A few lines, because the answer follows them. --json has all.
    """
    if not planned.jobs:
        return
    causes = [f"{number} {cause}" for cause, number in sorted(planned.by_kind.items(), key=lambda pair: -pair[1])]
    output.console.print("\n".join(wrap_items([f"causes: {causes[0]}", *causes[1:]], output.console.width)))
    for line in mix_lines(planned.mix):
        say(output, line)


def mix_lines(mix: Sequence[tuple[str, float, float]]) -> list[str]:
    """The categories of a plan in words, a line each: those that change by more than SHIFT, the rest in one."""
    shifted = sorted((row for row in mix if abs(row[2] - row[1]) > SHIFT), key=lambda row: -abs(row[2] - row[1]))
    shown = shifted[:MOST_SHIFTS]
    lines = [f"{name}: {retried:.0%} of these jobs, {of_run:.0%} of the run" for name, of_run, retried in shown]
    rest = len(mix) - len(shown)
    if not shown:
        return [f"categories: as in the run, within {100 * SHIFT:.0f} points"] if mix else []
    others = f"{rest} other {'category' if rest == 1 else 'categories'}"
    within = "--json lists all" if len(shifted) > len(shown) else f"within {100 * SHIFT:.0f} points of the run"
    return [*lines, *([f"{others}: {within}"] if rest else [])]


def with_students(spec: Spec, students: Students) -> Spec:
    """The run's spec with another student; one that is named for all roles replaces both."""
    if students.curate is None:
        return spec.model_copy(update={"train_student": students.train})
    return spec.model_copy(update={"student": students.curate, "train_student": students.train})


def with_lora(spec: Spec, pairs: list[str]) -> Spec:
    """The run's spec with more overrides of hyperparameters. UsageError if they are invalid or change nothing."""
    if not pairs:
        return spec
    overrides = parse_overrides(pairs)
    excluded = {"iters": "epochs", "epochs": "iters"}  # the later of the two counts
    earlier = {key: value for key, value in spec.lora.items() if excluded.get(key) not in overrides}
    lora = merge(earlier, overrides)
    resolve(lora, turns=spec.dataset_format == "turns")
    if lora == spec.lora:
        raise UsageError(f"run {spec.run_id!r} has been trained with {', '.join(pairs)} already; give another value")
    return spec.model_copy(update={"lora": lora})


def rerun_stage(
    ledger: Ledger,
    settings: Settings,
    run: str,
    stage: Stage,
    output: Output,
    *,
    spec: Spec | None = None,
    dry_run: bool,
) -> JsonObject:
    """Run a finished stage and the later ones again; with `dry_run`, only list them. UsageError if it has not ended.

    A `spec` replaces the run's.
    """
    from_here = list(Stage)[list(Stage).index(stage) :]
    states = {later: ledger.stages.view(run, later).state for later in from_here}
    if states[stage] not in {StageState.DONE, StageState.FAILED}:
        raise not_ended(run, stage, states[stage].value)
    if spec and stage is Stage.TRAIN and states[Stage.EVALUATE] in {StageState.READY, StageState.RUNNING}:
        raise UsageError(
            f"the adapter of run {run!r} is being evaluated, and its report would be lost; try again when "
            f"`applejack status {run}` shows that the run has ended"
        )
    stages = [later.value for later in from_here if states[later] is not StageState.SKIPPED]
    body: JsonObject = {
        "run_id": run, "resubmitted": 0, "by_kind": {}, "stage": stage.value, "stages": [*stages], "dry_run": dry_run,
    }  # fmt: skip
    if dry_run:
        say(output, f"{', '.join(stages)} of {run} would run again; nothing was changed")
        return body
    state = ledger.stages.reopen(run, stage, spec=spec)
    if state != "ready":  # another command has started it
        raise not_ended(run, stage, state)
    enqueue.enqueue_stage(settings, run, stage)
    say(output, f"{', '.join(stages)} of {run} will run again; follow with `applejack status {run} --watch`")
    return body


def not_ended(run: str, stage: Stage, state: str) -> UsageError:
    """The error for a stage that cannot run again."""
    return UsageError(f"the stage {stage.value!r} of run {run!r} is {state}; only a finished stage can run again")
