"""Memory of a model from its config.json, against published sizes and hand-made sums."""

import json
from pathlib import Path

import pytest

from benchmarks.machines import models
from config.errors import UsageError
from tests.support.tiny_student import make_tiny_student
from worker.device.model_memory import Model, TrainingShape

BY_NAME = {model.name: model for model in models()}
QWEN_30B = BY_NAME["Qwen3-Coder-30B-A3B-Instruct-4bit"]
QWEN_7B = BY_NAME["Qwen2.5-Coder-7B-Instruct-4bit"]


@pytest.mark.parametrize(
    ("name", "gigabytes", "kv"),
    [
        ("Qwen3-Coder-30B-A3B-Instruct-4bit", 17.2, 2 * 48 * 4 * 128 * 2),  # layers, KV heads, head, bfloat16
        ("Qwen2.5-Coder-14B-Instruct-4bit", 8.3, 2 * 48 * 8 * 128 * 2),
        ("Qwen2.5-Coder-7B-Instruct-4bit", 4.3, 2 * 28 * 4 * 128 * 2),
        ("Qwen2.5-Coder-1.5B-Instruct-4bit", 0.9, 2 * 28 * 2 * 128 * 2),
    ],
)
def test_weights_and_kv_cache_of_published_models(name: str, gigabytes: float, kv: int) -> None:
    assert round(BY_NAME[name].weights / 1e9, 1) == gigabytes
    assert BY_NAME[name].kv_bytes_per_token == kv


def test_the_weights_of_a_model_on_disk_are_its_files(tmp_path: Path) -> None:
    student = make_tiny_student(tmp_path / "student")
    model = Model.of(student)
    assert model.weights == (student / "model.safetensors").stat().st_size
    assert (model.value_bytes, model.context, len(model.windows)) == (4, 4096, 2)


def test_a_kv_cache_grows_in_steps_and_stops_at_a_sliding_window() -> None:
    kinds = ["full_attention", "sliding_attention", "sliding_attention", "linear_attention"]
    config = {"num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    mixed = Model.from_config("mixed", {**config, "layer_types": kinds, "sliding_window": 512}, weights=0)
    each = 2 * 2 * 16 * 2  # a key and a value of two heads of 16, two bytes
    assert mixed.kv_bytes(1) == 3 * 256 * each
    assert mixed.kv_bytes(10_000) == (10_240 + 2 * 512) * each
    assert Model.from_config("full", {**config, "sliding_window": 512}, weights=0).kv_bytes(10_000) == 4 * 10_240 * each


def test_a_nested_config_is_that_of_the_text_model() -> None:
    nested = Model.from_config("nested", {"model_type": "x", "text_config": {"hidden_size": 640}}, weights=0)
    assert nested.hidden == 640


def test_training_memory_grows_with_rows_and_shrinks_with_checkpointing() -> None:
    shape = TrainingShape(tokens=2048, batch=1, layers=16, rank=8)
    plain, checkpointed = (QWEN_7B.training_bytes(shape, checkpoint=choice) for choice in (False, True))
    two = QWEN_7B.training_bytes(TrainingShape(2048, 2, 16, 8), checkpoint=True)
    assert QWEN_7B.weights < checkpointed < two < plain
    assert 8e9 < checkpointed < 10e9  # the seed project's target for a 7B student is 10 GB


def test_every_expert_of_a_mixture_has_its_own_adapter() -> None:
    shape = TrainingShape(tokens=64, batch=1, layers=1, rank=8)
    sides = 4 * 2048 + 2 * 4096 + 2 * 512 + 3 * 128 * (2048 + 768)
    assert QWEN_30B.trained_bytes(1, shape) == 8 * sides * 4


def test_a_broken_config_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json' cannot be read") as caught:
        Model.of(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "config.json").write_text(json.dumps([]))
    assert Model.of(tmp_path).name == tmp_path.name
