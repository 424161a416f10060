import json
import math
from pathlib import Path

import pytest

from config.records import Sampling
from config.report.metrics import wilson
from tests.unit.test_compare import WRONG, answered
from tests.unit.test_score import SOUND, trajectory
from worker.evaluate.sampled import OwnSampling, clustered, own_sampling, sampled

OWN = OwnSampling(Sampling(temperature=0.7, top_p=0.8), "generation_config.json")


@pytest.mark.parametrize(
    ("config", "temperature", "top_p", "source"),
    [
        ({"temperature": 0.6, "top_p": 0.95, "top_k": 20}, 0.6, 0.95, "generation_config.json"),
        ({"temperature": 1.0}, 1.0, None, "generation_config.json"),
        ({"eos_token_id": 2}, 0.7, None, "default, because the model's generation_config.json has no temperature"),
        ({"temperature": 0.0}, 0.7, None, "default"),  # greedy: samples would repeat the answer at temperature 0
        ({"temperature": 0.6, "do_sample": False}, 0.7, None, "default"),  # greedy too
        ({"temperature": 0.6, "top_p": 7}, 0.7, None, "default"),
        ("{torn", 0.7, None, "default"),
        (None, 0.7, None, "default"),
    ],
)
def test_own_temperature_is_that_of_the_model(
    tmp_path: Path, config: object, temperature: float, top_p: float | None, source: str
) -> None:
    if config is not None:
        (tmp_path / "generation_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    found = own_sampling(tmp_path)
    assert found.sampling == Sampling(temperature=temperature, top_p=top_p)
    assert found.source.startswith(source)


def test_equal_answers_to_a_prompt_count_as_one() -> None:
    # four prompts of ten equal answers know no more than four answers
    copies, single = (
        clustered([[True] * 10, [True] * 10, [False] * 10, [False] * 10]),
        clustered([[True], [True], [False], [False]]),
    )
    assert copies is not None
    assert single is not None
    assert copies.standard_error == single.standard_error == pytest.approx(0.25)  # sqrt(1/2 * 1/2 / 4)
    assert copies.interval95 == pytest.approx(wilson(2, 4))
    assert (copies.prompts, copies.answers) == (4, 40)


def test_independent_answers_narrow_the_interval() -> None:
    mixed = clustered([[True, False, True, False], [True, True, False, True], [False, False, True, False]])
    assert mixed is not None
    assert mixed.mean == 0.5
    assert mixed.standard_error == pytest.approx(
        math.sqrt(0 + 1 + 1) / 12
    )  # deviations 0, 3 - 2 and 1 - 2, of 12 answers
    assert mixed.interval95 == pytest.approx(wilson(6, 12))  # not more than there are answers


def test_interval_without_an_error_is_that_of_the_prompts() -> None:
    halves, one_prompt = clustered([[True, False]] * 20), clustered([[True, False]])
    assert halves is not None
    assert one_prompt is not None
    assert (halves.standard_error, halves.interval95) == (0, wilson(10, 20))
    assert (one_prompt.standard_error, one_prompt.interval95) == (0, wilson(0.5, 1))


@pytest.mark.parametrize("right", [True, False])
def test_interval_at_the_ends_is_that_of_the_prompts(right: bool) -> None:
    made = clustered([[right] * 5] * 6)
    assert made is not None
    assert made.interval95 == wilson(6 * right, 6)


def test_groups_of_different_sizes_weigh_by_their_answers() -> None:
    made = clustered([[True, True, True], [False], []])
    assert made is not None
    assert (made.mean, made.prompts, made.answers) == (0.75, 2, 4)
    assert made.standard_error == pytest.approx(math.sqrt(0.75**2 + 0.75**2) / 4)
    assert clustered([[], []]) is None


def test_samples_are_grouped_by_job() -> None:
    without_tools = trajectory((SOUND[0], SOUND[-1]), job_id="3", requires_tools=False)
    answers = [answered("1"), answered("1"), answered("2"), answered("2", WRONG), without_tools, without_tools]
    made = sampled(answers, OWN, samples=2)
    assert (made.temperature, made.top_p, made.samples, made.source) == (0.7, 0.8, 2, "generation_config.json")
    assert made.grounded_correct is not None
    assert (made.grounded_correct.mean, made.grounded_correct.prompts, made.grounded_correct.answers) == (0.75, 2, 4)
    assert made.correct is not None
    assert (made.correct.mean, made.correct.prompts, made.correct.answers) == (5 / 6, 3, 6)


def test_nothing_to_grade_is_none() -> None:
    made = sampled([answered("1", expect=None)], OWN, samples=1)
    assert (made.correct, made.grounded_correct) == (None, None)
