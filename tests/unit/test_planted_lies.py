"""Lies that an evaluation must name, planted in files: leaked prompts, another student, other tools, edited datasets.

docs/evaluation-lies.md lists them with what the product says; tests/integration/test_planted_lies.py serves models.
"""

import hashlib
import json
import re
from pathlib import Path

import pytest

from config.errors import EvaluationError
from config.records import JsonObject, Prompt, Spec
from config.report.model import Report
from worker.evaluate.training_set import check_against_training, dataset_of
from worker.tools import toolset
from worker.train.recipe import dataset_hash, weights_of

SPEC = Spec(run_id="r", tools=("grep", "count"))
SYSTEM = SPEC.system_prompt
SCHEMAS = list(toolset.schemas(("grep", "count")))
LEAKED = "Where is the class Task defined?"
HELD_OUT = [
    Prompt(prompt=LEAKED),
    Prompt(prompt="How many lines of app.py contain Task?"),
    Prompt(prompt="What is 3 + 4?"),
]
CHATML = (
    "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n"
    "<|im_start|>assistant\nHm.<|im_end|>"
)
LLAMA = (
    "<|start_header_id|>user<|end_header_id|>\n\n{question}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHm."
)


def turns(question: str, *, system: str = SYSTEM, tools: list[JsonObject] = SCHEMAS) -> JsonObject:
    said = [("system", system), ("user", question), ("assistant", "In app.py.")]
    return {"messages": [{"role": role, "content": content} for role, content in said], "tools": [*tools]}


def student_in(directory: Path, *, size: int = 64) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text('{"model_type": "llama"}')
    (directory / "model.safetensors").write_bytes(b"w" * size)
    return directory


def dataset_in(
    directory: Path, rows: list[JsonObject], *, held_out: list[Prompt] = HELD_OUT, **manifest: object
) -> Path:
    directory.mkdir()
    for name, lines in (("train.jsonl", rows), ("valid.jsonl", []), ("test.jsonl", [])):
        (directory / name).write_text("".join(json.dumps(row) + "\n" for row in lines))
    (directory / "held_out.jsonl").write_text("".join(prompt.model_dump_json() + "\n" for prompt in held_out))
    digests = (
        hashlib.sha256((directory / f"{name}.jsonl").read_bytes()).hexdigest() for name in ("train", "valid", "test")
    )
    split_digests = zip(("train", "valid", "test"), digests, strict=True)
    content = hashlib.sha256("".join(f"{name}.jsonl {digest}\n" for name, digest in split_digests).encode()).hexdigest()
    body = {"content_hash": content, "held_out": len(held_out), "toolset_digest": toolset.digest(SCHEMAS), **manifest}
    (directory / "dataset.json").write_text(json.dumps(body))
    return directory


def adapter_in(directory: Path, *, student: Path, dataset: Path) -> Path:
    directory.mkdir()
    trained: JsonObject = {"path": str(student), **weights_of(student)}
    recipe = {"dataset_hash": dataset_hash(dataset), "student": trained, "hyperparameters": {}}
    (directory / "recipe.json").write_text(json.dumps(recipe))
    (directory / "adapter_config.json").write_text(json.dumps({"data": str(dataset)}))
    return directory


def checked(tmp_path: Path, rows: list[JsonObject], *, spec: Spec = SPEC, **manifest: object) -> tuple[str, ...]:
    student = student_in(tmp_path / "student")
    dataset = dataset_in(tmp_path / "dataset", rows, **manifest)
    adapter = adapter_in(tmp_path / "adapter", student=student, dataset=dataset)
    return check_against_training(HELD_OUT, spec, dataset=dataset, student=student, adapter=adapter)


@pytest.mark.parametrize(
    "row",
    [
        turns(LEAKED),
        turns("where  is the class Task\ndefined?"),  # other case and white space
        turns(f"{LEAKED} Answer briefly."),
        {"text": CHATML.format(system=SYSTEM, question=LEAKED)},
        {"text": LLAMA.format(question=LEAKED)},  # turns that are not ChatML
        {"prompt": LEAKED, "completion": "In app.py."},
        {"messages": [*turns("Hello")["messages"], {"role": "user", "content": LEAKED}]},  # type: ignore[misc]
    ],
    ids=["turns", "case", "longer", "chatml", "llama", "completion", "second question"],
)
def test_no_score_when_a_held_out_prompt_was_trained_on(row: JsonObject, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError) as raised:
        checked(tmp_path, [turns("Where is the class App defined?"), row])
    assert "no score: 1 of 3 prompts were trained on" in str(raised.value)
    assert f"{LEAKED!r} (line 2)" in str(raised.value)


@pytest.mark.parametrize(
    "row",
    [
        turns("Where is the class TaskBase defined?"),
        turns("In which file is the class Task defined?"),  # another wording: curate's groups keep it out, not this
        turns("What is 3 + 45?"),
        {"text": CHATML.format(system=f"Example: {LEAKED}", question="Where is App?")},  # no question of a user
        {"messages": [{"role": "user", "content": "Where is App?"}, {"role": "assistant", "content": LEAKED}]},
    ],
)
def test_prompts_that_were_not_asked_in_training_are_evaluated(row: JsonObject, tmp_path: Path) -> None:
    checked(tmp_path, [row])


