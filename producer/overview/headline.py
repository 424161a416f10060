"""A run in one sentence: whether it goes on, how far it is, how long it takes."""

from config.records import RunControl, StageState
from config.topology import QUEUE_GENERATE
from config.training_progress import duration
from producer.overview.words import about, counted, number, pace, percent
from producer.run_status import RATE_SECONDS, RunStatus
from producer.stage_results import skip_reason


def headline(status: RunStatus, still: str) -> str:
    """The run in a sentence or two. `still`: why no live generate worker takes jobs, "" if one does."""
    if status.stage == "cancelled":
        return f"{status.run_id} is cancelled: {_finished(status)}, {number(status.cancelled)} cancelled."
    if status.stage == "failed":
        return f"{status.run_id} has failed in the stage {status.error.partition(':')[0]}."
    if status.stage == "done":
        return _ended(status)
    if status.control is RunControl.PAUSED:
        return f"{status.run_id} is paused by a person: {_so_far(status)}. {_in_flight(status)}"
    if status.missing_role:
        return f"{status.run_id} waits: no {status.missing_role} worker is alive. {_so_far(status).capitalize()}."
    if status.stage == "generate":
        return _generating(status, still)
    return _in_stage(status)


def _generating(status: RunStatus, still: str) -> str:
    jobs = _so_far(status)
    if still:
        return f"{status.run_id} stands still: {still}. {jobs}."
    if status.rate:
        left = f", {about(status.eta_seconds)} left" if status.eta_seconds else ""
        return f"{status.run_id} is generating: {jobs}, {pace(status.rate)}{left}."
    if status.generated + status.failed:
        return f"{status.run_id} is generating: {jobs}, none of them in the last {RATE_SECONDS // 60} minutes."
    started = f"{counted(status.running, 'job')} started" if status.running else "no worker has started a job"
    return f"{status.run_id} is generating: {jobs}; {started}."


def _so_far(status: RunStatus) -> str:
    if status.stage == "generate":
        return f"{number(status.generated + status.failed)} of {counted(status.total, 'job')} done"
    if status.stage == "curate":
        return f"{counted(status.generated, 'conversation')} to check"
    if status.stage == "train" and status.training:
        training = status.training
        return f"iteration {number(training.iteration)} of {number(training.iterations)}"
    if status.stage == "evaluate" and status.evaluation:
        evaluation = status.evaluation
        return f"{number(evaluation.done)} of {counted(evaluation.total, 'prompt')}, phase {evaluation.phase}"
    return f"{number(status.kept or 0)} conversations kept"


def _in_stage(status: RunStatus) -> str:
    view = next(view for view in status.stages if view.stage == status.stage)
    if view.state is not StageState.RUNNING:
        return f"{status.run_id} waits for a worker to start {status.stage}: {_so_far(status)}."
    if status.training and status.training.seconds_left is not None:
        return f"{status.run_id} is training: {_so_far(status)}, {about(status.training.seconds_left)} left."
    since = f", for {duration(max(0.0, status.now - view.started))} so far" if view.started else ""
    return f"{status.run_id} is {status.state}: {_so_far(status)}{since}."


def _in_flight(status: RunStatus) -> str:
    """What still runs in a paused run."""
    if status.running:
        verb = "ends" if status.running == 1 else "end"
        return f"{counted(status.running, 'job')} in flight {verb} first; no other starts."
    running = [view.stage.value for view in status.stages if view.state is StageState.RUNNING]
    return f"{running[0]} ends first; nothing else starts." if running else "Nothing starts until it is resumed."


def _ended(status: RunStatus) -> str:
    jobs = counted(status.total, "job")
    kept = f"{number(status.kept)} of {jobs} kept" if status.kept is not None else jobs
    return f"{status.run_id} has ended: {kept}{_took(status)}."


def _took(status: RunStatus) -> str:
    """How long the run took; "" if a part of it was repeated later."""
    finished = [view.finished for view in status.stages if view.finished]
    return f", in {duration(max(finished) - status.created)}" if finished and status.version == 1 else ""


def _finished(status: RunStatus) -> str:
    failed = f", {number(status.failed)} failed" if status.failed else ""
    return f"{number(status.generated)} of {counted(status.total, 'job')} generated{failed}"


def stages_items(status: RunStatus) -> tuple[str, ...]:
    """The stages: "generate 41%, then curate", or "generate done (34 a minute on average), curate done (2 min)"."""
    shown, later = [_generation(status)], []
    for view in status.stages:
        if view.state is StageState.WAITING:
            later.append(view.stage.value)
        elif view.state is not StageState.SKIPPED:
            state = "skipped" if skip_reason(view.result) else view.state.value
            over = view.state in {StageState.DONE, StageState.FAILED}  # one that runs again has the end of before
            seconds = f" ({duration(view.seconds)})" if over and view.seconds is not None else ""
            shown.append(f"{view.stage.value} {state}{seconds}")
    return (*shown, *([f"then {later[0]}", *later[1:]] if later else []))


def _generation(status: RunStatus) -> str:
    """How far generation is; once it has ended, its mean rate."""
    share = percent(status.generated + status.failed, status.total)
    if status.stage == "cancelled" and status.cancelled:
        return f"generate cancelled at {share}"
    if status.queued + status.running:
        return f"generate {share}"
    return f"generate done ({pace(status.rate)} on average)" if status.rate else "generate done"


def counts_items(status: RunStatus) -> tuple[str, ...]:
    """The jobs by state, without zeros."""
    cut = f" ({number(status.truncated)} truncated)" if status.truncated else ""
    counts = (
        (status.queued, "queued"), (status.running, "running"), (status.generated, f"generated{cut}"),
        (status.failed, "failed"), (status.cancelled, "cancelled"),
    )  # fmt: skip
    return tuple(f"{number(count)} {word}" for count, word in counts if count)


def curated_items(status: RunStatus) -> tuple[str, ...]:
    """Result of curation: "53 kept", "114 rejected", "correct: 66 of 167"; empty before it."""
    if status.kept is None:
        return ()
    failed = f" ({number(status.failed)} of them failed jobs)" if status.failed else ""  # curation rejects them too
    rejected = f"{number(status.rejected or 0)} rejected{failed}"
    graded = status.correct if status.correct and status.correct.get("of") else None
    correct = f"correct: {number(graded['count'])} of {number(graded['of'])}" if graded else ""
    return tuple(filter(None, (f"{number(status.kept)} kept", rejected, correct)))


def missing_worker(status: RunStatus) -> str:
    """What waits for a worker of the missing role."""
    what = "jobs" if status.missing_role == QUEUE_GENERATE else f"the stage {status.stage}"
    return f"no {status.missing_role} worker is alive, and {what} {'wait' if what == 'jobs' else 'waits'} for one"
