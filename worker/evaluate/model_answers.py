"""The answers of base model and adapter, and the Report that is made of them."""

from dataclasses import dataclass, replace
from pathlib import Path

from config.records import Spec, Trajectory
from config.report.comparison import compare
from config.report.metrics import Metrics
from config.report.model import Report
from config.report.outcomes import base_and_adapter
from config.report.unseen import Unseen
from worker.evaluate.causes import failure_causes
from worker.evaluate.comparing import outcomes
from worker.evaluate.identity import Canaries
from worker.evaluate.rates import score
from worker.evaluate.sampled import OwnSampling, sampled
from worker.models.resolve import hub_name


@dataclass(frozen=True)
class ModelAnswers:
    """One model's answers at temperature 0 in the order of the prompts, and its canaries before and after all."""

    trajectories: tuple[Trajectory, ...]
    samples: tuple[Trajectory, ...]
    """further answers at `own` sampling, in the order of the prompts, each prompt's together"""
    own: OwnSampling
    canaries: tuple[Canaries, Canaries]

    def first(self, prompts: int) -> "ModelAnswers":
        """The answers to the first prompts."""
        return replace(self, trajectories=self.trajectories[:prompts], samples=self.samples[: prompts * self._samples])

    def beyond(self, prompts: int) -> "ModelAnswers":
        """The answers to the prompts after the first ones."""
        return replace(self, trajectories=self.trajectories[prompts:], samples=self.samples[prompts * self._samples :])

    def metrics(self) -> Metrics:
        """The rates of the answers at temperature 0, and of the samples if there are any."""
        found = score(self.trajectories)
        if not self.samples:
            return found
        return found.model_copy(update={"sampled": sampled(self.samples, self.own, samples=self._samples)})

    @property
    def _samples(self) -> int:
        """Samples of each prompt."""
        return len(self.samples) // len(self.trajectories) if self.trajectories else 0


def report_of(
    before: ModelAnswers,
    after: ModelAnswers | None,
    *,
    own: int,
    spec: Spec,
    student: Path,
    adapter: Path | None,
    identity: str,
    concurrency: int,
) -> Report:
    """The Report of answers whose weights are known. After the first `own` prompts come those about unseen code."""
    model, revision = hub_name(student)
    base, adapted = before.first(own), after.first(own) if after else None
    answered = outcomes(base.trajectories, adapted.trajectories if adapted else ())
    return Report(
        run_id=spec.run_id,
        student=model,
        revision=revision,
        adapter=str(adapter) if adapter else None,
        before=base.metrics(),
        after=adapted.metrics() if adapted else None,
        comparison=compare(base_and_adapter(answered)) if adapted else None,
        unseen=_unseen(before.beyond(own), after.beyond(own) if after else None),
        failure_causes=failure_causes((adapted or base).trajectories),
        identity=identity,
        concurrency=concurrency,
        max_tokens=spec.evaluate_limits.max_tokens,
        outcomes=answered,
    )


def _unseen(before: ModelAnswers, after: ModelAnswers | None) -> Unseen | None:
    """The part about unseen code; None without an answer of the base model."""
    if not before.trajectories:
        return None
    pins = (one.provenance.workspace for one in before.trajectories if one.provenance)
    pin = next(filter(None, pins), None)
    answered = outcomes(before.trajectories, after.trajectories if after else ())
    return Unseen(
        workspace=pin.origin if pin else "",
        digest=pin.digest if pin else None,
        before=before.metrics(),
        after=after.metrics() if after else None,
        comparison=compare(base_and_adapter(answered)) if after else None,
    )
