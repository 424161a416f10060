"""The work of each stage of a claimed run: from the ledger's files to the ledger's files."""

import platform
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from config import logs
from config.errors import CurationError, StoreUnavailableError, TrainingError
from config.ledger import Judged, Ledger
from config.records import Adapter, JsonObject, Prompt, TrainProgress
from config.report.metrics import Fraction
from config.topology import UNSEEN, Stage
from config.trainer_command import Command, is_allowed, parse_trainer, refusal
from worker.stages.context import StageContext

log = logs.get(__name__)


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
    judged = Judged(context.run.version, ledger.fleet.now())
    curated = curate(
        lambda: ledger.jobs.trajectories(spec.run_id),
        out=context.place("dataset"),
        options=options,
        student=student,
        replay=Replay(context.settings.cache, context.settings.policy),
        progress=lambda _: context.require_wanted(),
        evaluation=Evaluation(spec, submitted_unseen(context)),
    )
    context.require_wanted()  # a later curation of the run may have stored its own results
    ledger.set_verdicts(spec.run_id, curated.verdicts(), judged=judged, lease=context.lease.ref)
    context.publish("dataset")
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
    from worker.train.command_trainer import train_with_command
    from worker.train.trainer import train

    command = trainer_command(context)
    ledger, run_id = context.ledger, context.run_id
    dataset = context.copy("dataset")
    ledger.stages.clear_progress(run_id, Stage.TRAIN)
    run = partial(train_with_command, command, cwd=context.settings.trainer_dir.resolve()) if command else train
    adapter = run(
        dataset,
        student=context.student(Stage.TRAIN),
        out=context.place("adapter"),
        overrides={"max_seq_length": context.run.spec.max_seq_length, **context.run.spec.lora},
        on_progress=lambda progress: report(context, progress),
        cancelled=context.lease.cancelled,
        run_id=run_id,
    )
    context.require_wanted()
    context.publish("adapter")
    return adapter.model_dump(mode="json")


def trainer_command(context: StageContext) -> Command | None:
    """The run's own trainer, None if it uses mlx_lm's.

    TrainingError if this worker's owner has not allowed it: a command that arrives with a run is never run unseen.
    """
    spec, settings = context.run.spec, context.settings
    if spec.trainer is None:
        return None
    command = parse_trainer(spec.trainer)
    if not is_allowed(command, settings.allowed_trainers):
        raise TrainingError(refusal(command, settings.allowed_trainers, host=platform.node(), run_id=spec.run_id))
    return command


def report(context: StageContext, progress: TrainProgress) -> None:
    """One line of training progress into the ledger; an outage loses the line, not the training."""
    try:
        context.ledger.stages.report(context.run_id, Stage.TRAIN, progress)
    except StoreUnavailableError as error:
        log.warning("progress.lost", run_id=context.run_id, iteration=progress.iteration, error=str(error))


def evaluate_run(context: StageContext) -> JsonObject:
    """Choose the checkpoint, ask base and adapter the held-out prompts and write the Report."""
    from worker.evaluate.checkpoint_choice import choose_checkpoint
    from worker.evaluate.evaluator import evaluate
    from worker.evaluate.held_out import read_prompts, select
    from worker.evaluate.training_set import check_against_training
    from worker.evaluate.unseen import unseen_questions
    from worker.generate.job import Workspaces

    ledger, run_id, spec = context.ledger, context.run_id, context.run.spec
    dataset, adapter = context.copy("dataset"), context.copy("adapter")
    ledger.stages.clear_progress(run_id, Stage.EVALUATE)
    trained = Adapter.model_validate(ledger.stages.view(run_id, Stage.TRAIN).result)
    if trained.unservable:
        log.warning("evaluate.skipped", run_id=run_id, reason=trained.unservable)
        return {"skipped": trained.unservable}
    student, workspace_for = context.student(Stage.EVALUATE), Workspaces(ledger, context.settings, spec).of
    unseen = unseen_questions(dataset, workspace_for)
    if unseen.problem:
        log.warning("unseen.skipped", run_id=run_id, workspace=unseen.workspace, reason=unseen.problem)
    prompts = select(read_prompts(dataset), spec.evaluate_prompts)
    asked = [*prompts, *unseen.prompts]
    notes = check_against_training(asked, spec, dataset=dataset, student=student, adapter=adapter)

    def on_progress(phase: str, done: int, total: int) -> None:
        ledger.stages.report(run_id, Stage.EVALUATE, {"phase": phase, "done": done, "total": total})

    choice = choose_checkpoint(
        adapter,
        trained,
        dataset,
        spec=spec,
        student=student,
        workspace_for=workspace_for,
        out=context.place("checkpoints"),
        on_progress=on_progress,
        worker=context.worker,
        cancelled=context.lease.cancelled,
    )
    context.require_wanted()
    if choice:
        context.publish("adapter")
    made = evaluate(
        prompts,
        unseen=unseen.prompts,
        spec=spec,
        student=student,
        adapter=adapter,
        workspace_for=workspace_for,
        out=context.place("report"),
        on_progress=on_progress,
        worker=context.worker,
        cancelled=context.lease.cancelled,
    )
    made = made.with_training(trained, correct=curated_correct(ledger, run_id), checkpoints=choice)
    made = unseen.noted(made).model_copy(update={"notes": notes})
    made.write(context.place("report"))
    context.require_wanted()
    context.publish("report")
    return made.model_dump(mode="json")


def curated_correct(ledger: Ledger, run_id: str) -> Fraction | None:
    """The teacher's right answers, of those with an expected answer; None if curation graded none."""
    counts = ledger.stages.view(run_id, Stage.CURATE).result.get("correct")
    return Fraction.model_validate(counts) if isinstance(counts, dict) and counts.get("of") else None


WORK: dict[Stage, Callable[[StageContext], JsonObject]] = {
    Stage.CURATE: curate_run,
    Stage.TRAIN: train_run,
    Stage.EVALUATE: evaluate_run,
}
