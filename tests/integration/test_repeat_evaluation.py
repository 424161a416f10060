"""A run's report and `applejack evaluate` on its files agree: real Redis, real tools, real mlx at temperature 0."""

import json
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.jobs import Claim
from config.ledger.stages import StageClaim
from config.records import Adapter, JsonObject, Limits, Prompt, Spec, Trajectory
from config.report.model import Report
from config.settings import Settings
from config.topology import Stage
from producer import enqueue
from producer.fetch import fetch
from producer.mining.mine import mine
from producer.mining.unseen import unseen_prompts
from tests.support.tiny_adapter import make_tiny_adapter
from tests.support.tiny_student import make_tiny_student
from worker.cli.__main__ import main
from worker.fleet.leases import Leases
from worker.generate.job import run_job
from worker.stage_runner import StageRunner
from worker.tools.open_workspaces import OpenWorkspaces

CODE = Path(__file__).resolve().parents[2] / "config"
MEASURED = {"seconds_per_prompt", "query_time"}  # differ between two runs of the same evaluation
PROMPT = "Look first."
CATEGORIES = ("where_defined", "count_matches", "constant")


@pytest.fixture
def runner(ledger: Ledger, redis_url: SecretStr, tmp_path: Path) -> StageRunner:
    settings = Settings(redis_url=redis_url, dir=tmp_path / "home")
    return StageRunner(ledger, Leases(ledger.fleet, lease_seconds=60), settings, "w")


def generated(runner: StageRunner, spec: Spec, prompts: list[Prompt], *, unseen: list[Prompt]) -> None:
    """Run every job of a run with the scripted teacher and real tools."""
    ledger, opened = runner.ledger, OpenWorkspaces()
    enqueue.submit(ledger, runner.settings, spec, prompts, unseen=unseen)
    for job_id, prompt in zip(ledger.jobs.ids(spec.run_id), prompts, strict=True):
        claim = ledger.jobs.begin(spec.run_id, job_id, worker="w", lease_seconds=60, delivery_limit=4)
        assert isinstance(claim, Claim)
        made = run_job(spec, prompt, claim, ledger, runner.settings, "w", opened=opened)
        ledger.jobs.finish(made, worker="w", token=claim.token)


def trained(runner: StageRunner, run_id: str, student: Path) -> None:
    """Put an adapter in the place of a training."""
    ledger = runner.ledger
    claim = ledger.stages.begin(run_id, Stage.TRAIN, worker="w", lease_seconds=60)
    assert isinstance(claim, StageClaim)
    dataset_hash = str(ledger.stages.view(run_id, Stage.CURATE).result["content_hash"])
    adapter = Adapter(
        path="adapter", student=str(student), dataset_hash=dataset_hash, iterations=3, peak_memory_gb=1.5,
        tokens_per_second=9.0, seconds=2.0,
    )  # fmt: skip
    folder = make_tiny_adapter(runner.settings.runs / run_id / "adapter-v1", strength=1)
    (folder / "adapter.json").write_text(adapter.model_dump_json())
    ledger.files.put(run_id, "adapter", folder)
    ledger.stages.finish(claim, result=adapter.model_dump(mode="json"))


def evaluated(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `applejack evaluate` in this process."""
    monkeypatch.setattr(sys, "argv", ["worker.cli", "evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def answers(folder: Path, phase: str) -> list[JsonObject]:
    read = [Trajectory.model_validate_json(line) for line in (folder / f"{phase}.jsonl").read_text().splitlines()]
    fields = {"job_id", "prompt", "system_prompt", "tools", "messages", "finish_reasons", "failure", "expect"}
    return [one.model_dump(mode="json", include=fields) for one in read]


def scores(report: Report) -> JsonObject:
    body = report.model_dump(mode="json", exclude={"adapter"})
    for metrics in (body["before"], body["after"], body["unseen"]["before"], body["unseen"]["after"]):
        for measured in MEASURED:
            del metrics[measured]
    return body


@pytest.mark.timeout(180)
def test_evaluate_on_the_fetched_files_repeats_the_report_of_the_run(
    runner: StageRunner, redis_url: SecretStr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, ledger = make_tiny_student(tmp_path / "student"), runner.ledger
    spec = Spec(
        run_id="r", workspace=str(CODE), teacher="scripted", student=str(student), dataset_format="turns",
        tools=("grep", "count"), system_prompt=PROMPT, max_seq_length=4096, test_share=0.3, valid_share=0.1,
        evaluate_prompts=5, evaluate_limits=Limits(requests=2, max_tokens=5, seconds=60),
    )  # fmt: skip
    prompts = mine([CODE], count=30, seed=1, categories=CATEGORIES)
    generated(runner, spec, prompts, unseen=unseen_prompts(prompts, spec, count=3))
    assert str(runner.run("r", Stage.CURATE)) == "done"
    trained(runner, "r", student)
    runner.run("r", Stage.EVALUATE)
    view = ledger.stages.view("r", Stage.EVALUATE)
    assert view.error == ""
    of_run = Report.model_validate(view.result)

    files = tmp_path / "fetched"
    fetch(ledger, "r", files)
    monkeypatch.setenv("APPLEJACK_DIR", str(tmp_path / "elsewhere"))
    adapter, out = files / "adapter", tmp_path / "by-hand"
    evaluated(files / "dataset", "--student", student, "--adapter", adapter, "--out", out, monkeypatch=monkeypatch)
    by_hand = Report.read(out)
    for phase in ("before", "after"):
        assert answers(out, phase) == answers(files / "report", phase)
    assert scores(by_hand) == scores(of_run)

    assert of_run.before is not None
    assert of_run.unseen is not None
    assert of_run.unseen.before is not None
    assert (of_run.before.prompts, of_run.unseen.before.prompts) == (5, 3)  # each set has its own figures
    assert of_run.unseen.workspace.startswith("package:kombu@")
    assert of_run.unseen.digest
    asked = answers(out, "before")
    assert {one["system_prompt"] for one in asked} == {PROMPT}
    assert [len(one["tools"]) for one in asked] == [2] * 8
    assert [str(one["job_id"])[:6] for one in asked[5:]] == ["unseen"] * 3
    recorded = json.loads((files / "dataset" / "evaluation.json").read_text())
    assert str(tmp_path) not in json.dumps(recorded)
