import itertools
import re
from pathlib import Path

import pytest

from benchmarks.sample_size import ALPHA, POWER, detectable, power, prompts_needed, tables
from config.records import Spec
from config.report.comparison import mcnemar

DOCUMENT = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_the_document_has_the_tables_that_the_benchmark_prints() -> None:
    found = re.search(r"<!-- benchmarks.sample_size -->\n\n(.*)\n\n<!-- end -->", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    assert found[1] == tables()


def test_the_default_number_of_prompts_is_that_of_the_document() -> None:
    prompts = Spec(run_id="r").evaluate_prompts
    text = " ".join(DOCUMENT.read_text().split())
    assert f"A run evaluates up to {prompts} held-out prompts" in text
    stated = (
        f"a gain of {detectable(prompts, 0.0)} points over a base model at 0% and of {detectable(prompts, 0.5)} points"
    )
    assert stated in text


@pytest.mark.parametrize(("base", "adapter"), [(0.0, 0.5), (0.3, 0.8), (0.5, 1.0)])
def test_power_is_the_share_of_all_outcomes_that_are_significant(base: float, adapter: float) -> None:
    chances = {(x, y): abs(1 - x - base) * abs(1 - y - adapter) for x in (0, 1) for y in (0, 1)}
    prompts, found = 7, 0.0
    for pairs in itertools.product(chances, repeat=prompts):
        gained, lost = pairs.count((0, 1)), pairs.count((1, 0))
        if gained > lost and mcnemar(lost, gained) <= ALPHA:
            chance = 1.0
            for pair in pairs:
                chance *= chances[pair]
            found += chance
    assert power(prompts, base, adapter) == pytest.approx(found)


def test_six_gained_prompts_are_the_fewest_that_are_significant() -> None:
    assert power(5, 0.0, 1.0) == 0
    assert power(6, 0.0, 1.0) == 1
    assert power(12, 0.0, 0.5) == pytest.approx(sum((924, 792, 495, 220, 66, 12, 1)) / 4096)  # six or more of twelve


def test_prompts_needed_have_the_power_and_one_fewer_does_not() -> None:
    needed = prompts_needed(0.0, 0.3)
    assert power(needed, 0.0, 0.3) >= POWER > power(needed - 1, 0.0, 0.3)
