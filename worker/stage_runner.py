"""Runs one stage after generation: claim it in the ledger, do its work, then finish or release it."""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from config import logs
from config.errors import (
    ApplejackError,
    CurationError,
    DownloadError,
    StoreUnavailableError,
    StudentError,
    TrainingError,
    UsageError,
)
from config.fetched import has_files
from config.ledger import Ledger, RunView
from config.ledger.fleet import LeaseRef
from config.ledger.stages import StageClaim, stage_member
from config.records import Adapter, JsonObject, Prompt, TrainProgress
from config.report.metrics import Fraction
from config.settings import Settings
from config.topology import UNSEEN, Stage
from worker.fleet.leases import Lease, Leases
from worker.fleet.redis_outage import retry_while_unavailable
from worker.models.pinned import pinned_model
from worker.models.progress import Downloads

log = logs.get(__name__)


@dataclass(frozen=True)
class StageContext:
    """One stage of one run, claimed."""

    ledger: Ledger
    settings: Settings
    worker: str
    run: RunView
    folder: Path
    """this machine's folder for the run"""
    lease: Lease
    downloads: Downloads = field(default_factory=Downloads)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.spec.run_id

    def student(self, stage: Stage) -> Path:
        """The directory of the stage's student, downloaded if needed. StudentError names this machine and the repair.

        Curation needs the tokenizer, not the weights.
        """
        spec = self.run.spec
        named = spec.student if stage is Stage.CURATE else spec.trained_student
        if named is None:
            raise UsageError("the run names no student; submit with --student MODEL")
        try:
            with self.downloads.shown() as on_progress:
                return pinned_model(
                    self.ledger,
                    self.run_id,
                    named,
                    weights=stage is not Stage.CURATE,
                    on_progress=on_progress,
                    cancelled=self.lease.cancelled,
                ).path
        except (UsageError, DownloadError) as error:
            raise StudentError(
                f"{platform.node()}: {error}; then `applejack resubmit {self.run_id} --stage {stage.value}`, or take "
                f"another student: `applejack resubmit {self.run_id} --stage curate --student MODEL`"
            ) from error

    def place(self, name: str) -> Path:
        """Where this machine keeps one version of the run's dataset, adapter or report."""
        return self.folder / f"{name}-v{self.run.version}"

    def copy(self, name: str) -> Path:
        """This machine's dataset or adapter of the run, fetched unless it has the ledger's files already."""
        folder, stored = self.place(name), self.ledger.files.hashes(self.run_id, name)
        if not folder.is_dir() or not has_files(folder, stored):  # a failed training leaves its log
            self.ledger.files.get(self.run_id, name, folder)
        return folder


def curate_run(context: StageContext) -> JsonObject:
    """Check every trajectory of the run, write the dataset; CurationError when nothing is kept."""
    from worker.curate.evaluation import Evaluation
    from worker.curate.options import Options  # transformers takes two seconds to import: only where it is used
    from worker.curate.pipeline import curate
    from worker.curate.replay import Replay

    spec, ledger = context.run.spec, context.ledger
    options = Options(
        format=spec.dataset_format,
        max_seq_length=spec.max_seq_length,
        valid_share=spec.valid_share,
        test_share=spec.test_share,
        seed=spec.seed,
        keep_wrong=spec.keep_wrong,
        source_run=spec.run_id,
    )
    student = None if spec.dataset_format == "seed-text" else context.student(Stage.CURATE)
    curated = curate(
        lambda: ledger.jobs.trajectories(spec.run_id),
        out=context.place("dataset"),
        options=options,
        student=student,
        replay=Replay(context.settings.cache),
        evaluation=Evaluation(spec, submitted_unseen(context)),
    )
    ledger.set_verdicts(spec.run_id, curated.verdicts())
    ledger.files.put(spec.run_id, "dataset", context.place("dataset"))
    summary = curated.summary
    if summary.kept == 0:
        reasons = ", ".join(f"{name} {count}" for name, count in summary.reasons.items())
        raise CurationError(f"none of {summary.read} trajectories was kept ({reasons}); there is nothing to train on")
    return {**asdict(summary), "dataset": str(context.place("dataset"))}


def submitted_unseen(context: StageContext) -> list[Prompt]:
    """The questions about unseen code that the producer stored with the run; none if it stored none."""
    from worker.evaluate.held_out import read_prompts

    ledger, run_id, folder = context.ledger, context.run_id, context.folder / UNSEEN
    if not ledger.files.has(run_id, UNSEEN):
        return []
    ledger.files.get(run_id, UNSEEN, folder)
    return read_prompts(folder, name=f"{UNSEEN}.jsonl")


def train_run(context: StageContext) -> JsonObject:
    """Train the student on the run's dataset, each line of progress in the ledger."""
    from worker.train.trainer import train

    ledger, run_id = context.ledger, context.run_id
    dataset = context.copy("dataset")
    ledger.stages.clear_progress(run_id, Stage.TRAIN)
    adapter = train(
        dataset,
        student=context.student(Stage.TRAIN),
        out=context.place("adapter"),
        overrides={"max_seq_length": context.run.spec.max_seq_length, **context.run.spec.lora},
        on_progress=lambda progress: report(context, progress),
        cancelled=context.lease.cancelled,
        run_id=run_id,
    )
    if context.lease.cancelled():
        raise TrainingError("this worker shuts down, or another has taken the training over")
    ledger.files.put(run_id, "adapter", context.place("adapter"))
    return adapter.model_dump(mode="json")


