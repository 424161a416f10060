"""Curation, training and evaluation whose worker or child is killed at any point, or whose disk is full.

Each is begun again by another worker process, and ends with the same files as without a fault.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.records import StageState
from config.topology import Stage, run_key
from producer.stack.redis_server import Server
from tests.support.faults import Fault, resize
from tests.support.fleet import until
from tests.support.night_of_stages import RUN, STAGES, Night, reconciled
from tests.support.small_disk import small_disk
from tests.support.stage_processes import StageProcesses

pytestmark = pytest.mark.timeout(300)

LEASE = 0.5  # seconds: a killed worker's stage is soon begun again
ENDED = Fault("worker.stage_runner:Outcome")  # done in the ledger, and the broker has not heard of it
UPLOADED = Fault("config.ledger.stages:Stages.finish")  # all files are in the ledger, and the stage is not done
REPORT = "config.ledger.stages:Stages.report"  # a line of progress
BASE = 2  # lines of progress: of the base model's two questions none, then one, is answered
TRAINER, SERVER = "worker.train.child", "worker.endpoint.serve_child"


@pytest.fixture(scope="module")
def night(redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    url, folder = redis_server.url.get_secret_value(), tmp_path_factory.mktemp("undisturbed")
    with ledger_client(url) as client, StageProcesses(folder / "log", url) as processes:
        yield Night(client, Ledger(client), processes, folder)


def upload(file: int) -> Fault:
    """In the middle of an upload, before one of its files."""
    return Fault("config.ledger.files:read_chunks", file)


KILLS = [
    pytest.param(
        Stage.CURATE,
        [
            Fault("worker.curate.pipeline:read_row", 5),  # reading
            Fault("worker.curate.replay:_compare", 4),  # replay
            Fault("worker.curate.dataset:write_rejected"),  # in mid-dataset
            Fault("config.ledger.ledger:Ledger.set_verdicts"),  # the dataset is written
            Fault("pathlib:Path.rename", 3),  # the old dataset is moved away, the new one not in its place
            Fault("config.ledger.files:Files.put"),  # the verdicts are stored
            upload(3),
            UPLOADED,
        ],
        id="curate",
    ),
    pytest.param(
        Stage.TRAIN,
        [
            Fault("config.ledger.files:Files._chunks", 2),  # in mid-download of the dataset
            Fault("worker.stages.work:report"),  # planned, nothing trained
            Fault("worker.stages.work:report", 6),  # after the second checkpoint
        ],
        id="train-iterations",
    ),
    pytest.param(
        Stage.TRAIN,
        [
            Fault("worker.train.trainer:write_adapter"),  # trained
            Fault("shutil:copyfile", 2),  # in mid-adapter
        ],
        id="train-adapter",
    ),
    pytest.param(
        Stage.TRAIN,
        [
            Fault("worker.train.checkpoints:remove", 2),  # the adapter is written, its checkpoints are still there
            Fault("config.ledger.files:Files.put"),
            upload(2),
            UPLOADED,
        ],
        id="train-upload",
    ),
    pytest.param(
        Stage.EVALUATE,
        [
            Fault("config.ledger.files:Files._chunks", 3),  # in mid-download
            Fault("worker.evaluate.checkpoint_choice:_lay_out", 2),  # one of two checkpoints is scored
            Fault("worker.evaluate.checkpoint_choice:write_text", 3),  # its weights are chosen, the choice not written
            upload(2),  # of the chosen weights
        ],
        id="evaluate-choice",
    ),
    pytest.param(
        Stage.EVALUATE,
        [
            Fault("worker.endpoint.model_server:ModelServer._wait_until_ready"),  # the server loads the base model
            Fault(REPORT, BASE),  # one of two questions is answered
        ],
        id="evaluate-base",
    ),
    pytest.param(
        Stage.EVALUATE,
        [
            Fault("worker.evaluate.evaluator:prove_different"),  # proof of the weights
            Fault("config.report.model:write_text", 2),  # report.md is written, report.json is not
            UPLOADED,
        ],
        id="evaluate-adapter",
    ),
]


@pytest.mark.parametrize(("stage", "faults"), KILLS)
def test_a_stage_whose_worker_is_killed_is_begun_again_and_ends_with_the_same_files(
    night: Night, stage: Stage, faults: list[Fault], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    night.restore(stage)
    if stage is Stage.EVALUATE and "choice" not in request.node.name:
        night.copy_scores(tmp_path)
    for fault in faults:
        assert night.processes.run(RUN, stage, tmp_path, fault=fault, lease=LEASE) == -signal.SIGKILL, fault
        assert night.ledger.stages.view(RUN, stage).state is StageState.RUNNING
        assert until(lambda: reconciled(night), "begun again") == {(stage.value, RUN)}
        night.client.hset(run_key(RUN, f"stage:{stage}"), "deliveries", 0)  # more kills than starts are allowed
    assert night.processes.run(RUN, stage, tmp_path, fault=ENDED, lease=LEASE) == -signal.SIGKILL
    night.require_same(stage)
    lost = [event.event for event in night.ledger.stages.view(RUN, stage).history].count("lost")
    assert lost == len(faults)
    following = STAGES[STAGES.index(stage) + 1 :][:1]
    assert reconciled(night) == {(after.value, RUN) for after in following}  # the dead worker did not send it
    assert not list(tmp_path.rglob("*.partial")), "files of a killed attempt are left"


@pytest.mark.parametrize(
    ("stage", "fault", "reason"),
    [
        pytest.param(
            Stage.TRAIN,
            Fault("worker.stages.work:report", 6, "kill child", TRAINER),
            "was killed (SIGKILL)",
            id="trainer",
        ),
        pytest.param(Stage.EVALUATE, Fault(REPORT, BASE, "kill child", SERVER), "cannot be reached", id="server"),
    ],
)
def test_a_stage_whose_child_is_killed_fails_with_its_reason_and_ends_the_same_when_resubmitted(
    night: Night, stage: Stage, fault: Fault, reason: str, tmp_path: Path
) -> None:
    night.restore(stage)
    if stage is Stage.EVALUATE:
        night.copy_scores(tmp_path)
    assert night.processes.run(RUN, stage, tmp_path, fault=fault) == 0  # its worker goes on
    view = night.ledger.stages.view(RUN, stage)
    assert view.state is StageState.FAILED
    assert reason in view.error
    assert "\n" not in view.error
    assert night.ledger.stages.reopen(RUN, stage) == "ready"
    assert night.processes.run(RUN, stage, tmp_path) == 0
    night.require_same(stage)


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        pytest.param(Stage.CURATE, Fault("worker.curate.dataset:write_rejected", 1, "fill"), id="curate-writing"),
        pytest.param(Stage.TRAIN, Fault("worker.train.trainer:reports", 1, "fill", free=20_000), id="train-checkpoint"),
        pytest.param(Stage.TRAIN, Fault("worker.train.trainer:write_adapter", 1, "fill"), id="train-adapter"),
        pytest.param(Stage.EVALUATE, Fault(REPORT, BASE, "fill"), id="evaluate"),
    ],
)
def test_a_full_disk_fails_the_stage_with_its_place_and_the_stage_ends_the_same_when_resubmitted(
    night: Night, stage: Stage, fault: Fault, tmp_path: Path
) -> None:
    """Fails without StageRunner._full_disk: the error is "internal: OSError: [Errno 28] No space left on device"."""
    night.restore(stage)
    with small_disk(tmp_path / "disk") as disk:
        if stage is Stage.EVALUATE:
            night.copy_scores(disk)
        assert night.processes.run(RUN, stage, disk, fault=fault) == 0  # its worker goes on
        view = night.ledger.stages.view(RUN, stage)
        assert view.state is StageState.FAILED
        assert f"; 0 MB free in {str(disk / 'runs' / RUN)!r}: free some, then" in view.error
        assert f"`applejack resubmit {RUN} --stage {stage}`" in view.error
        assert "internal" not in view.error
        assert "\n" not in view.error
        resize(disk)
        assert night.ledger.stages.reopen(RUN, stage) == "ready"
        assert night.processes.run(RUN, stage, disk) == 0
        night.require_same(stage)
