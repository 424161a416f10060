"""`applejack cancel`, `pause` and `resume`: stop a run, hold it, or let it go on."""

from typing import Annotated

import typer

from config.ledger import Ledger
from config.records import JobState, JsonObject, RunControl
from producer import control
from producer.commands.options import Dir, Json, RunId, settings_with_dir
from producer.connect import open_ledger
from producer.output import Output, pluralise


def cancel(run: RunId, folder: Dir = None, as_json: Json = False) -> None:
    """Stop a run: its jobs in flight end within seconds, and nothing of it starts again before `resume`.

    Finished trajectories are kept. The run can be resumed, curated as it is (`resume --without-cancelled`) or archived.
    Cancelling it again changes nothing.
    """
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder), stopped=True) as (ledger, _):
        body = control.cancel(ledger, run)
        line = ended(run) if body["state"] == "ended" else cancelled(ledger, run)
    output.console.print(line)
    output.result(body)


def pause(run: RunId, folder: Dir = None, as_json: Json = False) -> None:
    """Hold a run: its jobs and stages in flight end as usual, and no other starts before `resume`.

    Workers go on with other runs. Pausing it again changes nothing.
    """
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder), stopped=True) as (ledger, _):
        body = control.pause(ledger, run)
        match body["state"]:
            case "ended":
                line = ended(run)
            case "cancelled":
                line = cancelled(ledger, run)
            case _:
                line = f"run {run} is paused: {in_flight(ledger, run)}; `applejack resume {run}` lets it go on"
    output.console.print(line)
    output.result(body)


def resume(
    run: RunId,
    without_cancelled: Annotated[
        bool,
        typer.Option(
            "--without-cancelled",
            help="Leave the cancelled jobs out: curate what is finished. They can be resumed after the run has ended.",
        ),
    ] = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Let a paused or cancelled run go on; the jobs that `cancel` stopped are queued again.

    A stage that was stopped starts again; a training continues from its last checkpoint on the same machine. Of a run
    that has ended without its cancelled jobs, these are queued, and it is curated anew. Example:
    applejack resume night-1 --without-cancelled
    """
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder), stopped=True) as (ledger, _):
        before = ledger.run(run).control
        body = control.resume(ledger, run, without_cancelled=without_cancelled)
    output.console.print(resumed(run, before, body))
    output.result(body)


def ended(run: str) -> str:
    """The sentence for a run of which nothing runs any more."""
    return f"run {run} has ended; nothing was changed"


def cancelled(ledger: Ledger, run: str) -> str:
    """The sentence for a cancelled run: what is left of it, and what can follow."""
    counts = ledger.jobs.counts(run)
    stopped, finished = counts[JobState.CANCELLED], counts[JobState.GENERATED] + counts[JobState.FAILED]
    kept = f"{pluralise(finished, 'finished job')} {'is' if finished == 1 else 'are'} kept"
    again = f"`applejack resume {run}` {'queues them again' if stopped else 'lets it go on'}"
    as_it_is = ", with --without-cancelled it curates what is finished" if stopped and finished else ""
    archive = f"`applejack archive {run}` moves it out of Redis"
    return f"run {run} is cancelled: {pluralise(stopped, 'job')} will not run, {kept}; {again}{as_it_is}; {archive}"


def in_flight(ledger: Ledger, run: str) -> str:
    """What a pause does to the jobs that run now."""
    running = ledger.jobs.counts(run)[JobState.RUNNING]
    return f"{pluralise(running, 'job')} in flight will end, no other starts" if running else "no job starts"


def resumed(run: str, before: RunControl, body: JsonObject) -> str:
    """The sentence for a run that goes on, or for one that needed no command."""
    left_out = pluralise(int(str(body["cancelled"])), "cancelled job") if body["cancelled"] else ""
    if body["state"] == "ended":
        left = f"; `applejack resume {run}` queues its {left_out}" if left_out else ""
        return f"{ended(run)}{left}"
    follow = f"follow it with `applejack status {run} --watch`"
    if body["queued"]:
        return f"run {run} goes on: {pluralise(int(str(body['queued'])), 'cancelled job')} queued again; {follow}"
    if left_out and before is RunControl.CANCELLED:
        return f"run {run} goes on without its {left_out}: it is curated as it is; {follow}"
    if before is RunControl.GO:
        return f"run {run} was neither paused nor cancelled; nothing was changed"
    return f"run {run} goes on; {follow}"
