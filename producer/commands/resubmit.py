"""`applejack resubmit`: run again exactly the jobs that match."""

from typing import Annotated

import typer
from rich.table import Table

from config.errors import FailureKind, RejectionReason, UsageError
from config.ledger import Ledger
from config.records import JobState, JsonObject, StageState
from config.settings import Settings
from config.topology import Stage
from producer import enqueue
from producer.commands.options import Dir, Json, RunId, settings_with_dir
from producer.connect import open_ledger
from producer.output import Output, pluralise
from producer.resubmit import FinishedJob, JobFilter, by_kind, category_shift, job_named, select

# Below the options, since a column of them would break the words.
CHOICES = "\n\n".join(
    f"{name}: {', '.join(member.value for member in members)}"
    for name, members in (("KIND", FailureKind), ("REASON", RejectionReason), ("STAGE", Stage))
)


def resubmit(
    run: RunId,
    kind: Annotated[
        list[FailureKind] | None, typer.Option(metavar="KIND", help="Jobs that failed this way; repeat for more.")
    ] = None,
    reason: Annotated[
        list[RejectionReason] | None,
        typer.Option(metavar="REASON", help="Jobs rejected for this reason; repeat for more."),
    ] = None,
    job: Annotated[
        list[str] | None, typer.Option(metavar="JOB", help="One job, by id or number; repeat for more.")
    ] = None,
    worker: Annotated[
        list[str] | None,
        typer.Option(metavar="WORKER", help="Failed and rejected jobs of this worker; repeat for more."),
    ] = None,
    stage: Annotated[
        Stage | None, typer.Option(metavar="STAGE", help="No jobs: this ended stage again, and those behind it.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every job, kept ones too.")] = False,
    train: Annotated[bool, typer.Option(help="Train and evaluate on the new dataset.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run again and change nothing.")] = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Run again what failed or was rejected, all of it or by cause, and curate the run anew.

    Of several criteria one is enough: the jobs of all of them run again, each once. Old attempts stay readable in
    `applejack why`; the dataset gets a new version. Example:
    applejack resubmit night-1 --kind endpoint_unreachable --kind timeout
    """
    settings, output = settings_with_dir(folder), Output(as_json)
    if stage and (kind or reason or job or worker or everything or train):
        raise UsageError(
            "--stage runs no jobs again: give it alone, without --kind, --reason, --job, --worker, --all or --train"
        )
    with open_ledger(settings) as (ledger, reached):
        view = ledger.run(run)
        if stage:
            output.result(rerun_stage(ledger, reached, run, stage, output, dry_run=dry_run))
            return
        if train and view.spec.student is None:
            raise UsageError(f"run {run!r} names no student, so it cannot be trained")
        jobs = tuple(job_named(ledger, run, text) for text in job or ())
        wanted = JobFilter(tuple(kind or ()), tuple(reason or ()), jobs, tuple(worker or ()))
        everyone = candidates(ledger, run)
        # Without criteria: what failed or was rejected; a job named by hand may be a kept one too.
        pool = [one for one in everyone if everything or one.kind or one.reasons or one.job_id in jobs]
        chosen_jobs = pool if everything else select(pool, wanted)
        body: JsonObject = {"run_id": run, "resubmitted": len(chosen_jobs), "by_kind": dict(by_kind(chosen_jobs))}
        table = Table("cause", "jobs")
        for cause, number in by_kind(chosen_jobs).items():
            table.add_row(cause, str(number))
        if chosen_jobs:
            output.console.print(table)
        rows = category_shift(chosen_jobs, everyone)
        mix = Table("category", "share of the run", "share of the retried", title="How this shifts the mix")
        for name, of_run, of_retried in rows:
            mix.add_row(name, f"{of_run:.0%}", f"{of_retried:.0%}")
        if rows:
            output.console.print(mix)
        body["mix"] = [{"category": name, "run": a, "retried": b} for name, a, b in rows]
        if dry_run or not chosen_jobs:
            output.console.print(f"{pluralise(len(chosen_jobs), 'job')} would run again; nothing was changed")
            output.result({**body, "dry_run": dry_run})
            return
        ids = [one.job_id for one in chosen_jobs]
        spec = view.spec.model_copy(update={"train": train, "evaluate": train and view.spec.evaluate})
        ledger.jobs.resubmit(run, ids, train=spec.train, evaluate=spec.evaluate)
        enqueue.enqueue(reached, spec, ids, [one.prompt for one in chosen_jobs])
    output.console.print(
        f"{pluralise(len(ids), 'job')} of {run} to run again; `applejack status {run} --watch` follows them"
    )
    output.result({**body, "dry_run": False})


def rerun_stage(
    ledger: Ledger, settings: Settings, run: str, stage: Stage, output: Output, *, dry_run: bool
) -> JsonObject:
    """Owe one stage again, or with `dry_run` say which would run; UsageError when it has not ended."""
    behind = list(Stage)[list(Stage).index(stage) :]
    states = {one: ledger.stages.view(run, one).state for one in behind}
    if states[stage] not in {StageState.DONE, StageState.FAILED}:
        raise not_ended(run, stage, states[stage].value)
    stages = [one.value for one in behind if states[one] is not StageState.SKIPPED]
    body: JsonObject = {
        "run_id": run, "resubmitted": 0, "by_kind": {}, "stage": stage.value, "stages": [*stages], "dry_run": dry_run,
    }  # fmt: skip
    if dry_run:
        output.console.print(f"{', '.join(stages)} of {run} would run again; nothing was changed")
        return body
    state = ledger.stages.reopen(run, stage)
    if state != "ready":  # somebody else was faster
        raise not_ended(run, stage, state)
    enqueue.enqueue_stage(settings, run, stage)
    output.console.print(f"{', '.join(stages)} of {run} runs again; `applejack status {run} --watch` follows it")
    return body


def not_ended(run: str, stage: Stage, state: str) -> UsageError:
    """Why a stage cannot run again."""
    return UsageError(f"the stage {stage.value!r} of run {run!r} is {state}; only an ended one can run again")


def candidates(ledger: Ledger, run_id: str) -> list[FinishedJob]:
    """Every finished job of a run with what is known against it."""
    verdicts = ledger.verdicts(run_id)
    ids = ledger.jobs.ids(run_id, JobState.GENERATED, JobState.FAILED)
    prompts = ledger.jobs.prompts(run_id, ids)
    made = []
    for outcome, prompt in zip(ledger.jobs.outcomes(run_id, ids), prompts, strict=True):
        verdict = verdicts.get(outcome.job_id)
        reasons = verdict.reasons if verdict else ()
        made.append(FinishedJob(outcome.job_id, outcome.failure, reasons, outcome.worker, prompt))
    return made
