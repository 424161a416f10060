"""`applejack report R --tracker FILE` on a real ledger: what a row holds, and that it outlives its run."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.records import JsonObject, Prompt, Provenance, Spec, Trajectory, Verdict
from config.report.model import Report
from config.topology import Stage
from producer.cli import main
from producer.report.tracker.document import read
from tests.support.rich_report import adapter, rich_report

Command = Callable[..., tuple[object, str, str]]


@pytest.fixture
def applejack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_url: SecretStr, tmp_path: Path
) -> Command:
    """applejack(*arguments) -> exit code, stdout, stderr; in this process, on the test's server and directory."""
    monkeypatch.setenv("APPLEJACK_REDIS_URL", redis_url.get_secret_value())
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["applejack", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def evaluated_run(ledger: Ledger, run_id: str, folder: Path, *, rate: float, report: Report | None = None) -> None:
    """A run with one job whose stages are done, with an adapter of this learning rate."""
    [job_id] = ledger.create(Spec(run_id=run_id, tools=("grep",)), [Prompt(prompt="q")]).job_ids
    ledger.jobs.begin(run_id, job_id, worker="w", lease_seconds=9, delivery_limit=3)
    made_by = Provenance(teacher="Qwen3-Coder", endpoint="e", worker="w", applejack_version="0.9.9", toolset_digest="d")
    given = Trajectory(run_id=run_id, job_id=job_id, prompt="q", outcome="completed", provenance=made_by)
    ledger.jobs.finish(given, worker="w")
    ledger.set_verdicts(run_id, [Verdict(job_id=job_id)])
    results: dict[Stage, JsonObject] = {
        Stage.CURATE: {"kept": 1},
        Stage.TRAIN: adapter().model_dump(mode="json"),
        Stage.EVALUATE: (report or rich_report(run_id)).model_dump(mode="json"),
    }
    for stage, result in results.items():
        claim = ledger.stages.begin(run_id, stage, worker="w", lease_seconds=9)
        assert isinstance(claim, StageClaim), (stage, claim)
        ledger.stages.finish(claim, result=result)
    trained, answered = folder / run_id / "adapter", folder / run_id / "report"
    trained.mkdir(parents=True)
    answered.mkdir()
    (trained / "adapters.safetensors").write_text(f"weights of {run_id}")
    recipe = {"hyperparameters": {"learning_rate": rate, "lora_parameters": {"rank": 8}}}
    (trained / "recipe.json").write_text(json.dumps(recipe))
    (answered / "after.jsonl").write_text(given.model_dump_json() + "\n")
    ledger.files.put(run_id, "adapter", trained)
    ledger.files.put(run_id, "report", answered)


def test_rows_stay_when_their_run_has_left_the_ledger(applejack: Command, ledger: Ledger, tmp_path: Path) -> None:
    evaluated_run(ledger, "night-1", tmp_path, rate=1e-4)
    assert applejack("report", "night-1", "--tracker", "T.md")[0] == 0
    [first] = read(tmp_path / "T.md").rows
    assert first.settings["learning_rate"] == "0.0001"
    assert first.settings["lora_parameters.rank"] == "8"
    assert first.settings["teacher"] == "Qwen3-Coder"
    assert first.settings["applejack"] == "0.9.9"
    assert first.dataset == adapter().dataset_hash
    assert len(first.adapter) == 12

    ledger.remove("night-1")
    evaluated_run(ledger, "night-2", tmp_path, rate=2e-4)
    code, out, _ = applejack("report", "night-2", "--tracker", "T.md", "--html", "P.html", "--json")
    assert code == 0
    assert [row.run_id for row in read(tmp_path / "T.md").rows] == ["night-1", "night-2"]
    text = (tmp_path / "T.md").read_text()
    assert "- changed: learning_rate: 0.0001 -> 0.0002\n" in text
    body = json.loads(out.splitlines()[-1])
    assert (body["tracker"], body["html"]) == ("T.md", "P.html")
    assert [one["reached"] for one in body["verdict"]] == [
        True,
        False,
        False,
        False,
        True,
        True,
        False,
    ]  # real answers, some ran away
    assert (tmp_path / "P.html").read_text().startswith("<!doctype html>")

    applejack("report", "night-2", "--tracker", "T.md")
    assert (tmp_path / "T.md").read_text() == text


def test_a_file_of_the_users_is_refused_in_one_line(applejack: Command, ledger: Ledger, tmp_path: Path) -> None:
    evaluated_run(ledger, "night-1", tmp_path, rate=1e-4)
    (tmp_path / "NOTES.md").write_text("# Mine\n")
    code, out, err = applejack("report", "night-1", "--tracker", "NOTES.md", "--html", "P.html")
    assert code == 2
    assert "'NOTES.md' is not a tracker" in err
    assert len(err.splitlines()) == 1
    assert out == ""
    assert (tmp_path / "NOTES.md").read_text() == "# Mine\n"
    assert not (tmp_path / "P.html").exists()
