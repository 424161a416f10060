"""Lies that an evaluation must name instead of printing a score, each planted in front of a real mlx_lm server.

docs/evaluation-lies.md lists them with what the product says.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from safetensors.numpy import load_file, save_file

from config.errors import EvaluationError
from config.records import Adapter, Limits, Pin, Prompt, Spec
from config.report.model import Report
from tests.support.tiny_adapter import make_tiny_adapter
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set
from worker.endpoint.model_server import ModelServer
from worker.evaluate.evaluator import evaluate
from worker.stages.context import StageContext
from worker.stages.work import evaluate_run
from worker.tools.workspace import Workspace

SPEC = Spec(run_id="lies", tools=("grep",), evaluate_limits=Limits(requests=1, max_tokens=4, seconds=60))
PROMPT = Prompt(prompt="Where is Task?", expect={"contains": ["app.py"]})
Evaluate = Callable[[Path], Report]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same shape and name with other weights."""
    made = make_tiny_student(tmp_path_factory.mktemp("other"))
    weights = load_file(made / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"] *= 1.5
    save_file(weights, made / "model.safetensors", metadata={"format": "mlx"})
    return made


@pytest.fixture
def evaluated(student: Path, tmp_path: Path) -> Evaluate:
    """evaluated(adapter) -> the report, or the error in place of a report."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("class Task: ...\n")
    code = Workspace(tmp_path / "code", Pin(origin="code"))

    def run(adapter: Path) -> Report:
        return evaluate(
            [PROMPT],
            spec=SPEC,
            student=student,
            adapter=adapter,
            workspace_for=lambda _: code,
            out=tmp_path / "out",
            on_progress=lambda *_: None,
            worker="test",
        )

    return run


def error_of(evaluated: Evaluate, adapter: Path, tmp_path: Path) -> str:
    """The one line in place of a score."""
    with pytest.raises(EvaluationError) as raised:
        evaluated(adapter)
    assert not (tmp_path / "out" / "report.json").exists()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def serving(monkeypatch: pytest.MonkeyPatch, change: Callable[[ModelServer], None]) -> None:
    """Plant: the server is started with something else than the evaluation asked for."""
    spawn = ModelServer._spawn

    def planted(self: ModelServer) -> None:
        model, adapter = self.model, self.adapter
        change(self)
        spawn(self)
        self.model, self.adapter = model, adapter

    monkeypatch.setattr(ModelServer, "_spawn", planted)


def test_no_score_when_the_server_has_other_weights_than_the_student(
    evaluated: Evaluate, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the adapter's server: base and adapter then answer differently, as canary questions want it."""

    def swap(server: ModelServer) -> None:
        if server.adapter:
            server.model = other

    serving(monkeypatch, swap)
    told = error_of(evaluated, make_tiny_adapter(tmp_path / "adapter", strength=1), tmp_path)
    assert f"the server loaded {str(other)!r}, whose files are not those of" in told


def test_no_score_when_the_adapter_is_left_out(
    evaluated: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drop(server: ModelServer) -> None:
        server.adapter = None

    serving(monkeypatch, drop)
    told = error_of(evaluated, make_tiny_adapter(tmp_path / "adapter", strength=1), tmp_path)
    assert "alone, not as" in told
    assert str(tmp_path / "adapter") in told


def test_no_score_when_another_adapter_is_served(
    evaluated: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = make_tiny_adapter(tmp_path / "earlier", strength=2)

    def swap(server: ModelServer) -> None:
        server.adapter = earlier if server.adapter else None

    serving(monkeypatch, swap)
    told = error_of(evaluated, make_tiny_adapter(tmp_path / "adapter", strength=1), tmp_path)
    assert f"with the adapter {str(earlier)!r}, not as" in told


def test_no_score_when_the_prompts_are_asked_by_the_models_own_path(
    evaluated: Evaluate, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The canary questions get the adapter and pass; mlx_lm answers the prompts without it."""
    monkeypatch.setattr("worker.evaluate.evaluator.DEFAULT_MODEL", str(student.resolve()))
    told = error_of(evaluated, make_tiny_adapter(tmp_path / "adapter", strength=1), tmp_path)
    assert "alone, not as" in told
    assert "only requests for 'default_model' get the adapter" in told


@pytest.mark.parametrize("emptied", ["zeros", "no tensors", "other names"])
def test_no_score_when_the_adapter_changes_nothing(emptied: str, evaluated: Evaluate, tmp_path: Path) -> None:
    adapter = make_tiny_adapter(tmp_path / "adapter", strength=0 if emptied == "zeros" else 1)
    file = adapter / "adapters.safetensors"
    if emptied == "no tensors":
        save_file({}, file)
    elif emptied == "other names":
        save_file({f"transformer.{name}": weights for name, weights in load_file(file).items()}, file)
    told = error_of(evaluated, adapter, tmp_path)
    assert "no score" in told or "cannot load or run the model" in told
    assert str(adapter) in told


def test_no_score_for_an_adapter_file_without_bytes(evaluated: Evaluate, tmp_path: Path) -> None:
    adapter = make_tiny_adapter(tmp_path / "adapter", strength=1)
    (adapter / "adapters.safetensors").write_bytes(b"")
    told = error_of(evaluated, adapter, tmp_path)
    assert "cannot load or run the model" in told
    assert str(adapter) in told


def test_honest_adapter_gets_its_score_and_the_server_records_what_it_loaded(
    evaluated: Evaluate, student: Path, tmp_path: Path
) -> None:
    """The guards above do not refuse everything."""
    adapter = make_tiny_adapter(tmp_path / "adapter", strength=1)
    assert evaluated(adapter).after is not None
    loads = (tmp_path / "out" / "after-server-loads.jsonl").read_text().splitlines()
    assert [(json.loads(line)["model"], json.loads(line)["adapter"]) for line in loads] == [
        (str(student.resolve()), str(adapter.resolve()))
    ]


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """A dataset whose held-out prompt is also the question of its third training row."""
    dataset = make_training_set(tmp_path / "dataset")
    prompt = Prompt(prompt="How many files are in part2?", expect={"number": 3}, job_id="000002-aaaaaaaa")
    (dataset / "held_out.jsonl").write_text(prompt.model_dump_json() + "\n")
    return dataset


def test_evaluate_prints_no_score_when_a_held_out_prompt_was_trained_on(
    leaking: Path, student: Path, tmp_path: Path
) -> None:
    adapter = make_tiny_adapter(tmp_path / "adapter", strength=1)
    options = ["--student", str(student), "--adapter", str(adapter), "--out", str(tmp_path / "out"), "--json"]
    command = [sys.executable, "-P", "-m", "worker.cli", "evaluate", str(leaking), *options, "--workspace", "."]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert "no score: 1 of 1 prompts were trained on" in line
    assert "'How many files are in part2?' (line 3)" in line
    assert json.loads(done.stdout)["exit_code"] == 1
    assert not (tmp_path / "out").exists()


def test_stage_of_a_run_gives_no_score_when_a_held_out_prompt_was_trained_on(
    leaking: Path, student: Path, tmp_path: Path
) -> None:
    places = {"dataset": leaking, "adapter": make_tiny_adapter(tmp_path / "adapter", strength=1)}
    trained = Adapter(
        path="", student="", dataset_hash="", iterations=1, peak_memory_gb=1.0, tokens_per_second=1.0, seconds=1.0
    )
    view = SimpleNamespace(result=trained.model_dump(mode="json"))
    context = SimpleNamespace(
        ledger=SimpleNamespace(stages=SimpleNamespace(clear_progress=lambda *_: None, view=lambda *_: view)),
        settings=None,
        run_id="lies",
        run=SimpleNamespace(spec=SPEC),
        place=places.__getitem__,
        copy=places.__getitem__,
        student=lambda _: student,
    )
    with pytest.raises(EvaluationError, match="1 of 1 prompts were trained on"):
        evaluate_run(cast("StageContext", context))
