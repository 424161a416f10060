"""Models of a run by hub id: pinned for all machines, recorded, named when missing, replaced by resubmit."""

import platform
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from config.ledger import Ledger
from config.ledger.fleet import LeaseRef
from config.ledger.jobs import Claim
from config.records import Prompt, Spec, StageState
from config.settings import Settings
from config.topology import Stage
from producer.commands.model_options import Students
from producer.commands.resubmit import with_students
from tests.integration.test_pull import TEMPLATE
from tests.support.hub_server import Hub, hub_server
from tests.support.tiny_student import make_tiny_student
from worker.endpoint.device_turn import DeviceTurn
from worker.endpoint.served_model import ServedModel
from worker.fleet.leases import Lease, Leases
from worker.generate.job import run_job, teacher_of
from worker.models.resolve import hub_name
from worker.stage_runner import StageRunner
from worker.stages.context import StageContext
from worker.tools.open_workspaces import OpenWorkspaces

PROMPT = Prompt(prompt="What is 6 times 7?", category="arithmetic", requires_tools=False)
RUN = "r"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    make_tiny_student(tmp_path / "published" / "org" / "name")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    published = Hub(tmp_path / "published")
    with hub_server(published) as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", TEMPLATE.format(url))
        yield published


def generated(ledger: Ledger, settings: Settings, **fields: object) -> Spec:
    """A run whose only job is done: the stage curate is ready."""
    spec = Spec(run_id=RUN, teacher="scripted", test_share=0, valid_share=0, **fields)
    job_id = ledger.create(spec, [PROMPT]).job_ids[0]
    claim = ledger.jobs.begin(RUN, job_id, worker="w", lease_seconds=30, delivery_limit=4)
    assert isinstance(claim, Claim)
    ledger.jobs.finish(
        run_job(spec, PROMPT, claim, ledger, settings, "w", opened=OpenWorkspaces()), worker="w", token=claim.token
    )
    return spec


def curated(ledger: Ledger, settings: Settings) -> str:
    """Run the stage curate; its error."""
    StageRunner(ledger, Leases(ledger.fleet, lease_seconds=30), settings, "w").run(RUN, Stage.CURATE)
    return ledger.stages.view(RUN, Stage.CURATE).error


def test_a_wrong_student_is_named_and_replaced_by_resubmit(hub: Hub, ledger: Ledger, tmp_path: Path) -> None:
    settings = Settings(dir=tmp_path / "data")
    spec = generated(ledger, settings, student="org/nmae", train=True)
    error = curated(ledger, settings)
    assert error.startswith(f"{platform.node()}: the hub has no model 'org/nmae'")
    assert "`applejack resubmit r --stage curate --student MODEL`" in error
    changed = with_students(ledger.run(RUN).spec, Students("org/name"))
    assert ledger.stages.reopen(RUN, Stage.CURATE, spec=changed) == "ready"
    assert curated(ledger, settings) == ""
    run = ledger.run(RUN)
    assert (run.spec.student, run.spec.trained_student, run.version) == ("org/name", "org/name", 2)
    assert ledger.stages.view(RUN, Stage.TRAIN).state is StageState.READY
    assert not ledger.create(spec, [PROMPT]).new  # the original submit is still this run


def test_the_first_stage_pins_the_revision_for_the_run(hub: Hub, ledger: Ledger, tmp_path: Path) -> None:
    settings = Settings(dir=tmp_path / "data")
    generated(ledger, settings, student="org/name", train=True)
    assert curated(ledger, settings) == ""
    assert hub.ranges == [("tokenizer.json", 0)]  # curation needs no weights
    manifest = (settings.runs / RUN / "dataset-v1" / "dataset.json").read_text()
    pin = ledger.pinned(RUN, "model:org/name")
    assert pin is not None
    assert '"student": "org/name"' in manifest
    assert f'"revision": "{pin.commit}"' in manifest
    refs = tmp_path / "home" / "hub" / "models--org--name" / "refs" / "main"
    refs.write_text("f" * 40)  # the branch has moved on since
    lease = Lease(LeaseRef(RUN, "stage:train", "token"), lambda _: True)
    context = StageContext(ledger, settings, "w", ledger.run(RUN), tmp_path, lease)
    assert hub_name(context.student(Stage.TRAIN)) == ("org/name", pin.commit)


def served_model(folder: Path, reasons: list[str]) -> ServedModel:
    """A worker's server of org/name, and the reasons for which the worker pauses."""
    turn = DeviceTurn("w", folder / "locks", grace_seconds=0)
    return ServedModel("org/name", folder / "server.log", reasons.append, reasons.append, turn)


def test_a_served_model_is_downloaded_before_its_server_starts(hub: Hub, tmp_path: Path) -> None:
    hub.bytes_per_second = 100_000
    reasons: list[str] = []
    served = served_model(tmp_path, reasons)
    served.ensure(lambda: pytest.fail("there is no server to check"))
    try:
        assert served.server is not None, reasons
        assert served.local is not None
        assert served.server.model == served.local.path  # a directory, so the server runs offline
        assert reasons[0].startswith("downloading org/name: 0.0 of 0.2 MB")
        assert reasons[-1] == "starting the server of org/name"
        assert served.downloads.status() is None
        teacher = teacher_of(Spec(run_id=RUN, model="org/name"), Settings(serve="org/name"), served=served.local)
        assert (teacher.name, teacher.revision) == ("org/name", served.local.revision)
    finally:
        served.stop()


def test_a_stopping_worker_ends_its_download(hub: Hub, tmp_path: Path) -> None:
    hub.bytes_per_second = 20_000  # seven seconds
    reasons: list[str] = []
    served = served_model(tmp_path, reasons)
    threading.Timer(0.5, served.cancel).start()
    served.ensure(lambda: pytest.fail("there is no server to check"))
    assert reasons[-1] == "the download of 'org/name' was stopped; `applejack pull org/name` continues it"
