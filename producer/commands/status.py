"""`applejack status` and `applejack why`: state of a run and of one job, read from the ledger."""

import json
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from config.errors import UsageError
from config.exit_codes import EXIT_INTERRUPTED, fail
from config.ledger import Ledger
from config.records import JsonObject, Trajectory
from producer.commands.options import Dir, Json, Notify, RunId, settings_with_dir
from producer.connect import open_ledger
from producer.follow import follow
from producer.job_story import origin, reasons, row_ranges, split_file
from producer.notify.notifying import notifying, watch_targets
from producer.output import Output, partial_failure
from producer.overview import load_overview
from producer.resubmit import job_named
from producer.run_status import device_rows, worker_rows
from producer.run_status import status as status_of
from producer.screen import Screen, other_runs
from producer.screen.lines import Line
from producer.wrapping import wrap

OTHERS = 10  # runs beside the newest
SHOWN = 400  # characters of one message in `why`; --json does not shorten messages


def status(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a run; the newest run by default.")] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Follow the run until it ends or is cancelled; a paused run is waited for. Ctrl-C ends the view, not "
            "the run. Where stdout is not a terminal, it prints a line per change.",
        ),
    ] = False,
    notify: Notify = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Show the state of a run: jobs per state, failures by kind, stages, workers, rate and time left.

    What is wrong is listed once for all workers that share the cause, each cause of failed or rejected jobs with the
    command that runs them again, and what to do next comes last. Of a running training: iteration, loss, tokens/s,
    memory and time left. With --watch the exit code is 1 if a stage failed or the run was cancelled.
    """
    output = Output(as_json)
    targets = watch_targets(notify, settings_with_dir(folder), "--watch", watching=watch)
    with open_ledger(settings_with_dir(folder), stopped=not watch) as (ledger, settings):
        runs = ledger.run_ids()
        if not runs:
            raise UsageError("there are no runs yet; create one with `applejack submit`")
        name = run or runs[0]
        if watch:
            with notifying(ledger, settings, targets, run_id=name):
                watch_run(ledger, name, output)
        view = load_overview(ledger, name)
        others = [other for other in runs if other != name] if run is None else []
        shown = [status_of(ledger, other, workers=()) for other in others[:OTHERS]]
        fleet = ledger.fleet.workers()
    output.console.print(Screen(view))
    for line in [Line(""), *other_runs(shown, len(others) - len(shown), output.console.width)] if shown else []:
        output.console.print(line.text, style=line.style, markup=False)
    seen = view.status
    body: JsonObject = {**seen.as_json(), "by_worker": seen.by_worker_json(), "workers": list(worker_rows(fleet))}
    body |= {"devices": list(device_rows(fleet)), **view.as_json()}
    if others:
        body |= {"runs": list(runs), "others": [{"run_id": other.run_id, "state": other.state} for other in shown]}
    output.result(body)
    if watch and seen.state in {"failed", "cancelled"}:
        raise partial_failure()


def watch_run(ledger: Ledger, run_id: str, output: Output) -> None:
    """Follow a run until it ends. Ctrl-C leaves the last view and the command to go on with."""
    try:
        follow(ledger, run_id, output, whole=True)
    except KeyboardInterrupt:
        view = load_overview(ledger, run_id)
        if output.console.is_interactive:
            output.console.print(Screen(view))
        again = f"the run goes on; `applejack status {run_id} --watch` follows it again"
        width = output.console.width if output.console.is_interactive else len(again)
        fail("\n".join(wrap(again, width)), EXIT_INTERRUPTED, prefix="")


def why(
    run: RunId,
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id or number of a job.")],
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Show the history of one job: attempts, workers, messages, checks, provenance."""
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder), stopped=True) as (ledger, _):
        ledger.run(run)
        job_id = job_named(ledger, run, job)
        view = ledger.jobs.view(run, job_id)
        attempts = [ledger.jobs.trajectory(run, job_id, attempt) for attempt in range(1, view.attempt + 1)]
        verdict = ledger.verdict(run, job_id)
        prompt = ledger.jobs.prompt(run, job_id)
    latest = attempts[-1]
    console = output.console
    console.print(Text.assemble((job_id, "bold"), f"  {view.state.value}, attempt {view.attempt}"))
    console.print(f"prompt: {prompt.prompt}")
    for event in view.history:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
        console.print(f"  {at}  attempt {event.attempt}  {event.event:<12} {event.worker}  {event.detail}")
    if latest:
        print_trajectory(console, latest)
    if latest and latest.truncated and not verdict:
        console.print(
            Text.assemble(("truncated", "red"), f": max_tokens ended model turn {len(latest.finish_reasons)}")
        )
    for finding in verdict.findings if verdict else ():
        console.print(Text.assemble(("rejected", "red"), f" {finding.reason.value}: {finding.detail}"))
    if verdict and verdict.kept:
        console.print(Text.assemble(("kept", "green"), row_ranges(verdict)))
    output.result(
        {
            "job_id": job_id,
            "state": view.state.value,
            "attempts": [
                {
                    "attempt": number,
                    "outcome": trajectory.outcome if trajectory else None,
                    "failure": trajectory.failure.model_dump(mode="json")
                    if trajectory and trajectory.failure
                    else None,
                    "worker": trajectory.provenance.worker if trajectory and trajectory.provenance else None,
                    "finish_reasons": list(trajectory.finish_reasons) if trajectory else [],
                    "messages": [m.model_dump(mode="json") for m in trajectory.messages] if trajectory else [],
                }
                for number, trajectory in enumerate(attempts, start=1)
            ],
            "history": [
                {"at": event.at, "event": event.event, "worker": event.worker, "detail": event.detail}
                for event in view.history
            ],
            "outcome": latest.outcome if latest else None,
            "failure": latest.failure.model_dump(mode="json") if latest and latest.failure else None,
            "reasons": reasons(latest, verdict),
            "rows": [{"split": verdict.split, "file": split_file(verdict), "row": row} for row in verdict.rows]
            if verdict
            else [],
            "findings": [finding.model_dump(mode="json") for finding in verdict.findings] if verdict else [],
            "provenance": latest.provenance.model_dump(mode="json") if latest and latest.provenance else None,
            "prompt": prompt.model_dump(mode="json"),
        }
    )


def print_trajectory(console: Console, trajectory: Trajectory) -> None:
    """Print the messages of a trajectory, each shortened to SHOWN characters."""
    for message in trajectory.messages:
        author = f"{message.role} {message.name or ''}{' (error)' if message.is_error else ''}".rstrip()
        text = message.content if message.content is not None else "(null)"
        shortened = text if len(text) <= SHOWN else f"{text[:SHOWN]} [{len(text) - SHOWN} more characters]"
        if message.content or not message.tool_calls:  # a message with calls only is printed as its calls
            console.print(Text.assemble("  ", (author, "cyan"), f": {shortened}"))
        for call in message.tool_calls:
            arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
            console.print(Text.assemble("  ", ("call", "cyan"), f" {call.id}: {call.name}({arguments})"))
    if trajectory.failure:
        failure = trajectory.failure
        console.print(Text.assemble(("failed", "red"), f" {failure.kind.value}: {failure.message}"))
    if trajectory.provenance:
        console.print(f"  {origin(trajectory.provenance)}", style="dim")
