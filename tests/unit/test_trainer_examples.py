"""The trainers of examples/trainers, as far as they can be checked without a GPU, TRL and axolotl."""

import ast
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from mlx_lm.tuner.datasets import create_dataset
from mlx_lm.utils import load_tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from config.records import JsonObject, TrainProgress
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set, turn
from worker.train.command_process import read_reports

FOLDER = Path(__file__).parents[2] / "examples" / "trainers"
VALUES: JsonObject = {
    **{"iters": 20, "batch_size": 2, "grad_accumulation_steps": 4, "learning_rate": 1e-4, "max_seq_length": 2048},
    **{"num_layers": 2, "seed": 0, "steps_per_report": 4, "steps_per_eval": 2, "save_every": 8},
    **{"lora_parameters": {"rank": 8, "scale": 20.0, "dropout": 0.0}, "grad_checkpoint": False},
}
# The keys of axolotl 0.18's schema (src/axolotl/utils/schemas at 067b021c) that the example uses.
AXOLOTL = {
    *("base_model", "adapter", "lora_r", "lora_alpha", "lora_dropout", "lora_target_linear"),
    *("peft_layers_to_transform", "datasets", "test_datasets", "dataset_prepared_path", "output_dir", "sequence_len"),
    *("sample_packing", "pad_to_sequence_len", "val_set_size", "micro_batch_size", "gradient_accumulation_steps"),
    *("max_steps", "learning_rate", "lr_scheduler", "warmup_steps", "optimizer", "bf16", "gradient_checkpointing"),
    *("seed", "logging_steps", "eval_strategy", "eval_steps", "save_steps", "save_total_limit", "plugins"),
    "auto_resume_from_checkpoints",
}
AXOLOTL_DATASET = {"path", "ds_type", "type", "split"}


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of the folder, imported as it is when it is run."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def tokenizer(student: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(student)


def written(tmp_path: Path, student: Path, **changes: object) -> Path:
    """A configuration as applejack writes it."""
    (tmp_path / "trainer" / "out").mkdir(parents=True)
    content = {
        "schema_version": 1,
        "run_id": "night-1",
        "dataset": str(make_training_set(tmp_path / "dataset")),
        "format": "turns",
        "rows": {"train": 6, "valid": 2, "test": 0},
        "student": str(student),
        "out": str(tmp_path / "trainer" / "out"),
        "progress": str(tmp_path / "trainer" / "progress.jsonl"),
        "hyperparameters": VALUES,
        **changes,
    }
    file = tmp_path / "trainer" / "config.json"
    file.write_text(json.dumps(content))
    return file


def test_the_loss_is_on_the_last_assistant_turn_and_its_end_as_in_mlx_lm(
    student: Path, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = example("contract", monkeypatch)
    row = turn(7)
    found = contract.labelled(row, tokenizer)
    learnt = [token for token, label in zip(found["input_ids"], found["labels"], strict=True) if label != -100]
    text = tokenizer.decode(learnt)
    assert "part7" in text
    assert "How many files" not in text  # the question, the tools and the generation prompt have no loss
    assert tokenizer.eos_token_id in learnt[-2:]
    ours = create_dataset([row], load_tokenizer(student), SimpleNamespace(mask_prompt=True))
    tokens, offset = ours.process(row)
    assert (found["input_ids"], found["labels"][offset:]) == (tokens, tokens[offset:])
    assert set(found["labels"][:offset]) == {-100}


def test_a_row_of_text_has_its_loss_on_every_token(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = example("contract", monkeypatch)
    for text in ("<|im_start|>user\nq<|im_end|>", "<|im_start|>user\nq"):
        found = contract.labelled({"text": text}, tokenizer)
        assert found["labels"] == found["input_ids"]
        assert found["input_ids"].count(tokenizer.eos_token_id) == 1


def test_a_template_that_changes_the_prompt_is_refused(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = example("contract", monkeypatch)
    changing = SimpleNamespace(
        apply_chat_template=lambda messages, **_: [len(messages), *range(len(messages))], eos_token_id=0
    )
    with pytest.raises(ValueError, match="differently with and without it"):
        contract.labelled(turn(1), changing)


def test_progress_is_what_applejack_reads(tmp_path: Path, student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = example("contract", monkeypatch)
    config = contract.Config.read(str(written(tmp_path, student)))
    logs = {"loss": 1.5, "grad_norm": 2.0, "learning_rate": 1e-4, "epoch": 0.5}
    config.report(2, **contract.progress_values(logs))
    config.report(2, **contract.progress_values({"eval_loss": 1.25, "eval_runtime": 0.1}))
    found = list(read_reports(config.progress.read_text().splitlines(), 1))
    assert found == [
        TrainProgress(iteration=8, iterations=20, train_loss=1.5, learning_rate=1e-4),  # 2 updates of 4 iterations
        TrainProgress(iteration=8, iterations=20, valid_loss=1.25),
    ]
    assert contract.progress_values({"train_runtime": 3.0}) == {}


def test_the_configuration_is_read_and_another_version_refused(
    tmp_path: Path, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = example("contract", monkeypatch)
    file = written(tmp_path, student)
    config = contract.Config.read(str(file))
    assert (config.updates, config.accumulation, config.alpha) == (5, 4, 160.0)
    assert [len(config.rows(split)) for split in ("train", "valid", "test")] == [6, 2, 0]
    assert (config.layers(12), config.layers(1)) == ([10, 11], [0])
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema_version": 2}))
    with pytest.raises(SystemExit, match="this trainer knows 1"):
        contract.Config.read(str(file))


def test_axolotl_gets_its_documented_keys_and_tokenised_rows(
    tmp_path: Path, student: Path, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    axolotl = example("axolotl_lora", monkeypatch)
    config = axolotl.Config.read(str(written(tmp_path, student)))
    splits = axolotl.write_rows(config, tokenizer, tmp_path / "rows")
    assert splits == ["train", "valid"]
    row = json.loads((tmp_path / "rows" / "train.jsonl").read_text().splitlines()[0])
    assert row.keys() == {"input_ids", "attention_mask", "labels"}  # exactly these, says its documentation
    assert len({len(values) for values in row.values()}) == 1
    found = axolotl.options(config, tmp_path / "rows", splits, 12)
    assert set(found) == AXOLOTL
    assert all(set(entry) <= AXOLOTL_DATASET for name in ("datasets", "test_datasets") for entry in found[name])
    assert isinstance(found["lora_alpha"], int)
    assert (found["max_steps"], found["save_steps"], found["logging_steps"]) == (5, 2, 1)
    without = axolotl.options(config, tmp_path / "rows", ["train"], 12)
    assert "test_datasets" not in without
    assert without["eval_strategy"] == "no"


def test_the_table_of_mlx_lm_is_read_with_and_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    read = example("mlx_lora", monkeypatch).values_of
    assert read("     4    2.345 ▼    1,234      1.2k") == (4, {"train_loss": 2.345, "tokens_per_second": 1234.0})
    coloured = "  \x1b[38;5;244m  10\x1b[0m    \x1b[1;35mval\x1b[0m \x1b[1m6.063\x1b[0m    \x1b[38;5;244m0.24s\x1b[0m"
    assert read(coloured) == (9, {"valid_loss": 6.063})
    assert read("  save  0000003_adapters.safetensors") is None


def test_every_example_is_python_and_described(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for file in FOLDER.glob("*.py"):
        module = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        assert ast.get_docstring(module), file
        assert f"`{file.name}`" in page
