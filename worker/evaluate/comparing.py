"""The outcome of every prompt under base model and adapter, from their trajectories. Pure; needs no model."""

from collections.abc import Iterable, Mapping

from config.records import Trajectory
from config.report.outcomes import SHOWN_CHARS, Outcome, PromptOutcome, cut, prompt_hash
from worker.evaluate.rates import is_grounded
from worker.evaluate.score import observe


def outcomes(before: Iterable[Trajectory], after: Iterable[Trajectory] = ()) -> tuple[PromptOutcome, ...]:
    """One outcome per prompt of `before`, in its order, paired by job_id with the adapter's answers.

    Raises ValueError if a job_id is not unique, or if both models answered and not the same prompts.
    """
    asked, adapted = _by_job(before), _by_job(after)
    if adapted and [*asked] != [*adapted]:
        raise ValueError(f"base and adapter were asked different prompts: {sorted(asked.keys() ^ adapted.keys())!r}")
    return tuple(
        PromptOutcome(
            job_id=job,
            category=trajectory.category,
            prompt=cut(trajectory.prompt),
            prompt_hash=prompt_hash(trajectory.prompt),
            needs_tools=trajectory.requires_tools,
            before=outcome(trajectory),
            after=outcome(adapted[job]) if job in adapted else None,
        )
        for job, trajectory in asked.items()
    )


def outcome(trajectory: Trajectory) -> Outcome:
    """The outcome of one answer."""
    score = observe(trajectory, needs_tools=trajectory.requires_tools)
    graded = trajectory.requires_tools and score.correct is not None
    return Outcome(correct=score.correct, grounded=is_grounded(score) if graded else None, answer=_shown(trajectory))


def _shown(trajectory: Trajectory) -> str:
    """The answer, cut, or why there is none, in brackets."""
    text = trajectory.answer.strip()
    if trajectory.failure:
        reason = f"[failed: {trajectory.failure.kind.value}]"
    elif trajectory.truncated:
        reason = "[cut at the token limit]"
    elif not text:
        reason = "[no final text]"
    else:
        return cut(text)
    return f"{cut(text, SHOWN_CHARS - len(reason) - 1)} {reason}" if text else reason


def _by_job(trajectories: Iterable[Trajectory]) -> Mapping[str, Trajectory]:
    found: dict[str, Trajectory] = {}
    for trajectory in trajectories:
        if trajectory.job_id in found:
            raise ValueError(f"two trajectories have the job_id {trajectory.job_id!r}")
        found[trajectory.job_id] = trajectory
    return found
