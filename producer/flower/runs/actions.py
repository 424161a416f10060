"""What the buttons of the run pages do."""

from config.errors import UsageError
from config.ledger import Ledger
from config.settings import Settings
from config.topology import Stage
from producer import control, enqueue
from producer.flower.handlers import Action
from producer.flower.runs import words
from producer.flower.runs.preview import wanted
from producer.output import pluralise
from producer.resubmit import plan, require_not_cancelled, resubmit


class ControlRun(Action):
    """POST /runs/RUN_ID/control with do=pause, resume, curate, cancel, or stage=NAME for a failed stage."""

    def act(self, *ids: str) -> str:
        """Change the run."""
        if stage := self.get_body_argument("stage", ""):
            return run_stage_again(self.ledger, self.settings_, ids[0], stage)
        return control_run(self.ledger, ids[0], self.get_body_argument("do", ""))


class ResubmitJobs(Action):
    """POST /runs/RUN_ID/resubmitted with kind, reason and job (each repeatable), and train=1."""

    def act(self, *ids: str) -> str:
        """Queue the selected jobs again. UsageError without any selection: this is not the button for all jobs."""
        kinds, reasons, jobs = (self.get_body_arguments(name) for name in ("kind", "reason", "job"))
        if not (kinds or reasons or jobs):
            raise UsageError("no cause and no job is selected; choose one on the run's page")
        planned = plan(self.ledger, ids[0], wanted(kinds, reasons, jobs))
        if not planned.jobs:
            raise UsageError(f"no job of run {ids[0]!r} has this cause any more; look at its page again")
        resubmit(self.ledger, self.settings_, planned, train=self.get_body_argument("train", "") == "1")
        queued = f"{words.counted(len(planned.jobs), 'job')} of {ids[0]} queued again"
        return f"{queued}; version {planned.run.version + 1} of the dataset follows."


def control_run(ledger: Ledger, run_id: str, do: str) -> str:
    """Pause, resume, curate or cancel a run, and say what came of it. UsageError for another word."""
    match do:
        case "pause":
            return PAUSED[str(control.pause(ledger, run_id)["state"])].format(run_id)
        case "resume" | "curate":
            done = control.resume(ledger, run_id, without_cancelled=do == "curate")
            queued = done["queued"]
            more = f", {words.counted(queued, 'job')} queued again" if isinstance(queued, int) and queued else ""
            if done["state"] == "ended":
                return f"{run_id} has ended; nothing was changed."
            return f"{run_id} goes on{more}." if do == "resume" else f"{run_id} will be curated as it is."
        case "cancel":
            done = control.cancel(ledger, run_id)
            if done["state"] == "ended":
                return f"{run_id} has ended; nothing was changed."
            return f"{run_id} is cancelled; {pluralise(int(str(done['cancelled'])), 'job')} will not run."
    raise UsageError(f"{do!r} is not an action; choose pause, resume, curate or cancel")


PAUSED = {
    "paused": "{} is paused; jobs in flight finish.",
    "cancelled": "{} is cancelled already; resume it first.",
    "ended": "{} has ended; nothing was changed.",
}


def run_stage_again(ledger: Ledger, settings: Settings, run_id: str, stage: str) -> str:
    """Run an ended stage and the later ones again. UsageError if it has not ended, or the run is cancelled."""
    if stage not in set(Stage):
        raise UsageError(f"{stage!r} is not a stage; choose one of {', '.join(Stage)}")
    require_not_cancelled(ledger.run(run_id))
    state = ledger.stages.reopen(run_id, Stage(stage))
    if state != "ready":
        raise UsageError(f"the stage {stage!r} of run {run_id!r} is {state}; only an ended stage can run again")
    enqueue.enqueue_stage(settings, run_id, Stage(stage))
    return f"The {stage} stage of {run_id} runs again."
