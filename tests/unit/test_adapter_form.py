"""What a user's trainer leaves: taken over, converted, or told why it cannot be served."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from config.errors import TrainingError
from config.records import JsonObject
from tests.support.tiny_adapter import RANK, make_tiny_adapter
from tests.support.tiny_student import LAYERS, make_tiny_student
from worker.train.adapter_form import collect
from worker.train.saved_weights import saved_weights

PEFT: JsonObject = {"peft_type": "LORA", "r": RANK, "lora_alpha": 40.0, "bias": "none", "use_dora": False}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


def as_peft(adapter: Path, folder: Path, *, layers: tuple[int, ...] = (0, 1), **changes: object) -> Path:
    """The tiny adapter as PEFT writes it: transposed, under other names."""
    folder.mkdir()
    weights = {}
    for name, matrix in load_file(adapter / "adapters.safetensors").items():
        module, _, which = name.rpartition(".lora_")
        if int(module.split(".")[2]) in layers:
            weights[f"base_model.model.{module}.lora_{which.upper()}.weight"] = np.ascontiguousarray(matrix.T)
    save_file(weights, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({**PEFT, **changes}))
    return folder


def test_an_adapter_of_mlx_lm_is_taken_over_with_its_checkpoints_and_nothing_else(
    student: Path, tmp_path: Path
) -> None:
    made, adapter = make_tiny_adapter(tmp_path / "made", strength=1), tmp_path / "adapter"
    adapter.mkdir()
    for name in ("0000100_adapters.safetensors", "optimizer.pt"):
        (made / name).write_bytes(b"x")
    assert collect(made, adapter, student=student, final=tmp_path / "final") == ""
    names = {"adapters.safetensors", "adapter_config.json", "0000100_adapters.safetensors"}
    assert {file.name for file in adapter.iterdir()} == names
    assert json.loads((adapter / "adapter_config.json").read_text())["adapter_path"] == str(tmp_path / "final")


def test_an_adapter_of_peft_becomes_the_same_one_for_mlx_lm(student: Path, tmp_path: Path) -> None:
    original, adapter = make_tiny_adapter(tmp_path / "original", strength=1), tmp_path / "adapter"
    adapter.mkdir()
    assert collect(as_peft(original, tmp_path / "peft"), adapter, student=student, final=adapter) == ""
    before, after = (load_file(folder / "adapters.safetensors") for folder in (original, adapter))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    config = json.loads((adapter / "adapter_config.json").read_text())
    wanted = json.loads((original / "adapter_config.json").read_text())
    assert sorted(wanted["lora_parameters"]["keys"]) == config["lora_parameters"]["keys"]
    wanted["lora_parameters"]["keys"].sort()
    assert config == wanted  # scale 10 is alpha 40 over rank 4


def test_earlier_weights_of_peft_are_converted_too(student: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    made = as_peft(make_tiny_adapter(tmp_path / "original", strength=1), tmp_path / "peft")
    shutil.copyfile(made / "adapter_model.safetensors", made / "0000100_adapter_model.safetensors")
    assert collect(made, adapter, student=student, final=adapter) == ""
    assert [saved.iteration for saved in saved_weights(adapter)] == [100]
    saved, last = ((adapter / f"{name}adapters.safetensors").read_bytes() for name in ("0000100_", ""))
    assert saved == last


def test_an_adapter_of_the_last_layers_keeps_their_number(student: Path, tmp_path: Path) -> None:
    original, adapter = make_tiny_adapter(tmp_path / "original", strength=1), tmp_path / "adapter"
    adapter.mkdir()
    made = as_peft(original, tmp_path / "peft", layers=(LAYERS - 1,), use_rslora=True)
    assert collect(made, adapter, student=student, final=adapter) == ""
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert (config["num_layers"], config["lora_parameters"]["scale"]) == (1, 20.0)  # 40 over the root of 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"use_dora": True}, "use_dora is True"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern is"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is"),
    ],
)
def test_an_adapter_without_a_form_in_mlx_lm_is_told_and_not_approximated(
    student: Path, tmp_path: Path, changes: JsonObject, reason: str
) -> None:
    original, adapter = make_tiny_adapter(tmp_path / "original", strength=1), tmp_path / "adapter"
    adapter.mkdir()
    why = collect(as_peft(original, tmp_path / "peft", **changes), adapter, student=student, final=adapter)
    assert reason in why
    assert "\n" not in why
    assert not (adapter / "adapters.safetensors").exists()


def test_other_files_are_an_adapter_that_cannot_be_served(student: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "merged.gguf").write_bytes(b"x")
    why = collect(tmp_path / "made", tmp_path, student=student, final=tmp_path)
    assert "left merged.gguf" in why
    assert "adapters.safetensors (mlx_lm)" in why


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "adapter_config.json' cannot be read"),
        ("{}", "has no num_layers and no lora_parameters"),
        ('{"peft_type": "LORA", "r": 8}', "PEFT's adapter belongs into adapter_model.safetensors"),
        ("[]", "holds no keys and values"),
    ],
)
def test_a_damaged_adapter_is_an_error(student: Path, tmp_path: Path, config: str | None, message: str) -> None:
    made = make_tiny_adapter(tmp_path / "made", strength=1)
    (made / "adapter_config.json").unlink()
    if config is not None:
        (made / "adapter_config.json").write_text(config)
    with pytest.raises(TrainingError, match=message):
        collect(made, tmp_path, student=student, final=tmp_path)


def test_a_trainer_that_left_nothing_is_an_error(student: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with pytest.raises(TrainingError, match="left nothing in"):
        collect(tmp_path / "made", tmp_path, student=student, final=tmp_path)
