"""Cancel, pause and resume runs and workers: what the commands and the Runs pages share."""

from config.did_you_mean import did_you_mean
from config.errors import UsageError
from config.ledger import Ledger
from config.records import JobState, JsonObject, WorkerControl


def cancel(ledger: Ledger, run_id: str) -> JsonObject:
    """Stop a run. Returns run_id, state ("cancelled" or "ended") and the number of its cancelled jobs."""
    ledger.run(run_id)
    state = "ended" if ledger.controls.cancel(run_id).ended else "cancelled"
    return {"run_id": run_id, "state": state, "cancelled": cancelled_jobs(ledger, run_id)}


def pause(ledger: Ledger, run_id: str) -> JsonObject:
    """Hold a run. Returns the same; state is "paused", or "ended" or "cancelled" if it was that already."""
    ledger.run(run_id)
    state = ledger.controls.pause(run_id)
    return {"run_id": run_id, "state": state, "cancelled": cancelled_jobs(ledger, run_id)}


def resume(ledger: Ledger, run_id: str, *, without_cancelled: bool = False) -> JsonObject:
    """Let a run go on. Returns the same, and the number of jobs "queued" again; state is "running" or "ended".

    UsageError if, without its cancelled jobs, there is nothing to curate.
    """
    run = ledger.run(run_id)
    word, jobs = ledger.controls.resume(run.spec, without_cancelled=without_cancelled)
    if word == "empty":
        raise UsageError(f"run {run_id!r} has no finished job to curate; resume it with its jobs")
    state = "ended" if word == "ended" else "running"
    return {"run_id": run_id, "state": state, "cancelled": cancelled_jobs(ledger, run_id), "queued": jobs}


def cancelled_jobs(ledger: Ledger, run_id: str) -> int:
    """Number of the run's cancelled jobs."""
    return ledger.jobs.counts(run_id)[JobState.CANCELLED]


def control_worker(ledger: Ledger, name: str, control: WorkerControl) -> JsonObject:
    """Pause, resume or drain a worker. Returns worker and state: paused, draining or consuming.

    `name` may lack its @HOST if it is unique. UsageError if no worker of this name sent a heartbeat in the last day and
    nothing was asked of one before.
    """
    known = tuple(sorted({view.name for view in ledger.fleet.workers()} | set(ledger.fleet.controls())))
    found = [name] if name in known else [full for full in known if full.partition("@")[0] == name]
    if len(found) > 1:
        raise UsageError(f"{len(found)} workers are named {name!r}: {', '.join(found)}; give the name with its host")
    if not found:
        names = known if "@" in name else tuple(sorted({full.partition("@")[0] for full in known}))
        raise UsageError(f"no worker {name!r} in the fleet{did_you_mean(name, names) if names else ''}; start it first")
    ledger.fleet.set_control(found[0], control)
    return {"worker": found[0], "state": control.value or "consuming"}
