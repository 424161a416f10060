"""What `status`, `status --watch` and Flower show of a running training."""

import json
from dataclasses import asdict

import pytest

from config.records import JsonObject, TrainProgress
from config.training_progress import TrainingProgress, duration, training_progress


def reports(*lines: TrainProgress) -> list[JsonObject]:
    return [json.loads(line.model_dump_json()) for line in lines]


def shown(*lines: TrainProgress) -> TrainingProgress:
    found = training_progress(reports(*lines))
    assert found is not None
    return found


PLAN = TrainProgress(iteration=0, iterations=207, rows=69, epochs=3.0, needed_gb=1.4, grad_checkpoint=False)
FIRST = TrainProgress(iteration=0, iterations=207, valid_loss=3.1, seconds=20.0)
TRAINED = TrainProgress(
    iteration=120,
    iterations=207,
    train_loss=0.4123,
    tokens_per_second=148.4,
    iterations_per_second=0.5,
    peak_memory_gb=1.44,
    seconds=320.0,
)
VALIDATED = TrainProgress(iteration=120, iterations=207, valid_loss=0.6, seconds=335.0)


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ((PLAN,), "loading the model: 69 rows, 3 epochs, 207 iterations"),
        ((PLAN, FIRST), "iteration 0 of 207, validation loss 3.100"),
        ((PLAN, FIRST, TRAINED), "iteration 120 of 207, loss 0.412, 148 tokens/s, 1.4 GB, 4 min left"),
        ((PLAN, FIRST, TRAINED, VALIDATED), "iteration 120 of 207, loss 0.412, 148 tokens/s, 1.4 GB, 4 min left"),
    ],
)
def test_a_running_training_is_one_line_of_80_columns(lines: tuple[TrainProgress, ...], line: str) -> None:
    assert shown(*lines).line == line
    assert len(f"train  {line}") <= 80


def test_time_left_counts_validation_and_of_an_older_worker_only_training() -> None:
    assert shown(PLAN, FIRST, TRAINED).seconds_left == pytest.approx(87 * 300 / 120)
    assert shown(PLAN, FIRST, TRAINED, VALIDATED).seconds_left == pytest.approx(87 * 315 / 120, abs=0.1)
    compiled = [TRAINED.model_copy(update={"iteration": done, "seconds": 60.0 + done / 20}) for done in (5, 25)]
    assert shown(PLAN, FIRST, *compiled).seconds_left == pytest.approx((207 - 25) / 20, abs=0.1)
    older = [line.model_copy(update={"seconds": None}) for line in (PLAN, FIRST, TRAINED)]
    assert shown(*older).seconds_left == pytest.approx(87 / 0.5)


def test_json_holds_each_value_and_null_before_it_is_known() -> None:
    assert asdict(shown(PLAN, FIRST)) == {
        "iteration": 0,
        "iterations": 207,
        "train_loss": None,
        "valid_loss": 3.1,
        "tokens_per_second": None,
        "peak_memory_gb": None,
        "seconds_left": None,
        "rows": 69,
        "epochs": 3.0,
    }
    assert training_progress([]) is None
    assert training_progress([{"phase": "base", "done": 1, "total": 2}]) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (59.4, "59 s"), (61.0, "1 min"), (3599.0, "1 h 00 min"), (7500.0, "2 h 05 min")],
)
def test_a_duration_is_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
