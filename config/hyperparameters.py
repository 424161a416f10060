"""The hyperparameters that a run may override, by name: checked before anything is queued."""

from collections.abc import Mapping
from typing import Final, TypeVar

from config.errors import UsageError
from config.questions.expected_facts import did_you_mean

T = TypeVar("T")

# mlx_lm's own list without what the train stage sets itself. Written down because a producer has no mlx_lm; a test
# compares it with the one that is installed.
KEYS: Final = (
    *("batch_size", "clear_cache_threshold", "fine_tune_type", "grad_accumulation_steps", "grad_checkpoint", "iters"),
    *("learning_rate", "lora_parameters", "lr_schedule", "mask_prompt", "max_seq_length", "num_layers", "optimizer"),
    *("optimizer_config", "project_name", "report_to", "resume_adapter_file", "save_every", "seed", "steps_per_eval"),
    *("steps_per_report", "test", "test_batches", "trust_remote_code", "val_batches"),
)


def require_known(overrides: Mapping[str, T]) -> dict[str, T]:
    """The overrides again; UsageError names the first that mlx_lm does not know."""
    for key in overrides:
        if key not in KEYS:
            raise UsageError(f"--lora {key!r}: mlx_lm knows no such hyperparameter{did_you_mean(key, KEYS)}")
    return dict(overrides)