def report(context: StageContext, progress: TrainProgress) -> None:
    """One line of training progress into the ledger; an outage loses the line, not the training."""
    try:
        context.ledger.stages.report(context.run_id, Stage.TRAIN, progress)
    except StoreUnavailableError as error:
        log.warning("progress.lost", run_id=context.run_id, iteration=progress.iteration, error=str(error))


def evaluate_run(context: StageContext) -> JsonObject:
    """Ask base and adapter the held-out prompts and write the Report."""
    from worker.evaluate.evaluator import evaluate
    from worker.evaluate.held_out import read_prompts, select
    from worker.evaluate.training_set import check_against_training
    from worker.evaluate.unseen import unseen_questions
    from worker.generate.job import Workspaces

    ledger, run_id, spec = context.ledger, context.run_id, context.run.spec
    dataset, adapter = context.copy("dataset"), context.copy("adapter")
    ledger.stages.clear_progress(run_id, Stage.EVALUATE)
    workspace_for = Workspaces(ledger, context.settings, spec).of
    unseen = unseen_questions(dataset, workspace_for)
    if unseen.problem:
        log.warning("unseen.skipped", run_id=run_id, workspace=unseen.workspace, reason=unseen.problem)
    prompts, student = select(read_prompts(dataset), spec.evaluate_prompts), context.student(Stage.EVALUATE)
    asked = [*prompts, *unseen.prompts]
    notes = check_against_training(asked, spec, dataset=dataset, student=student, adapter=adapter)
    made = evaluate(
        prompts,
        unseen=unseen.prompts,
        spec=spec,
        student=student,
        adapter=adapter,
        workspace_for=workspace_for,
        out=context.place("report"),
        on_progress=lambda phase, done, total: ledger.stages.report(
            run_id, Stage.EVALUATE, {"phase": phase, "done": done, "total": total}
        ),
        worker=context.worker,
        cancelled=context.lease.cancelled,
    )
    trained = Adapter.model_validate(ledger.stages.view(run_id, Stage.TRAIN).result)
    made = unseen.noted(made.with_training(trained, correct=curated_correct(ledger, run_id)))
    made = made.model_copy(update={"notes": notes})
    made.write(context.place("report"))
    ledger.files.put(run_id, "report", context.place("report"))
    return made.model_dump(mode="json")


def curated_correct(ledger: Ledger, run_id: str) -> Fraction | None:
    """The teacher's right answers, of those with an expected answer; None if curation graded none."""
    counts = ledger.stages.view(run_id, Stage.CURATE).result.get("correct")
    return Fraction.model_validate(counts) if isinstance(counts, dict) and counts.get("of") else None


@dataclass
class StageRunner:
    """Runs the stages that Celery delivers to this worker."""

    ledger: Ledger
    leases: Leases
    settings: Settings
    worker: str
    downloads: Downloads = field(default_factory=Downloads)
    """what this worker downloads, for its status"""

    def run(self, run_id: str, stage: Stage) -> str:
        """Run one stage, unless it is not ready or leased by another worker; returns the run's id in every case."""
        claim = retry_while_unavailable(
            lambda: self.ledger.stages.begin(run_id, stage, worker=self.worker, lease_seconds=self.leases.lease_seconds)
        )
        if isinstance(claim, str):
            log.info("stage.dropped", run_id=run_id, stage=stage.value, because=claim)
            return run_id

        def release(why: str) -> bool:
            return self.ledger.stages.release(claim, why=why)

        with self.leases.hold(LeaseRef(run_id, stage_member(stage), claim.token), release) as lease:
            result, error = retry_while_unavailable(lambda: self._attempt(claim, lease))
            lease.closing.set()
            if error and lease.ending.is_set():
                retry_while_unavailable(lambda: release("its worker shuts down"))
                return run_id
            ended = retry_while_unavailable(lambda: self.ledger.stages.finish(claim, result=result, error=error))
        log.info("stage.finished", run_id=run_id, stage=stage.value, error=error or None, ended=ended)
        return run_id

    def _attempt(self, claim: StageClaim, lease: Lease) -> tuple[JsonObject, str]:
        if claim.exhausted:
            return {}, "its workers died on it again and again; see their logs, then resubmit"
        log.info("stage.started", run_id=claim.run_id, stage=claim.stage.value)
        try:
            run = self.ledger.run(claim.run_id)  # read anew: the dataset's version changes with each resubmission
            folder = (self.settings.runs / claim.run_id).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            context = StageContext(self.ledger, self.settings, self.worker, run, folder, lease, self.downloads)
            return WORK[claim.stage](context), ""
        except StoreUnavailableError:
            raise  # an outage is not the stage's fault: it is retried when the ledger is back
        except ApplejackError as error:
            return {}, " ".join(str(error).split())
        except Exception as error:  # whatever went wrong, the run must end as failed
            log.exception("stage.internal", run_id=claim.run_id, stage=claim.stage.value)
            return {}, f"internal: {type(error).__name__}: {error}"


WORK: dict[Stage, Callable[[StageContext], JsonObject]] = {
    Stage.CURATE: curate_run,
    Stage.TRAIN: train_run,
    Stage.EVALUATE: evaluate_run,
}
