"""Preflight: each fault, planted, is one clear line before any weight is loaded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import ApplejackError, TrainingError
from config.records import JsonObject
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set, turn, write_rows
from worker.device.machine import Machine
from worker.train.dataset_check import CHECKED_ROWS
from worker.train.preflight import Plan, preflight, require_disk

Fault = Callable[[Path, Path], None]
SMALL: JsonObject = {"batch_size": 2, "iters": 4}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_training_set(tmp_path / "dataset")


@pytest.fixture
def student(tmp_path: Path) -> Path:
    return make_tiny_student(tmp_path / "student")


def check(dataset: Path, student: Path, overrides: JsonObject) -> Plan:
    return preflight(dataset, student=student, out=dataset.parent / "out", overrides=overrides)


def test_preflight_passes_a_whole_dataset(dataset: Path, student: Path) -> None:
    plan = check(dataset, student, SMALL)
    assert plan.rows == {"train": 6, "valid": 2, "test": 0}
    assert plan.hyperparameters["mask_prompt"] is True
    assert 20 < plan.longest < 200


def test_preflight_takes_rows_of_text(dataset: Path, student: Path) -> None:
    for split, rows in (("train", 4), ("valid", 2)):
        write_rows(dataset, split, [{"text": f"<|im_start|>user\n{n}<|im_end|>"} for n in range(rows)])
    assert check(dataset, student, SMALL).hyperparameters["mask_prompt"] is False


def test_preflight_trains_without_validation_when_there_are_no_rows_for_it(dataset: Path, student: Path) -> None:
    (dataset / "valid.jsonl").unlink()
    assert check(dataset, student, SMALL).rows["valid"] == 0


def test_preflight_sizes_a_training_by_its_rows(dataset: Path, student: Path) -> None:
    values = check(dataset, student, {}).hyperparameters
    assert (values["iters"], values["batch_size"]) == (18, 1)  # 6 rows, 3 epochs
    assert "epochs" not in values


def test_preflight_checkpoints_or_refuses_what_the_machine_cannot_hold(dataset: Path, student: Path) -> None:
    def on(limit: int, overrides: JsonObject) -> Plan:
        machine = Machine("metal", limit, limit, "planted")
        return preflight(dataset, student=student, out=dataset.parent / "out", overrides=overrides, machine=machine)

    room = check(dataset, student, SMALL).memory
    assert not room.grad_checkpoint
    less = on(room.needed - 1, {"iters": 4})  # batch 1, the default, fits plainly
    assert less.hyperparameters["grad_checkpoint"] is False
    tight = on(room.needed - 1, SMALL)
    assert tight.hyperparameters["grad_checkpoint"] is True
    with pytest.raises(TrainingError, match=r"about 1\.0 GB with grad_checkpoint, but this Mac gives its GPU 0\.5"):
        on(500_000_000, {"iters": 4})
    assert on(500_000_000, {"iters": 4, "grad_checkpoint": False}).memory.warning  # explicit: tried anyway


def emptied(dataset: Path, _: Path) -> None:
    """As curate leaves it when nothing was kept: the proof of nothing fails too."""
    failed_proof(dataset, _)
    (dataset / "train.jsonl").write_text("")


def two_rows(dataset: Path, _: Path) -> None:
    write_rows(dataset, "train", [turn(1)])


def one_valid_row(dataset: Path, _: Path) -> None:
    write_rows(dataset, "valid", [turn(1)])


def broken_row(dataset: Path, _: Path) -> None:
    with (dataset / "train.jsonl").open("a") as file:
        file.write('{"messages": [\n')


def unknown_rows(dataset: Path, _: Path) -> None:
    write_rows(dataset, "train", [{"conversation": "x"}] * 4)


def mixed_rows(dataset: Path, _: Path) -> None:
    write_rows(dataset, "train", [turn(1), turn(2), {"conversation": "x"}])


def endless_row(dataset: Path, _: Path) -> None:
    row = turn(1)
    write_rows(dataset, "valid", [turn(2), {**row, "messages": [{"role": "user", "content": "word " * 3000}]}])


def failed_proof(dataset: Path, _: Path) -> None:
    proof = {"passed": False, "faults": ["12 loss tokens were not written by the assistant"]}
    (dataset / "dataset.json").write_text(json.dumps({"loss_proof": proof}))


def broken_card(dataset: Path, _: Path) -> None:
    (dataset / "dataset.json").write_text("{")


def no_config(_: Path, student: Path) -> None:
    (student / "config.json").unlink()


def no_model_type(_: Path, student: Path) -> None:
    (student / "config.json").write_text("{}")


def no_weights(_: Path, student: Path) -> None:
    (student / "model.safetensors").unlink()


def cut_weights(_: Path, student: Path) -> None:
    file = student / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def page_for_weights(_: Path, student: Path) -> None:
    (student / "model.safetensors").write_text("<html>401 Unauthorized</html>")


def missing_shard(_: Path, student: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (student / "model.safetensors.index.json").write_text(json.dumps(index))


def no_tokenizer(_: Path, student: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (student / name).unlink()


def broken_tokenizer(_: Path, student: Path) -> None:
    (student / "tokenizer.json").write_text("{")


def never_stops(_: Path, student: Path) -> None:
    template = student / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_end|>", ""))


FAULTS: list[tuple[Fault, JsonObject, str]] = [
    (emptied, {}, "has no training rows"),
    (two_rows, {}, r"train.jsonl .* has 1 rows, fewer than batch_size=2"),
    (one_valid_row, {}, r"valid.jsonl .* has 1 rows, fewer than batch_size=2"),
    (lambda *_: None, {"test": True}, r"test.jsonl .* has 0 rows"),  # mlx_lm raises after the training
    (broken_row, {}, r"train.jsonl:7 is not a JSON object"),
    (unknown_rows, {}, "neither 'text' nor 'messages'"),
    (mixed_rows, {}, r"train.jsonl:3 holds \['conversation'\]"),
    (endless_row, {}, r"valid.jsonl:2 has \d+ tokens, more than max_seq_length=2048"),
    (lambda *_: None, {"max_seq_length": 16}, r"train.jsonl:1 has \d+ tokens, more than max_seq_length=16"),
    (failed_proof, {}, "wrong thing: 12 loss tokens were not written by the assistant"),
    (broken_card, {}, "dataset.json' is not JSON"),
    (no_config, {}, "has no config.json"),
    (no_model_type, {}, "names no model_type"),
    (no_weights, {}, "has no model"),
    (cut_weights, {}, r"has \d+ bytes of \d+"),  # an interrupted download
    (page_for_weights, {}, "no safetensors file"),
    (missing_shard, {}, "model-00002-of-00002.safetensors' is missing"),
    (no_tokenizer, {}, "has no tokenizer.json"),
    (broken_tokenizer, {}, "tokenizer"),
    (never_stops, {}, "does not end with a stop token"),
    (lambda *_: None, {"itres": 3}, "no hyperparameter 'itres'"),
]


@pytest.mark.parametrize(("plant", "overrides", "told"), FAULTS)
def test_preflight_refuses(dataset: Path, student: Path, plant: Fault, overrides: JsonObject, told: str) -> None:
    plant(dataset, student)
    with pytest.raises(ApplejackError, match=told) as caught:
        check(dataset, student, {**SMALL, **overrides})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gone", ["dataset", "student"])
def test_preflight_refuses_what_is_not_there(dataset: Path, student: Path, gone: str) -> None:
    places = {"dataset": dataset, "student": student, gone: dataset / "nowhere"}
    with pytest.raises(ApplejackError, match="nowhere"):
        check(places["dataset"], places["student"], SMALL)


def test_require_disk_names_the_place_and_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"GB free, but .* may take 1000000\.0 GB: free \d+\.\d GB"):
        require_disk(tmp_path / "not" / "there" / "yet", 10**15)
    require_disk(tmp_path / "not" / "there" / "yet", 0)


def test_preflight_of_many_rows_can_be_cancelled(tmp_path: Path, student: Path) -> None:
    many = make_training_set(tmp_path / "many", train=CHECKED_ROWS)
    with pytest.raises(TrainingError, match="training was cancelled"):
        preflight(many, student=student, out=tmp_path / "out", overrides={}, cancelled=lambda: True)
