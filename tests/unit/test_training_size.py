"""Iterations from rows and epochs, and what is said of far too many or too few."""

import pytest

from config.records import JsonObject, TrainProgress
from worker.train.training_size import TrainingSize, sized


@pytest.mark.parametrize(
    ("values", "rows", "iterations"),
    [
        ({"epochs": 3, "batch_size": 1}, 69, 207),
        ({"epochs": 3, "batch_size": 4}, 69, 52),  # 51.75
        ({"epochs": 0.5, "batch_size": 1}, 69, 35),
        ({"iters": 200, "batch_size": 1}, 69, 200),  # fixed
        ({"iters": 200}, 69, 200),  # mlx_lm's batch of 4
    ],
)
def test_iterations_follow_from_rows_and_epochs_unless_fixed(values: JsonObject, rows: int, iterations: int) -> None:
    size, passed = sized(values, 2 * rows, rows)
    assert size.iterations == passed["iters"] == iterations
    assert "epochs" not in passed  # mlx_lm does not know it


def test_reports_become_frequent_in_a_short_training_unless_their_steps_are_set() -> None:
    def steps(values: JsonObject) -> list[object]:
        return [sized(values, 20, 10)[1][name] for name in ("steps_per_report", "steps_per_eval", "save_every")]

    assert steps({"iters": 600}) == [10, 50, 100]
    assert steps({"iters": 40}) == [2, 10, 20]
    assert steps({"iters": 1}) == [1, 1, 1]
    assert steps({"iters": 40, "steps_per_eval": 1000}) == [2, 1000, 20]


@pytest.mark.parametrize(
    ("size", "warning"),
    [
        (TrainingSize(138, 69, 1, 207), ""),
        (TrainingSize(138, 69, 1, 200), ""),  # 2.9 epochs
        (TrainingSize(1600, 800, 4, 600), ""),
        (
            TrainingSize(138, 69, 4, 600),
            "138 rows of 69 sequences, 34.78 epochs, 600 iterations of 4 sequences: so many passes",
        ),  # 12 times as long
        (TrainingSize(1600, 800, 1, 200), "some rows are never trained on; raise iters"),
        (TrainingSize(12, 6, 1, 18), "too few to learn from"),
    ],
)
def test_far_too_long_or_short_is_one_line(size: TrainingSize, warning: str) -> None:
    assert warning in size.warning
    assert bool(size.warning) is bool(warning)


def test_the_plan_of_a_training_names_its_size_and_memory() -> None:
    plan = TrainProgress(iteration=0, iterations=207, rows=69, epochs=3.0, needed_gb=9.7, grad_checkpoint=True)
    fast = TrainProgress(iteration=87, iterations=207, train_loss=0.5, iterations_per_second=0.5)
    assert plan.plan == "69 rows, 3 epochs, 207 iterations, about 9.7 GB, grad_checkpoint on"
    assert fast.minutes_left == 4.0
    assert "rows" not in fast.model_dump(mode="json")  # older readers refuse unknown fields
