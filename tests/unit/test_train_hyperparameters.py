"""Hyperparameters: the annotated file, overrides, and every value that cannot be meant."""

from pathlib import Path

import pytest

from config.errors import UsageError
from config.records import JsonObject
from worker.train import hyperparameters


def test_resolve_of_the_annotated_file_masks_prompts_exactly_when_rows_are_turns() -> None:
    assert hyperparameters.resolve({}, turns=True)["mask_prompt"] is True
    assert hyperparameters.resolve({}, turns=False)["mask_prompt"] is False


def test_resolve_reads_every_number_of_the_annotated_file_as_a_number() -> None:
    values = hyperparameters.resolve({}, turns=True)
    assert values["learning_rate"] == 5e-5
    assert values["val_batches"] == -1


def test_overrides_win_and_leave_their_neighbours_alone() -> None:
    values = hyperparameters.resolve({"iters": 7, "lora_parameters": {"rank": 2}}, turns=True)
    assert values["iters"] == 7
    assert values["lora_parameters"] == {"rank": 2, "scale": 20.0, "dropout": 0.0}


PAIRS = [
    (["iters=20"], {"iters": 20}),
    (["learning_rate=2e-4"], {"learning_rate": 2e-4}),  # YAML 1.1 alone would make this a text
    (["grad_checkpoint=false"], {"grad_checkpoint": False}),
    (["lora_parameters.rank=4", "lora_parameters.scale=10"], {"lora_parameters": {"rank": 4, "scale": 10}}),
    (["iters=1", "iters=2"], {"iters": 2}),  # the last wins
]


@pytest.mark.parametrize(("pairs", "expected"), PAIRS)
def test_parse_overrides(pairs: list[str], expected: JsonObject) -> None:
    assert hyperparameters.parse_overrides(pairs) == expected


@pytest.mark.parametrize("pair", ["iters", "=3", "iters=", "iters=[1"])
def test_parse_overrides_refuses_what_is_no_pair(pair: str) -> None:
    with pytest.raises(UsageError, match=r"iters|=3"):
        hyperparameters.parse_overrides([pair])


WRONG: list[tuple[JsonObject, str]] = [
    ({"learning_rat": 1e-4}, "learning_rat"),  # misspelt: mlx_lm itself would say nothing and use its default
    ({"model": "elsewhere"}, "set by the train stage"),
    ({"adapter_path": "elsewhere"}, "set by the train stage"),
    ({"iters": 0}, "iters is 0"),
    ({"iters": True}, "iters is True"),  # a bool is an int to Python
    ({"batch_size": 2.5}, "batch_size is 2.5"),
    ({"max_seq_length": "2048"}, "max_seq_length is '2048'"),
    ({"learning_rate": -1e-4}, "learning_rate is -0.0001"),
    ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
    ({"lora_parameters": {"rang": 8}}, "lora_parameters"),
    ({"lora_parameters": 8}, "lora_parameters is 8"),
]


@pytest.mark.parametrize(("overrides", "told"), WRONG)
def test_resolve_refuses(overrides: JsonObject, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        hyperparameters.resolve(overrides, turns=True)


def test_resolve_refuses_to_mask_rows_of_text() -> None:
    with pytest.raises(UsageError, match="--format turns"):
        hyperparameters.resolve({"mask_prompt": True}, turns=False)


@pytest.mark.parametrize("content", ["- a list", "{broken", "\x00"])
def test_load_refuses_a_file_without_keys(tmp_path: Path, content: str) -> None:
    file = tmp_path / "lora.yaml"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"lora\.yaml"):
        hyperparameters.load(file)


def test_load_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.yaml"):
        hyperparameters.load(tmp_path / "no.yaml")


def test_known_keys_are_those_of_the_installed_mlx_lm() -> None:
    known = hyperparameters.known_keys()
    assert {"iters", "mask_prompt", "lora_parameters", "grad_accumulation_steps"} <= known
