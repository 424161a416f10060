"""A Report with data in every section, scored from real conversations of a small student."""

import json
from pathlib import Path

from config.records import Adapter, Message, RequestTiming, Timing, ToolTiming, TrainProgress, Trajectory
from config.report.checkpoints import CheckpointChoice, CheckpointScore
from config.report.comparison import compare
from config.report.failure_causes import FailedAnswer, FailureCause, Turn
from config.report.metrics import Fraction
from config.report.model import Report
from config.report.outcomes import base_and_adapter
from config.report.unseen import Unseen
from worker.evaluate.comparing import outcomes
from worker.evaluate.rates import score
from worker.evaluate.score import AnswerScore, observe

REAL = Path(__file__).parents[1] / "data" / "real_teacher" / "held_out.jsonl"
RUN = "held-kombu-cold"  # kombu's questions at temperature 0.1
CAUSES = {
    "wrong_answer": ("Wrong answer after a real result", "more rows of these categories"),
    "no_final_answer": ("No final answer", "a higher token limit, or rows with shorter answers"),
    "unsupported_claim": ("Asserts what no result holds", "more rows in which the answer quotes the result"),
    "no_real_result": ("No tool returned a real result", "rows in which the name of the question is copied exactly"),
    "no_tool_when_needed": ("Answered without looking", "more rows that need tools"),
    "tool_when_not_needed": ("Called a tool that was not needed", "rows without tools"),
}


def trajectories() -> list[Trajectory]:
    """68 conversations of a student with its adapter."""
    lines = REAL.read_text(encoding="utf-8").splitlines()
    return [one for one in map(Trajectory.model_validate_json, lines) if one.run_id == RUN]


def without_tools(trajectory: Trajectory) -> Trajectory:
    """The same question answered from memory, as a base model does that never calls a tool."""
    answer = Message(role="assistant", content="I would look for it in the documentation of the project.")
    return trajectory.model_copy(
        update={"messages": (trajectory.messages[0], answer), "finish_reasons": ("stop",), "seconds": 9.5}
    )


def rich_report(run_id: str = "night-1") -> Report:
    """The report of an evaluation of 68 prompts."""
    after = [_timed(one) for one in trajectories()]
    before = [_timed(without_tools(one)) for one in trajectories()]
    asked = outcomes(before, after)
    return Report(
        run_id=run_id,
        student="HuggingFaceTB/SmolLM2-135M-Instruct",
        revision="7e27bd9f95328f0f3b08261d1252705110c806f8",
        adapter="runs/night-1/adapter",
        before=score(before),
        after=score(after),
        comparison=compare(base_and_adapter(asked)),
        unseen=_unseen(after),
        notes=("The system prompt differs from the one of the training rows.",),
        checkpoints=_checkpoints(),
        failure_causes=_causes(after, [observe(one, needs_tools=one.requires_tools) for one in after]),
        outcomes=asked,
        identity="The canaries of base and adapter differ by 0.31 at the median, the noise of the server is 0.002.",
        concurrency=4,
    ).with_training(adapter(), correct=Fraction(count=53, of=66))


def adapter() -> Adapter:
    """The record of a training of 110 iterations whose losses fall."""
    trained = [TrainProgress(iteration=n, iterations=110, train_loss=2.6 * 0.96**n + 0.1) for n in range(5, 111, 5)]
    checked = [TrainProgress(iteration=n, iterations=110, valid_loss=2.7 * 0.97**n + 0.16) for n in (1, 40, 80, 110)]
    return Adapter(
        path="runs/night-1/adapter",
        student="HuggingFaceTB/SmolLM2-135M-Instruct",
        dataset_hash="9f2c41d07be35a18",
        iterations=110,
        rows=207,
        epochs=1.06,
        losses=(*trained, *checked),
        peak_memory_gb=3.21,
        tokens_per_second=212.0,
        seconds=249.0,
        backend="cpu",
    )


def _unseen(answers: list[Trajectory]) -> Unseen:
    """The first 30 answers, as if they were about a package that the run did not see."""
    before, after = [without_tools(one) for one in answers[:30]], answers[:30]
    comparison = compare(base_and_adapter(outcomes(before, after)))
    return Unseen(workspace="package:kombu@5.7.0", before=score(before), after=score(after), comparison=comparison)


def _checkpoints() -> CheckpointChoice:
    return CheckpointChoice.of(
        tuple(
            CheckpointScore(
                iteration=iteration,
                grounded_correct=Fraction(count=right, of=16),
                loops=Fraction(count=0, of=16),
                valid_loss=loss,
            )
            for iteration, right, loss in ((40, 3, 0.96), (80, 9, 0.39), (110, 8, 0.26))
        )
    )


def _timed(trajectory: Trajectory) -> Trajectory:
    """The trajectory with times that add up to most of its seconds."""
    seconds, count = trajectory.seconds, max(1, len(trajectory.finish_reasons))
    request = RequestTiming(
        seconds=0.85 * seconds / count,
        first_token=0.3 * seconds / count,
        prompt_tokens=400,
        cached_tokens=310,
        output_tokens=28,
    )
    reasons = trajectory.finish_reasons or ("stop",)
    requests = tuple(request.model_copy(update={"finish_reason": reason}) for reason in reasons)
    tools = tuple(ToolTiming(name=call.name, seconds=0.04 * seconds) for call in trajectory.tool_calls)
    return trajectory.model_copy(update={"timing": Timing(requests=requests, tools=tools)})


def _causes(answers: list[Trajectory], scores: list[AnswerScore]) -> tuple[FailureCause, ...]:
    failed = [(one, score) for one, score in zip(answers, scores, strict=True) if score.found and not score.correct]
    causes = []
    for name, (title, cure) in CAUSES.items():
        found = [(one, score) for one, score in failed if score.found[0].fault.value == name]
        counted: dict[str, int] = {}
        for one, _ in found:
            counted[one.category] = counted.get(one.category, 0) + 1
        if found:
            causes.append(
                FailureCause(
                    cause=name,
                    title=title,
                    count=len(found),
                    of=len(answers),
                    categories=counted,
                    help=cure,
                    examples=tuple(_example(one, score.found[0].detail) for one, score in found[:3]),
                )
            )
    return tuple(causes)


def _example(trajectory: Trajectory, detail: str) -> FailedAnswer:
    return FailedAnswer(
        job_id=trajectory.job_id,
        category=trajectory.category,
        prompt=trajectory.prompt,
        turns=tuple(Turn(role=message.role, text=_text(message)) for message in trajectory.messages),
        expected=json.dumps(trajectory.expect),
        detail=detail,
    )


def _text(message: Message) -> str:
    calls = [f"{call.name}({json.dumps(call.arguments)})" for call in message.tool_calls]
    return "\n".join(filter(None, (message.content, *calls)))