def test_leak_is_also_found_for_prompts_from_another_place(tmp_path: Path) -> None:
    """The adapter's own training set is looked up in mlx_lm's record of the training."""
    student = student_in(tmp_path / "student")
    dataset = dataset_in(tmp_path / "dataset", [turns(LEAKED)])
    adapter = adapter_in(tmp_path / "adapter", student=student, dataset=dataset)
    with pytest.raises(EvaluationError, match="no score: 1 of 3 prompts were trained on"):
        check_against_training(HELD_OUT, SPEC, dataset=None, student=student, adapter=adapter)


def test_leak_that_cannot_be_looked_for_is_said(tmp_path: Path) -> None:
    student = student_in(tmp_path / "student")
    dataset = dataset_in(tmp_path / "dataset", [turns(LEAKED)])
    adapter = adapter_in(tmp_path / "adapter", student=student, dataset=dataset)
    (dataset / "train.jsonl").unlink()
    (told,) = check_against_training(HELD_OUT, SPEC, dataset=None, student=student, adapter=adapter)
    assert "It was not checked whether these prompts are in the training rows" in told


def test_no_score_for_an_adapter_of_another_student(tmp_path: Path) -> None:
    trained, served = student_in(tmp_path / "trained"), student_in(tmp_path / "served", size=128)
    dataset = dataset_in(tmp_path / "dataset", [turns("Where is App?")])
    adapter = adapter_in(tmp_path / "adapter", student=trained, dataset=dataset)
    with pytest.raises(EvaluationError, match=r"was trained on .*trained.*differ from those of .*served"):
        check_against_training(HELD_OUT, SPEC, dataset=dataset, student=served, adapter=adapter)


def test_other_tools_than_in_training_are_named(tmp_path: Path) -> None:
    told = checked(tmp_path, [turns("Where is App?", tools=SCHEMAS[:1])])
    assert told == ("The evaluation offered the tools count, grep; the training rows offer grep.",)


def test_tools_with_another_description_than_in_training_are_named(tmp_path: Path) -> None:
    (told,) = checked(tmp_path, [turns("Where is App?")], toolset_digest="0" * 64)
    assert "other descriptions or parameters" in told


@pytest.mark.parametrize(
    "row",
    [turns("Where is App?", system="Be brief."), {"text": CHATML.format(system="Be brief.", question="Where is App?")}],
)
def test_other_system_prompt_than_in_training_is_named(row: JsonObject, tmp_path: Path) -> None:
    (told,) = checked(tmp_path, [row])
    assert told.startswith("The evaluation used the system prompt")
    assert "'Be brief.'" in told


def test_rows_and_prompts_that_were_changed_after_curation_are_named(tmp_path: Path) -> None:
    student = student_in(tmp_path / "student")
    dataset = dataset_in(tmp_path / "dataset", [turns("Where is App?")])
    adapter = adapter_in(tmp_path / "adapter", student=student, dataset=dataset)
    (dataset / "train.jsonl").write_text(json.dumps(turns("Where is Worker?")) + "\n")
    (dataset / "held_out.jsonl").write_text(HELD_OUT[1].model_dump_json() + "\n")
    rows, prompts = check_against_training(HELD_OUT[1:2], SPEC, dataset=dataset, student=student, adapter=adapter)
    assert "were changed after curation" in rows
    assert prompts.endswith("has 1 prompts; curation wrote 3.")


def test_adapter_of_another_version_of_the_dataset_is_named(tmp_path: Path) -> None:
    student = student_in(tmp_path / "student")
    trained_on = dataset_in(tmp_path / "earlier", [turns(LEAKED)])
    adapter = adapter_in(tmp_path / "adapter", student=student, dataset=trained_on)
    (trained_on / "train.jsonl").unlink()
    dataset = dataset_in(tmp_path / "dataset", [turns("Where is App?")])
    (told,) = check_against_training(HELD_OUT, SPEC, dataset=dataset, student=student, adapter=adapter)
    assert "The adapter was trained on another version of the dataset" in told


def test_honest_evaluation_has_no_notes(tmp_path: Path) -> None:
    assert (
        checked(tmp_path, [turns("Where is App?"), {"text": CHATML.format(system=SYSTEM, question="What is 2 + 2?")}])
        == ()
    )


def test_dataset_of_its_held_out_file_is_found(tmp_path: Path) -> None:
    dataset = dataset_in(tmp_path / "dataset", [turns("Where is App?")])
    assert dataset_of(dataset) == dataset_of(dataset / "held_out.jsonl") == dataset
    assert dataset_of(tmp_path) is None


def test_notes_stand_in_the_report() -> None:
    report = Report(run_id="r", student="s", identity="known", notes=("Other tools.",))
    assert report.markdown().endswith("known\n\nOther tools.\n")
    assert "notes" not in report.model_copy(update={"notes": ()}).model_dump()


def test_every_lie_in_the_docs_has_its_test() -> None:
    tests = Path(__file__).parent.parent
    files = [*tests.glob("*/test_planted_lies.py"), *tests.glob("unit/test_raw_dumps.py")]
    files.append(tests / "unit" / "test_evaluate_identity.py")
    written = {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)}
    rows = [line for line in (tests.parent / "docs" / "evaluation-lies.md").read_text().splitlines() if "|" in line][2:]
    assert len(rows) > 12
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= written, row
