"""From counters to a rate, a stage and what is left."""

import pytest

from config.ledger.fleet import WorkerView
from config.ledger.stages import StageView
from config.records import StageState
from config.topology import Stage
from producer.run_status import current, mean_rate, missing_role, per_worker, rate


def view(stage: Stage, state: StageState, error: str = "") -> StageView:
    return StageView(stage, state, "", None, None, error, {}, ())


def stages(curate: StageState, train: StageState, evaluate: StageState, error: str = "") -> tuple[StageView, ...]:
    states = zip(Stage, (curate, train, evaluate), strict=True)
    return tuple(view(stage, state, error if state is StageState.FAILED else "") for stage, state in states)


WAITING, READY, RUNNING, DONE, FAILED, SKIPPED = (
    StageState.WAITING, StageState.READY, StageState.RUNNING, StageState.DONE, StageState.FAILED, StageState.SKIPPED
)  # fmt: skip


@pytest.mark.parametrize(
    ("states", "owed", "expected"),
    [
        (stages(WAITING, WAITING, WAITING), 3, ("generate", "")),  # jobs are left
        (stages(READY, WAITING, WAITING), 0, ("curate", "")),  # the last job is finished
        (stages(DONE, RUNNING, WAITING), 0, ("train", "")),
        (stages(DONE, DONE, READY), 0, ("evaluate", "")),
        (stages(DONE, DONE, DONE), 0, ("done", "")),
        (stages(DONE, SKIPPED, SKIPPED), 0, ("done", "")),  # only a dataset was asked for
        (stages(DONE, FAILED, WAITING, "no rows"), 0, ("failed", "train: no rows")),
        (stages(FAILED, SKIPPED, SKIPPED, "none kept"), 0, ("failed", "curate: none kept")),
    ],
)
def test_the_stage_of_a_run(states: tuple[StageView, ...], owed: int, expected: tuple[str, str]) -> None:
    assert current(states, owed) == expected


@pytest.mark.parametrize(
    ("buckets", "now", "per_minute"),
    [
        ({}, 1000.0, 0.0),  # nothing finished yet
        ({100: 30}, 1060.0, 30.0),  # 30 in the minute since 1000 s
        ({100: 5}, 1001.0, 30.0),  # a young run is measured over ten seconds at least
        ({1: 99, 100: 60}, 1060.0, 60.0),  # what lies before the window does not count
    ],
)
def test_the_rate_is_per_minute_of_the_recent_past(buckets: dict[int, int], now: float, per_minute: float) -> None:
    assert rate(buckets, now=now) == pytest.approx(per_minute)


@pytest.mark.parametrize(
    ("buckets", "per_minute"),
    [
        ({}, 0.0),  # nothing was finished
        ({100: 5}, 30.0),  # ten seconds are the finest there is
        ({100: 20, 105: 10}, 30.0),  # a minute from the first bucket to the last, whatever the clock says now
        ({1: 99, 1000: 20, 1005: 10}, 30.0),  # an earlier generation, hours before, is not counted
        ({10: 10, 99: 20}, 2.0),  # a pause of less than a quarter of an hour belongs to it
    ],
)
def test_the_rate_of_an_ended_generation_is_its_mean(buckets: dict[int, int], per_minute: float) -> None:
    assert mean_rate(buckets) == pytest.approx(per_minute)


def heard(silent: float, *queues: str) -> WorkerView:
    return WorkerView("w", silent, {"queues": list(queues)})


@pytest.mark.parametrize(
    ("stage", "workers", "role"),
    [
        ("generate", [], "generate"),  # nobody has been heard of
        ("generate", [heard(2, "generate")], ""),
        ("generate", [heard(300, "generate")], "generate"),  # silent for too long
        ("generate", [heard(2, "curate")], "generate"),  # alive, and reads another queue
        ("generate", [heard(300, "generate"), heard(2, "generate", "curate")], ""),
        ("evaluate", [heard(2, "generate")], "train"),  # the role that reads the stage's queue
        ("evaluate", [heard(2, "train")], ""),
        ("done", [], ""),  # an ended run waits for nobody
        ("failed", [], ""),
    ],
)
def test_the_worker_a_run_lacks(stage: str, workers: list[WorkerView], role: str) -> None:
    assert missing_role(stage, workers) == role


def test_counts_per_worker_keep_names_with_separators_whole() -> None:
    assert per_worker({"a|b@host|generated": 2, "a|b@host|failed": 1}) == {"a|b@host": {"generated": 2, "failed": 1}}
