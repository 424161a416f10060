"""The stages after generation: each takes what the ledger holds, calls its package, and stores the files it made."""

from dataclasses import asdict, dataclass
from pathlib import Path

from config import logs
from config.errors import CurationError, StoreUnavailableError, TrainingError, UsageError
from config.ledger import Ledger, RunView
from config.records import Adapter, JsonObject, Prompt, TrainProgress
from config.settings import Settings
from config.topology import Stage
from worker.fleet.leases import Lease

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

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.spec.run_id

    @property
    def student(self) -> Path:
        """The student's model directory; UsageError when the run names none."""
        if self.run.spec.student is None:
            raise UsageError("the run names no student; submit with --student MODEL")
        return Path(self.run.spec.student)

    def place(self, name: str) -> Path:
        """Where this machine keeps one version of the run's dataset, adapter or report."""
        return self.folder / f"{name}-v{self.run.version}"


def curate_run(context: StageContext) -> JsonObject:
    """Check every trajectory of the run, write the dataset; CurationError when nothing is kept."""
    from worker.curate.options import Options  # transformers takes two seconds to import: only where it is used
    from worker.curate.pipeline import curate

    spec, ledger = context.run.spec, context.ledger
    options = Options(
        format=spec.dataset_format,
        max_seq_length=spec.max_seq_length,
        valid_share=spec.valid_share,
        test_share=spec.test_share,
        seed=spec.seed,
        source_run=spec.run_id,
    )
    student = None if spec.dataset_format == "seed-text" else context.student
    curated = curate(
        lambda: ledger.jobs.trajectories(spec.run_id), out=context.place("dataset"), options=options, student=student
    )
    ledger.set_verdicts(spec.run_id, curated.verdicts())
    ledger.files.put(spec.run_id, "dataset", context.place("dataset"))
    summary = curated.summary
    if summary.kept == 0:
        reasons = ", ".join(f"{name} {count}" for name, count in summary.reasons.items())
        raise CurationError(f"none of {summary.read} trajectories was kept ({reasons}); there is nothing to train on")
    return {**asdict(summary), "dataset": str(context.place("dataset"))}


def train_run(context: StageContext) -> JsonObject:
    """Train the student on the run's dataset, each line of progress in the ledger."""
    from worker.train.trainer import train

    ledger, run_id = context.ledger, context.run_id
    dataset = context.place("dataset")
    if not dataset.is_dir():
        ledger.files.get(run_id, "dataset", dataset)
    ledger.stages.clear_progress(run_id, Stage.TRAIN)
    adapter = train(
        dataset,
        student=context.student,
        out=context.place("adapter"),
        overrides={"max_seq_length": context.run.spec.max_seq_length, **context.run.spec.lora},
        on_progress=lambda progress: report(context, progress),
        cancelled=context.lease.cancelled,
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
    from worker.generate.job import Workspaces

    ledger, run_id, spec = context.ledger, context.run_id, context.run.spec
    dataset, adapter = context.place("dataset"), context.place("adapter")
    for name, folder in (("dataset", dataset), ("adapter", adapter)):
        if not folder.is_dir():
            ledger.files.get(run_id, name, folder)
    ledger.stages.clear_progress(run_id, Stage.EVALUATE)
    made = evaluate(
        held_out(dataset)[: spec.evaluate_prompts],
        spec=spec,
        student=context.student,
        adapter=adapter,
        workspace_for=Workspaces(ledger, context.settings, spec).of,
        out=context.place("report"),
        on_progress=lambda phase, done, total: ledger.stages.report(
            run_id, Stage.EVALUATE, {"phase": phase, "done": done, "total": total}
        ),
        worker=context.worker,
    )
    trained = Adapter.model_validate(ledger.stages.view(run_id, Stage.TRAIN).result)
    made = made.with_training(trained)
    made.write(context.place("report"))
    ledger.files.put(run_id, "report", context.place("report"))
    return made.model_dump(mode="json")


def held_out(dataset: Path) -> list[Prompt]:
    """The prompts of the dataset's test split, which no training row holds."""
    with (dataset / "held_out.jsonl").open(encoding="utf-8") as lines:
        return [Prompt.model_validate_json(line) for line in lines if line.strip()]
