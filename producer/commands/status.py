"""`applejack status` and `applejack why`: state of a run and of one job, read from the ledger."""

import json
import time
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from config.errors import RejectionReason, UsageError
from config.ledger import Ledger
from config.model_names import download_text
from config.records import JsonObject, Provenance, Trajectory, Verdict
from producer.commands.options import Dir, Json, RunId, settings_with_dir
from producer.connect import open_ledger
from producer.follow import adapter_lines, follow, lost_calls, render_line, render_panel
from producer.output import Output, partial_failure, pluralise
from producer.resubmit import job_named
from producer.run_status import SILENT_SECONDS, RunStatus, device_rows, worker_rows
from producer.run_status import status as status_of

SHOWN = 400  # characters of one message in `why`; --json does not shorten messages


def status(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a run; the newest run by default.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run until it ends.")] = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Show the state of a run: jobs per state, failures by kind, stages, workers, rate and time left.

    Of a running training: iteration, loss, tokens/s, memory and time left.
    """
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder), stopped=not watch) as (ledger, _):
        runs = ledger.run_ids()
        if not runs:
            raise UsageError("there are no runs yet; create one with `applejack submit`")
        seen = follow(ledger, run or runs[0], output) if watch else status_of(ledger, run or runs[0])
        fleet = ledger.fleet.workers()
        workers, devices = worker_rows(fleet), device_rows(fleet)
        body: JsonObject = {**seen.as_json(), "by_worker": seen.by_worker_json(), "workers": list(workers)}
        body["devices"] = list(devices)
        print_status(output.console, seen, ledger, workers)
        for device in devices:
            output.console.print(device_line(device), soft_wrap=True)
        others = [name for name in runs if name != seen.run_id]
        if run is None and others:
            output.console.print(
                f"{pluralise(len(others), 'older run')}: {', '.join(others[:10])}{' ...' if others[10:] else ''}"
            )
            body["runs"] = list(runs)
    output.result(body)
    if watch and seen.stage == "cancelled":
        raise partial_failure()


def print_status(console: Console, seen: RunStatus, ledger: Ledger, workers: list[JsonObject]) -> None:
    """Print the status for people."""
    console.print(render_panel(seen, ledger))
    console.print(render_line(seen, ledger))
    for line in adapter_lines(seen):
        console.print(line, soft_wrap=True, markup=False)
    if seen.kinds:
        console.print("failures: " + ", ".join(f"{kind} {count}" for kind, count in seen.kinds.items()))
    if lost := lost_calls(seen.lost_calls):
        console.print(lost)
    names = Column("worker", overflow="fold")  # wrapped, not cut, at 80 columns
    table = Table(names, "queues", "holds", "generated", "failed", "first token", "seen", "state", box=None)
    for worker in workers:
        done = seen.by_worker.get(str(worker["name"]), {})
        table.add_row(
            str(worker["name"]),
            ", ".join(str(queue) for queue in queues) if isinstance(queues := worker.get("queues"), list) else "",
            str(worker.get("holds", "")),
            str(done.get("generated", 0)),
            str(done.get("failed", 0)),
            f"{first:.1f} s" if isinstance(first := worker.get("first_token_seconds"), float) else "",
            f"{worker['silent_seconds']} s",
            state(worker)[0],
        )
    for name in sorted(set(seen.by_worker) - {str(worker["name"]) for worker in workers}):
        done = seen.by_worker[name]
        table.add_row(name, "", "", str(done.get("generated", 0)), str(done.get("failed", 0)), "", "", "gone")
    if workers or seen.by_worker:
        console.print(table)
        for worker in workers:
            if reason := state(worker)[1]:
                console.print(f"{worker['name']}: {reason}", soft_wrap=True)
    else:
        console.print("no worker sent a heartbeat in the last day")


def device_line(device: JsonObject) -> str:
    """Who uses a host's device, and who waits for it."""
    waiting = device["waiting"]
    queue = f"; waiting: {', '.join(map(str, waiting))}" if isinstance(waiting, list) and waiting else ""
    return f"device {device['device']} of {device['host']}: {device['holder']}{queue}"


def state(worker: JsonObject) -> tuple[str, str]:
    """State of a worker in one word, and what else is known: why it is paused, what it downloads or does not serve."""
    silent = worker["silent_seconds"]
    if isinstance(silent, float) and silent > SILENT_SECONDS:
        return "silent", ""
    paused, download, refused = worker.get("paused"), downloading(worker), worker.get("refuses")
    known = [
        str(paused or download),
        f"does not serve {', '.join(refused)}" if isinstance(refused, dict) and refused else "",
        "keeps its Mac awake" if worker.get("awake") else "",
    ]
    return "paused" if paused else "downloading" if download else "consuming", "; ".join(filter(None, known))


def downloading(worker: JsonObject) -> str:
    """What a worker downloads for a stage; "" if nothing."""
    match worker.get("downloading"):
        case {"model": str(model), "bytes": int(done), "of": int(total)}:
            return download_text(model, done, total)
    return ""


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
    console.print(f"[bold]{job_id}[/bold]  {view.state.value}, attempt {view.attempt}")
    console.print(f"prompt: {escape(prompt.prompt)}")
    for event in view.history:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
        console.print(f"  {at}  attempt {event.attempt}  {event.event:<12} {event.worker}  {escape(event.detail)}")
    if latest:
        print_trajectory(console, latest)
    if latest and latest.truncated and not verdict:
        console.print(f"[red]truncated[/red]: max_tokens ended model turn {len(latest.finish_reasons)}")
    for finding in verdict.findings if verdict else ():
        console.print(f"[red]rejected[/red] {finding.reason.value}: {escape(finding.detail)}")
    if verdict and verdict.kept:
        console.print(f"[green]kept[/green]{row_ranges(verdict)}")
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


def reasons(latest: Trajectory | None, verdict: Verdict | None) -> list[JsonValue]:
    """Why curation rejected a job; before curation, whether it is known to be truncated."""
    if verdict:
        return [reason.value for reason in verdict.reasons]
    return [RejectionReason.TRUNCATED.value] if latest and latest.truncated else []


def split_file(verdict: Verdict) -> str:
    """The dataset file with the rows of a kept job."""
    return f"{verdict.split}.jsonl"


def row_ranges(verdict: Verdict) -> str:
    """The rows of a kept job as text, ": train.jsonl rows 3, 12-14"; "" if the verdict has no rows."""
    if not verdict.rows:
        return ""
    ranges: list[list[int]] = []
    for row in verdict.rows:
        if ranges and ranges[-1][-1] == row - 1:
            ranges[-1][1:] = [row]
        else:
            ranges.append([row])
    rows = ", ".join("-".join(map(str, ends)) for ends in ranges)
    return f": {split_file(verdict)} {'rows' if len(verdict.rows) > 1 else 'row'} {rows}"


def print_trajectory(console: Console, trajectory: Trajectory) -> None:
    """Print the messages of a trajectory, each shortened to SHOWN characters."""
    for message in trajectory.messages:
        author = f"{message.role} {message.name or ''}{' (error)' if message.is_error else ''}".rstrip()
        text = message.content if message.content is not None else "(null)"
        shortened = text if len(text) <= SHOWN else f"{text[:SHOWN]} [{len(text) - SHOWN} more characters]"
        if message.content or not message.tool_calls:  # a message with calls only is printed as its calls
            console.print(f"  [cyan]{author}[/cyan]: {escape(shortened)}")
        for call in message.tool_calls:
            arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
            console.print(f"  [cyan]call[/cyan] {escape(f'{call.id}: {call.name}({arguments})')}")
    if trajectory.failure:
        console.print(f"[red]failed[/red] {trajectory.failure.kind.value}: {escape(trajectory.failure.message)}")
    if trajectory.provenance:
        console.print(f"  {escape(origin(trajectory.provenance))}", style="dim")


def origin(provenance: Provenance) -> str:
    """Describe the origin of a trajectory in one line."""
    pin = provenance.workspace
    code = (
        f", code {pin.origin} at {pin.commit or pin.digest}{' (without its uncommitted changes)' if pin.dirty else ''}"
        if pin
        else ""
    )
    sampling = provenance.sampling
    sampled = f", temperature {sampling.temperature}, top_p {sampling.top_p}" if sampling else ""
    revision = f" (revision {provenance.revision})" if provenance.revision else ""
    return (
        f"from {provenance.teacher}{revision} at {provenance.endpoint}{sampled}{code}, "
        f"by {provenance.worker}, applejack {provenance.applejack_version}, tools {provenance.toolset_digest}"
    )
