"""What curation holds out and records for the evaluation."""

import json
from pathlib import Path

import pytest

from config.errors import UsageError
from config.records import Limits, Prompt, Spec, Trajectory
from tests.support.tiny_student import make_tiny_student
from tests.support.trajectories import from_memory, looked_up
from worker.curate.audit import audit
from worker.curate.evaluation import Evaluation, RecordedSettings
from worker.curate.options import Options
from worker.curate.pipeline import Curated, curate
from worker.evaluate.repeat import Overrides, Repeat

SPEC = Spec(
    run_id="night-1",
    workspace="https://user:secret@example.org/shop.git@v1",
    tools=("grep",),
    system_prompt="Look.",
    evaluate_prompts=9,
    evaluate_limits=Limits(requests=3),
)
UNSEEN = [Prompt(prompt=f"Where is Thing{n}?", category="where_defined", workspace="package:kombu@5") for n in range(3)]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


def on_code(number: int, origin: str, **fields: object) -> Trajectory:
    provenance = {
        "teacher": "t", "endpoint": "e", "worker": "w", "applejack_version": "0", "toolset_digest": "d",
        "workspace": {"origin": origin, "commit": "c" * 40, "dirty": number % 2 == 0},
    }  # fmt: skip
    return looked_up(number, provenance=provenance, **fields)


def run(trajectories: list[Trajectory], out: Path, student: Path, **fields: object) -> Curated:
    return curate(
        trajectories, out=out, options=Options(format="turns"), student=student,
        evaluation=Evaluation(SPEC, UNSEEN), **fields,
    )  # type: ignore[arg-type]  # fmt: skip


def test_the_dataset_of_a_run_records_how_it_is_evaluated(tmp_path: Path, student: Path) -> None:
    sample = [on_code(n, "https://example.org/shop.git") for n in range(30)]
    hashes = {run(sample[::step], tmp_path / str(step), student).summary.content_hash for step in (1, -1)}
    for name in ("evaluation.json", "unseen.jsonl"):  # in any order of the input
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "-1" / name).read_bytes()
    plain = curate(sample, out=tmp_path / "plain", options=Options(format="turns"), student=student)
    assert hashes == {plain.summary.content_hash}  # no part of it

    found = RecordedSettings.read(tmp_path / "1")
    assert found is not None
    assert "secret" not in (tmp_path / "1" / "evaluation.json").read_text()
    spec = found.run()
    fields = ("run_id", "tools", "system_prompt", "evaluate_prompts", "evaluate_limits", "allow_commands")
    assert [getattr(spec, name) for name in fields] == [getattr(SPEC, name) for name in fields]
    assert spec.workspace == "https://example.org/shop.git@v1"
    assert [pin.commit for pin in found.pins] == ["c" * 40]
    assert found.pin("https://example.org/shop.git@v1") == found.pins[0]
    assert found.pin("https://example.org/other.git@v1") is None
    assert audit([tmp_path / "1"]).as_json()["leaked_questions"] == {
        "train-valid": 0, "train-test": 0, "valid-test": 0,
    }  # fmt: skip


def test_a_dataset_that_is_not_of_a_run_has_no_settings(tmp_path: Path, student: Path) -> None:
    curate([looked_up(n) for n in range(9)], out=tmp_path / "out", options=Options(), student=student)
    assert RecordedSettings.read(tmp_path / "out") is None
    assert RecordedSettings.read(tmp_path / "out" / "held_out.jsonl") is None


def test_settings_of_a_later_version_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps({"spec": {"run_id": "r", "evaluate_mood": 1}}))
    with pytest.raises(UsageError, match=r"evaluate_mood: .*use the version of applejack that made it") as raised:
        RecordedSettings.read(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_small_codebase_is_held_out_and_no_package_is_asked_about(tmp_path: Path, student: Path) -> None:
    sample = [on_code(n, "/code/small" if n < 8 else f"/code/big{n % 2}") for n in range(80)]
    general = [from_memory(n) for n in range(20)]
    curated = run([*sample, *general], tmp_path / "out", student)
    manifest = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert manifest["split_rule"].startswith("by workspace: the questions about small are in test only; the others by")
    assert set(manifest["leaks"]["keys"].values()) == {0}
    held = [json.loads(line) for line in (tmp_path / "out" / "held_out.jsonl").read_text().splitlines()]
    about_code = [line["workspace"] for line in held if line["requires_tools"]]
    assert about_code == [f"/code/small@{'c' * 40}"] * 8
    assert sum(not line["requires_tools"] for line in held) == 2
    trained = (tmp_path / "out" / "train.jsonl").read_text() + (tmp_path / "out" / "valid.jsonl").read_text()
    assert not any(f"Widget{n}?" in trained for n in range(8))
    assert not (tmp_path / "out" / "unseen.jsonl").exists()
    assert not any("no codebase" in warning for warning in curated.summary.warnings)


def test_the_card_tells_why_no_codebase_is_held_out_and_which_categories_have_few(
    tmp_path: Path, student: Path
) -> None:
    sample = [on_code(n, f"/code/{n % 2}") for n in range(60)]
    rare = [on_code(100 + n, "/code/1", category="rare") for n in range(5)]
    run([*sample, *rare], tmp_path / "out", student)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "- no codebase is held out as a whole: the smallest of 2 has 46% of the questions about code" in card
    assert "- few held-out questions: rare 0; below 3" in card


def test_overrides_win_and_an_adapter_of_another_dataset_is_named(tmp_path: Path, student: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.py").write_text("A = 1\n")
    run([on_code(n, "https://example.org/shop.git") for n in range(90)], tmp_path / "out", student)
    warned: list[str] = []
    repeat = Repeat(
        tmp_path / "out",
        run_id="x",
        overrides=Overrides(workspace=str(code), system_prompt="Think.", limit=4, unseen=False),
        cache=tmp_path,
        warn=warned.append,
    )
    assert (repeat.spec.run_id, repeat.spec.system_prompt, repeat.spec.workspace) == ("night-1", "Think.", str(code))
    assert len(repeat.prompts) == 4
    assert repeat.unseen.prompts == ()
    opened = repeat.workspace_for(repeat.prompts[0])
    assert opened is not None
    assert opened.root == code
    assert "has other code" in warned[0]

    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter.json").write_text(
        '{"path": "a", "student": "s", "dataset_hash": "another", "iterations": 1, "peak_memory_gb": 1,'
        ' "tokens_per_second": 1, "seconds": 1}'
    )
    repeat._trained(tmp_path / "adapter")
    assert "the adapter was trained on another dataset (another)" in warned[1]


def test_the_runs_own_number_of_prompts_is_asked(tmp_path: Path, student: Path) -> None:
    curate(
        [looked_up(n) for n in range(30)], out=tmp_path / "out", options=Options(format="turns", test_share=0.5),
        student=student, evaluation=Evaluation(SPEC.model_copy(update={"workspace": "/code"})),
    )  # fmt: skip
    repeat = Repeat(tmp_path / "out", run_id="x", overrides=Overrides(), cache=tmp_path, warn=print)
    assert len(repeat.prompts) == SPEC.evaluate_prompts
