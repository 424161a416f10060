"""Run status: rate, current_stage stage and missing worker, from the ledger's counters."""

import pytest

from config.ledger.fleet import WorkerView
from config.ledger.stages import StageView
from config.records import StageState
from config.topology import Stage
from producer.overview.workers import device_line
from producer.run_status import current_stage, device_rows, mean_rate, missing_role, per_worker, rate


def view(stage: Stage, state: StageState, error: str = "") -> StageView:
    return StageView(stage, state, "", None, None, error, {}, ())


def stages(curate: StageState, train: StageState, evaluate: StageState, error: str = "") -> tuple[StageView, ...]:
    states = zip(Stage, (curate, train, evaluate), strict=True)
    return tuple(view(stage, state, error if state is StageState.FAILED else "") for stage, state in states)


WAITING, READY, RUNNING, DONE, FAILED, SKIPPED = (
    StageState.WAITING, StageState.READY, StageState.RUNNING, StageState.DONE, StageState.FAILED, StageState.SKIPPED
)  # fmt: skip


@pytest.mark.parametrize(
    ("states", "pending", "expected"),
    [
        (stages(WAITING, WAITING, WAITING), 3, ("generate", "")),  # jobs are left
        (stages(READY, WAITING, WAITING), 0, ("curate", "")),  # the last job is finished
        (stages(DONE, RUNNING, WAITING), 0, ("train", "")),
        (stages(DONE, DONE, READY), 0, ("evaluate", "")),
        (stages(DONE, DONE, DONE), 0, ("done", "")),
        (stages(DONE, SKIPPED, SKIPPED), 0, ("done", "")),  # the run ends with the dataset
        (stages(DONE, FAILED, WAITING, "no rows"), 0, ("failed", "train: no rows")),
        (stages(FAILED, SKIPPED, SKIPPED, "none kept"), 0, ("failed", "curate: none kept")),
    ],
)
def test_current_stage_of_a_run(states: tuple[StageView, ...], pending: int, expected: tuple[str, str]) -> None:
    assert current_stage(states, pending) == expected


@pytest.mark.parametrize(
    ("buckets", "now", "per_minute"),
    [
        ({}, 1000.0, 0.0),  # nothing finished yet
        ({100: 30}, 1060.0, 30.0),  # 30 in the minute since 1000 s
        ({100: 5}, 1001.0, 30.0),  # a new run is measured over at least ten seconds
        ({1: 99, 100: 60}, 1060.0, 60.0),  # jobs before the window do not count
    ],
)
def test_rate_counts_recent_jobs_per_minute(buckets: dict[int, int], now: float, per_minute: float) -> None:
    assert rate(buckets, now=now) == pytest.approx(per_minute)


@pytest.mark.parametrize(
    ("buckets", "per_minute"),
    [
        ({}, 0.0),  # nothing was finished
        ({100: 5}, 30.0),  # a bucket is ten seconds
        ({100: 20, 105: 10}, 30.0),  # one minute from the first bucket to the last; the current time does not matter
        ({1: 99, 1000: 20, 1005: 10}, 30.0),  # a generation hours before is not counted
        ({10: 10, 99: 20}, 2.0),  # a pause below PAUSE_SECONDS is part of the generation
    ],
)
def test_rate_of_a_finished_generation_is_its_mean(buckets: dict[int, int], per_minute: float) -> None:
    assert mean_rate(buckets) == pytest.approx(per_minute)


def worker_view(silent: float, *queues: str) -> WorkerView:
    return WorkerView("w", silent, {"queues": list(queues)})


@pytest.mark.parametrize(
    ("stage", "workers", "role"),
    [
        ("generate", [], "generate"),  # there are no workers
        ("generate", [worker_view(2, "generate")], ""),
        ("generate", [worker_view(300, "generate")], "generate"),  # silent for too long
        ("generate", [worker_view(2, "curate")], "generate"),  # alive, but consumes another queue
        ("generate", [worker_view(300, "generate"), worker_view(2, "generate", "curate")], ""),
        ("evaluate", [worker_view(2, "generate")], "train"),  # the role that consumes the stage's queue
        ("evaluate", [worker_view(2, "train")], ""),
        ("done", [], ""),  # a finished run needs no worker
        ("failed", [], ""),
    ],
)
def test_missing_role_of_a_run(stage: str, workers: list[WorkerView], role: str) -> None:
    assert missing_role(stage, workers) == role


def test_worker_names_may_contain_the_separator() -> None:
    assert per_worker({"a|b@host|generated": 2, "a|b@host|failed": 1}) == {"a|b@host": {"generated": 2, "failed": 1}}


def test_the_newest_heartbeat_of_a_host_says_who_has_its_device() -> None:
    def worker(name: str, silent: float, holder: str | None, *waiting: str) -> WorkerView:
        return WorkerView(name, silent, {"device": {"name": "metal", "holder": holder, "waiting": [*waiting]}})

    workers = [
        worker("generate1@mac", 1.9, "model server (generate1)"),
        worker("train@mac", 0.1, "training of night-1", "model server (generate1)"),
        worker("train@gone", 99.0, "training of night-0"),  # silent
        worker("train@idle", 0.1, None),
        WorkerView("curate@mac", 0.0, {}),  # loads no model
    ]
    row = {"host": "mac", "device": "metal", "holder": "training of night-1", "waiting": ["model server (generate1)"]}
    assert device_rows(workers) == [row]
    assert device_line(row) == "device metal of mac: training of night-1; waiting: model server (generate1)"
