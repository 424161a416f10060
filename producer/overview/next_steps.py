"""What a person can do about a run now."""

from collections.abc import Iterator
from dataclasses import dataclass

from config.records import RunControl, StageState
from config.topology import Stage
from producer.overview.words import about, counted
from producer.overview.workers import DOCTOR
from producer.run_status import RunStatus
from producer.stage_results import skip_reason


@dataclass(frozen=True)
class Step:
    """Something to do: why, and the command; "" if there is nothing to do."""

    text: str
    command: str = ""


def next_steps(status: RunStatus, still: str, *, troubled: bool) -> tuple[Step, ...]:
    """What to do now, most useful first. `still`: why no worker takes jobs. `troubled`: something is wrong."""
    return tuple(_steps(status, still, troubled))


def _steps(status: RunStatus, still: str, troubled: bool) -> Iterator[Step]:
    run = status.run_id
    if status.stage == "cancelled":
        jobs = f"run its {counted(status.cancelled, 'cancelled job')} and go on" if status.cancelled else "go on"
        yield Step(jobs, f"applejack resume {run}")
        yield Step("move it out of the ledger", f"applejack archive {run}")
    elif status.stage == "failed":
        stage = status.error.partition(":")[0]
        yield Step("when the cause is removed, repeat the stage", f"applejack resubmit {run} --stage {stage}")
    elif status.stage == "done":
        yield from _after(status)
    elif status.control is RunControl.PAUSED:
        yield Step("let it go on", f"applejack resume {run}")
    elif status.missing_role:
        yield Step("start a worker on this machine", f"applejack worker {status.missing_role}")
        yield Step("or the whole stack", "applejack up")
    elif status.stage == "generate" and still:
        yield Step("find the cause and its remedy", DOCTOR)
    else:
        left = f", in {about(status.seconds_left)}" if status.seconds_left is not None else ""
        nothing = "" if troubled else "nothing to do: "
        yield Step(f"{nothing}{status.stage} ends by itself{left}")
        yield Step("follow it", f"applejack status {run} --watch")


def _after(status: RunStatus) -> Iterator[Step]:
    """What to do with a run that is done."""
    run = status.run_id
    evaluated = next(view for view in status.stages if view.stage is Stage.EVALUATE)
    if evaluated.state is StageState.DONE and not skip_reason(evaluated.result):
        yield Step("see its scores", f"applejack report {run}")
    yield Step("read what was kept and rejected", f"applejack review {run}")
    if status.kinds or status.reasons:
        yield Step("preview running failed and rejected jobs again", f"applejack resubmit {run} --dry-run")
    yield Step("copy its files to this machine", f"applejack fetch {run}")
