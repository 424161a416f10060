"""Trains a LoRA adapter with TRL and PEFT, on CUDA: python trl_lora.py CONFIG.json

Needs `pip install trl peft` (1.16 and 0.21). Every row is tokenised here and given to SFTTrainer with its labels: TRL
would put the loss on the whole conversation, and Arrow would add null arguments to every tool call.
The adapter is saved in PEFT's form, which applejack converts for mlx_lm.
"""

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from contract import Config, labelled, progress_values
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

GB = 1e9
WEIGHTS = "adapter_model.safetensors"  # PEFT's


class Progress(TrainerCallback):
    """Reports the Trainer's logs to applejack."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._started = time.monotonic()
        self._first: int | None = None

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Called every logging_steps, after each validation and at the end."""
        if not state.is_world_process_zero or not (values := progress_values(logs or {})):
            return
        self._first = state.global_step if self._first is None else self._first
        if done := state.global_step - self._first:
            rate = done * self._config.accumulation / (time.monotonic() - self._started)
            values["iterations_per_second"] = rate
        else:
            self._started = time.monotonic()
        if torch.cuda.is_available():
            values["peak_memory_gb"] = torch.cuda.max_memory_allocated() / GB
        self._config.report(state.global_step, **values)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called every save_steps. applejack compares these weights by their answers."""
        if state.is_world_process_zero:
            saved = Path(args.output_dir) / f"checkpoint-{state.global_step}" / WEIGHTS
            shutil.copyfile(saved, self._config.out / f"{state.global_step * self._config.accumulation:07d}_{WEIGHTS}")


def lora(config: Config, model: torch.nn.Module) -> LoraConfig:
    """The adapter, in PEFT's words: the linear modules of the last num_layers layers."""
    parameters = config.hyperparameters["lora_parameters"]
    linear = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layers." in name
    }
    keys = [key.rsplit(".", 1)[-1] for key in parameters.get("keys") or sorted(linear)]
    return LoraConfig(
        r=parameters["rank"],
        lora_alpha=config.alpha,
        lora_dropout=parameters["dropout"],
        target_modules=keys,
        layers_to_transform=config.layers(model.config.num_hidden_layers),
        task_type="CAUSAL_LM",
    )


def arguments(config: Config, *, validate: bool) -> SFTConfig:
    """The training, in TRL's words."""
    values, cuda = config.hyperparameters, torch.cuda.is_available()
    optimizer = values.get("optimizer", "adam")
    settings = values.get("optimizer_config", {}).get(optimizer, {})
    every = max(1, values["steps_per_eval"] // config.accumulation)
    return SFTConfig(
        output_dir=str(config.out.parent / "checkpoints"),
        max_steps=config.updates,
        per_device_train_batch_size=values["batch_size"],
        per_device_eval_batch_size=values["batch_size"],
        gradient_accumulation_steps=config.accumulation,
        learning_rate=values["learning_rate"],
        lr_scheduler_type="constant",
        weight_decay=settings.get("weight_decay", 0.0),
        max_length=values["max_seq_length"],
        gradient_checkpointing=bool(values.get("grad_checkpoint")),
        bf16=cuda and torch.cuda.is_bf16_supported(),
        use_cpu=not cuda,
        seed=values["seed"],
        logging_steps=max(1, values["steps_per_report"] // config.accumulation),
        eval_strategy="steps" if validate else "no",
        eval_steps=every,
        save_steps=max(1, values["save_every"] // config.accumulation),
        save_total_limit=2,
        report_to="none",
    )


def main() -> None:
    """Train, or go on from the last checkpoint of an interrupted training, and save the adapter."""
    config = Config.read(sys.argv[-1])
    tokenizer = AutoTokenizer.from_pretrained(config.student)
    model = AutoModelForCausalLM.from_pretrained(config.student, dtype="auto")
    train, valid = (
        Dataset.from_list([labelled(row, tokenizer) for row in config.rows(split)]) for split in ("train", "valid")
    )
    trainer = SFTTrainer(
        model=model,
        args=arguments(config, validate=len(valid) > 0),
        train_dataset=train,
        eval_dataset=valid if len(valid) else None,
        processing_class=tokenizer,
        peft_config=lora(config, model),
        callbacks=[Progress(config)],
    )
    folder = config.out.parent / "checkpoints"
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)) if folder.is_dir() else None)
    if trainer.is_world_process_zero():
        trainer.model.save_pretrained(config.out)


if __name__ == "__main__":
    main()
