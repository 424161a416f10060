"""Several adapters of one run: trained again with other hyperparameters, listed, fetched and compared."""

import json
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.records import Adapter, JsonObject, Prompt, Spec, TrainProgress, Trajectory
from config.report.model import Metrics, Report
from config.topology import Stage
from producer.cli import main
from producer.report.tracker.document import read
from producer.run_status import status

RUN = "night-1"


def applejack(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[object, str, str]:
    monkeypatch.setattr(sys, "argv", ["applejack", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def begun(ledger: Ledger, stage: Stage) -> StageClaim:
    claim = ledger.stages.begin(RUN, stage, worker="w", lease_seconds=60)
    assert isinstance(claim, StageClaim)
    return claim


def trained(ledger: Ledger, place: Path, loss: float, answered: int) -> None:
    """End train and evaluate as a worker does, with files."""
    adapter = Adapter(
        path="adapter",
        student="tiny",
        dataset_hash="abc",
        iterations=20,
        losses=(TrainProgress(iteration=20, iterations=20, train_loss=loss),),
        peak_memory_gb=1.0,
        tokens_per_second=9.0,
        seconds=3.0,
    )
    made = Report(run_id=RUN, student="tiny", after=Metrics(prompts=answered), identity="proven").with_training(adapter)
    for name in ("adapter", "report"):
        (place / name).mkdir(parents=True, exist_ok=True)
    (place / "adapter" / "adapter.json").write_text(adapter.model_dump_json())
    made.write(place / "report")
    claim = begun(ledger, Stage.TRAIN)
    ledger.files.put(RUN, "adapter", place / "adapter")
    ledger.stages.finish(claim, result=adapter.model_dump(mode="json"))
    claim = begun(ledger, Stage.EVALUATE)
    ledger.files.put(RUN, "report", place / "report")
    ledger.stages.finish(claim, result=made.model_dump(mode="json"))


@pytest.fixture
def ended(ledger: Ledger, tmp_path: Path) -> Ledger:
    """A run with one adapter and its report."""
    spec = Spec(run_id=RUN, student="tiny", dataset_format="turns", lora={"iters": 20, "learning_rate": 1e-4})
    (job_id,) = ledger.create(spec, [Prompt(prompt="q")]).job_ids
    ledger.jobs.begin(RUN, job_id, worker="w", lease_seconds=60, delivery_limit=3)
    ledger.jobs.finish(Trajectory(run_id=RUN, job_id=job_id, prompt="q", outcome="completed"), worker="w")
    ledger.stages.finish(begun(ledger, Stage.CURATE), result={"kept": 1, "rejected": 0})
    trained(ledger, tmp_path / "first", loss=0.4, answered=5)
    return ledger


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, redis_url: SecretStr, tmp_path: Path) -> None:
    monkeypatch.setenv("APPLEJACK_REDIS_URL", redis_url.get_secret_value())
    monkeypatch.chdir(tmp_path)


def test_resubmit_with_other_hyperparameters_keeps_both_adapters(
    ended: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(*arguments: str) -> tuple[JsonObject, str]:
        code, out, err = applejack(capsys, monkeypatch, *arguments, "--json")
        assert code == 0, err
        return json.loads(out.splitlines()[-1]), err

    body, _ = run("resubmit", RUN, "--stage", "train", "--lora", "learning_rate=5e-5", "--lora", "epochs=2")
    assert body["stages"] == ["train", "evaluate"]
    view = ended.run(RUN)
    assert (view.version, view.spec.lora) == (2, {"learning_rate": 5e-5, "epochs": 2})  # epochs take the place of iters
    trained(ended, tmp_path / "second", loss=0.3, answered=7)

    body, text = run("status", RUN)
    adapters = body["adapters"]
    assert isinstance(adapters, list)
    assert [[found[name] for name in ("version", "current", "train_loss", "report")] for found in adapters] == [
        [1, False, 0.4, True],
        [2, True, 0.3, True],
    ]
    text = " ".join(text.split())  # wrapped at 80 columns
    assert "adapter night-1@v1: 20 iterations, loss 0.400, iters=20, learning_rate=0.0001, with a report" in text
    assert "adapter night-1@v2 (newest): 20 iterations, loss 0.300, learning_rate=5e-05, epochs=2" in text

    body, _ = run("compare", f"{RUN}@v1", RUN)
    metrics = body["metrics"]
    assert isinstance(metrics, dict)
    assert [metrics[name]["after"]["prompts"] for name in (f"{RUN}@v1", RUN)] == [5, 7]
    body, _ = run("report", f"{RUN}@v2")
    assert (body["metrics"]["run_id"], body["metrics"]["after"]["prompts"]) == ("night-1@v2", 7)

    run("fetch", RUN, "--out", "here")
    run("fetch", RUN, "--out", "here")  # an earlier fetch is no obstacle
    run("archive", RUN, "--keep", "--out", "kept")
    for place in (tmp_path / "here", tmp_path / "kept"):
        assert Report.read(place / "report@v1").after == Metrics(prompts=5)
        assert Report.read(place / "report").after == Metrics(prompts=7)
        first, second = (Adapter.model_validate_json((place / name / "adapter.json").read_text()) for name in
                         ("adapter@v1", "adapter"))  # fmt: skip
        assert (first.losses[0].train_loss, second.losses[0].train_loss) == (0.4, 0.3)
    assert json.loads((tmp_path / "kept" / "adapters.json").read_text())[0]["lora"]["learning_rate"] == 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resubmit", RUN, "--lora", "iters=3"), "--lora needs --stage train"),
        (("resubmit", RUN, "--stage", "evaluate", "--lora", "iters=3"), "--lora needs --stage train"),
        (("resubmit", RUN, "--stage", "train", "--lora", "iter=3"), "mlx_lm has no hyperparameter 'iter'"),
        (("resubmit", RUN, "--stage", "train", "--lora", "iters=20"), "has been trained with iters=20 already"),
        (("report", f"{RUN}@v7"), "run 'night-1' has no adapter v7; its adapters: v1"),
        (("compare", RUN, f"{RUN}@2"), "'night-1@2' is not RUN or RUN@vN"),
        (("report", "nothing@v1"), "there is no run 'nothing'"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(
    arguments: tuple[str, ...],
    message: str,
    ended: Ledger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, _, err = applejack(capsys, monkeypatch, *arguments)
    assert (code, len(err.splitlines())) == (2, 1)
    assert message in err
    assert (ended.run(RUN).version, status(ended, RUN).stage) == (1, "done")


def test_an_adapter_that_is_being_evaluated_is_not_trained_again(
    ended: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its report would be lost: its evaluation would end as stale."""
    assert ended.stages.reopen(RUN, Stage.EVALUATE) == "ready"
    begun(ended, Stage.EVALUATE)
    code, _, err = applejack(capsys, monkeypatch, "resubmit", RUN, "--stage", "train", "--lora", "iters=3")
    assert code == 2
    assert "is being evaluated" in err
    assert ended.run(RUN).version == 1


def test_status_shows_loss_speed_memory_and_time_left_of_a_running_training(
    ended: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert ended.stages.reopen(RUN, Stage.TRAIN) == "ready"
    begun(ended, Stage.TRAIN)
    ended.fleet.heartbeat("train@gpu", {"queues": ["train"]})
    ended.stages.clear_progress(RUN, Stage.TRAIN)
    for iteration, seconds in ((0, 10.0), (120, 310.0)):
        progress = TrainProgress(
            iteration=iteration,
            iterations=207,
            train_loss=0.4123,
            tokens_per_second=148.4,
            peak_memory_gb=1.44,
            seconds=seconds,
        )
        ended.stages.report(RUN, Stage.TRAIN, progress)
    code, out, _ = applejack(capsys, monkeypatch, "status", RUN)
    assert code == 0
    assert out.startswith("night-1 is training: iteration 120 of 207, about 4 minutes left.\n")
    assert "\ntraining: iteration 120 of 207, loss 0.412, 148 tokens/s, 1.4 GB, 4 min left  ▁▁\n" in out
    assert ", train running, then evaluate " in " ".join(out.split())  # without the seconds of the training before
    _, out, _ = applejack(capsys, monkeypatch, "status", RUN, "--json")
    training = json.loads(out.splitlines()[-1])["training"]
    assert (training["iteration"], training["train_loss"], training["seconds_left"]) == (120, 0.4123, 217.5)
    assert (training["tokens_per_second"], training["peak_memory_gb"]) == (148.4, 1.44)


def test_the_tracker_has_a_row_for_each_adapter(
    ended: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "first" / "adapter" / "adapters.safetensors"
    weights.write_text("first")
    ended.files.put(RUN, "adapter", weights.parent)
    track = ("--tracker", "T.md")
    assert applejack(capsys, monkeypatch, "report", RUN, *track)[0] == 0
    [first] = read(tmp_path / "T.md").rows
    applejack(capsys, monkeypatch, "resubmit", RUN, "--stage", "train", "--lora", "learning_rate=2e-4")
    trained(ended, tmp_path / "second", loss=0.2, answered=6)
    assert applejack(capsys, monkeypatch, "report", RUN, *track)[0] == 0
    text = (tmp_path / "T.md").read_text()
    assert "- changed: learning_rate: 0.0001 -> 0.0002\n" in text
    assert [row.adapter for row in read(tmp_path / "T.md").rows] == [first.adapter, "v2"]
    assert applejack(capsys, monkeypatch, "report", f"{RUN}@v1", *track)[0] == 0  # the same adapter as before
    assert (tmp_path / "T.md").read_text() == text
