"""Rates over several sampled answers to each prompt, at the model's own temperature.

At temperature 0 a model gives one answer, whose words can hang on the last digit of a logit. Samples show how often it
is right. They are repeated requests without a `seed`: mlx_lm serves a request with a seed alone, without batching. So
they cannot be repeated exactly.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from config.records import JsonObject, Sampling, Trajectory
from config.report.metrics import ClusteredRate, Sampled, wilson
from worker.evaluate.rates import is_grounded
from worker.evaluate.score import AnswerScore, observe

FILE = "generation_config.json"
DEFAULT_TEMPERATURE = 0.7  # as for a teacher, see Sampling


@dataclass(frozen=True)
class OwnSampling:
    """How a model is meant to be sampled."""

    sampling: Sampling
    source: str


def own_sampling(student: Path) -> OwnSampling:
    """Temperature and top_p of the model's generation_config.json; temperature 0.7 if it has none above 0.

    Other settings there, such as top_k, are not used. A file that cannot be read counts as missing.
    """
    stated = _stated(student / FILE)
    temperature = stated.get("temperature")
    if isinstance(temperature, int | float) and temperature > 0 and stated.get("do_sample") is not False:
        try:
            own = Sampling.model_validate({"temperature": temperature, "top_p": stated.get("top_p")})
        except ValidationError:
            pass
        else:
            return OwnSampling(own, FILE)
    default = Sampling(temperature=DEFAULT_TEMPERATURE, top_p=None)
    return OwnSampling(default, f"default, because the model's {FILE} has no temperature")


def sampled(trajectories: Iterable[Trajectory], own: OwnSampling, *, samples: int) -> Sampled:
    """The rates over `samples` trajectories of each prompt, which have its job_id."""
    prompts: defaultdict[str, list[AnswerScore]] = defaultdict(list)
    for trajectory in trajectories:
        prompts[trajectory.job_id].append(observe(trajectory, needs_tools=trajectory.requires_tools))

    def rate(counts: Callable[[AnswerScore], bool], among: Callable[[AnswerScore], bool]) -> ClusteredRate | None:
        return clustered([[counts(answer) for answer in answers if among(answer)] for answers in prompts.values()])

    return Sampled(
        temperature=own.sampling.temperature,
        top_p=own.sampling.top_p,
        source=own.source,
        samples=samples,
        correct=rate(lambda answer: answer.correct is True, lambda answer: answer.correct is not None),
        grounded_correct=rate(is_grounded, lambda answer: answer.correct is not None and answer.needs_tools is True),
    )


def clustered(groups: Sequence[Sequence[bool]]) -> ClusteredRate | None:
    """The rate over all answers with a standard error clustered by prompt; `groups` has the answers of each prompt.

    The error is that of E. Miller, Adding Error Bars to Evals: A Statistical Approach to Language Model Evaluations,
    arXiv:2411.00640 (2024), section 2.2: the root of the sum over prompts of the squared sum of deviations from the
    mean, over the number of answers. The interval is Wilson's for the number of independent answers that have this
    error, because the normal interval has no width at 0% and 100%. Where the error is 0, as there and with one prompt,
    that number is the number of prompts.
    None without an answer.
    """
    answered = [group for group in groups if group]
    count = sum(map(len, answered))
    if not count:
        return None
    right = sum(map(sum, answered))
    mean = right / count
    error = math.sqrt(sum((sum(group) - len(group) * mean) ** 2 for group in answered)) / count
    independent = min(mean * (1 - mean) / error**2, count) if error else len(answered)
    return ClusteredRate(
        mean=mean,
        standard_error=error,
        interval95=wilson(mean * independent, independent),
        prompts=len(answered),
        answers=count,
    )


def _stated(file: Path) -> JsonObject:
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
