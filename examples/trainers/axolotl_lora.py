"""Trains with axolotl, on CUDA: python axolotl_lora.py CONFIG.json

Needs axolotl 0.18 in this Python environment. The rows are tokenised here, with labels, as a "custom pre-tokenized
dataset": axolotl masks by role, and a row of applejack has its loss on the last message only.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from contract import Config, labelled, progress_values

HERE = Path(__file__).parent
CONFIG = "APPLEJACK_TRAINER_CONFIG"  # passes the path of the configuration to the plugin
PEFT_FILES = ("adapter_model.safetensors", "adapter_config.json")

try:  # in axolotl's process; the tests of this file have no axolotl
    from axolotl.integrations.base import BasePlugin
    from transformers import TrainerCallback
except ImportError:
    BasePlugin = TrainerCallback = object


class Progress(TrainerCallback):  # type: ignore[misc]  # see above
    """Reports the Trainer's logs to applejack."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Called every logging_steps and after each validation."""
        if state.is_world_process_zero and (values := progress_values(logs or {})):
            self._config.report(state.global_step, **values)


class ProgressPlugin(BasePlugin):  # type: ignore[misc]  # see above
    """Adds the callback to axolotl's trainer."""

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        """Called once by axolotl."""
        return [Progress(Config.read(os.environ[CONFIG]))]


def write_rows(config: Config, tokenizer: Any, folder: Path) -> list[str]:
    """Write the tokenised splits that have rows; returns their names."""
    folder.mkdir(exist_ok=True)
    written = []
    for split in ("train", "valid"):
        rows = [labelled(row, tokenizer) for row in config.rows(split)]
        lines = [json.dumps({**row, "attention_mask": [1] * len(row["input_ids"])}) + "\n" for row in rows]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        written += [split] if rows else []
    return written


def options(config: Config, folder: Path, splits: list[str], layers: int) -> dict[str, Any]:
    """axolotl.yaml with the run's paths and hyperparameters."""
    values = config.hyperparameters
    lora, accumulation = values["lora_parameters"], config.accumulation
    datasets = {name: {"path": str(folder / f"{name}.jsonl"), "ds_type": "json", "type": None} for name in splits}
    every = {"eval_steps": "steps_per_eval", "save_steps": "save_every", "logging_steps": "steps_per_report"}
    found = {
        **yaml.safe_load((HERE / "axolotl.yaml").read_text(encoding="utf-8")),
        "base_model": str(config.student),
        "datasets": [datasets["train"]],
        "dataset_prepared_path": str(folder / "prepared"),
        "output_dir": str(config.out.parent / "axolotl"),
        "sequence_len": values["max_seq_length"],
        "max_steps": config.updates,
        "micro_batch_size": values["batch_size"],
        "gradient_accumulation_steps": accumulation,
        "learning_rate": values["learning_rate"],
        "gradient_checkpointing": bool(values.get("grad_checkpoint")),
        "seed": values["seed"],
        "lora_r": lora["rank"],
        "lora_alpha": round(config.alpha),
        "lora_dropout": lora["dropout"],
        "peft_layers_to_transform": config.layers(layers),
        **{theirs: max(1, values[ours] // accumulation) for theirs, ours in every.items()},
    }
    if "valid" in datasets:
        return {**found, "test_datasets": [{**datasets["valid"], "split": "train"}]}
    return {**found, "eval_strategy": "no"}


def main() -> None:
    """Tokenise, run `axolotl train` and copy its adapter."""
    from transformers import AutoConfig, AutoTokenizer

    path = str(Path(sys.argv[-1]).absolute())
    config = Config.read(path)
    folder = config.out.parent / "tokenised"
    splits = write_rows(config, AutoTokenizer.from_pretrained(config.student), folder)
    layers = AutoConfig.from_pretrained(config.student).num_hidden_layers
    file = config.out.parent / "axolotl.yaml"
    file.write_text(yaml.safe_dump(options(config, folder, splits, layers), sort_keys=False), encoding="utf-8")
    python_path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, CONFIG: path, "PYTHONPATH": python_path}
    ended = subprocess.run(["axolotl", "train", str(file)], check=False, env=environment)
    if ended.returncode == 0:
        for name in PEFT_FILES:
            shutil.copyfile(config.out.parent / "axolotl" / name, config.out / name)
    sys.exit(ended.returncode)


if __name__ == "__main__":
    main()
