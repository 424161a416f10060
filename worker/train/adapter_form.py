"""Takes over the adapter of a user's trainer: mlx_lm's form as it is, PEFT's converted, no other."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import config
from config.environment import outside_environment
from config.errors import TrainingError
from config.process import last_error
from config.records import JsonObject
from worker.train.file_names import WEIGHTS
from worker.train.saved_weights import saved_weights

CONFIG = "adapter_config.json"
PEFT_WEIGHTS = "adapter_model.safetensors"
CONVERTER = "worker.train.peft_child"
NEEDED = ("num_layers", "lora_parameters")  # what mlx_lm reads
ROOT = Path(config.__file__).parent.parent  # so that the child imports this code in any working directory


def collect(made: Path, adapter: Path, *, student: Path, final: Path) -> str:
    """Copy or convert what a trainer left in `made` into `adapter`; returns why it cannot be served, "" if it can.

    `final` is where the adapter will lie. TrainingError if the trainer left no adapter, or one that is damaged.
    """
    if (made / WEIGHTS).is_file():
        _copy(made, adapter, final)
        return ""
    if (made / PEFT_WEIGHTS).is_file():
        return _convert(made, adapter, student)
    left = sorted(entry.name for entry in made.iterdir())
    if not left:
        raise TrainingError(f"the trainer left nothing in {str(made)!r}; it must write {WEIGHTS} and {CONFIG} there")
    return (
        f"the trainer left {', '.join(left[:5])} in {str(made)!r}, but neither {WEIGHTS} (mlx_lm) nor {PEFT_WEIGHTS} "
        "(PEFT), and only these can be served with the student"
    )


def _copy(made: Path, adapter: Path, final: Path) -> None:
    values = _config(made / CONFIG)
    if values.get("fine_tune_type") != "full" and (missing := [key for key in NEEDED if key not in values]):
        raise TrainingError(
            f"{str(made / CONFIG)!r} has no {' and no '.join(missing)}, which mlx_lm needs beside {WEIGHTS}; "
            f"PEFT's adapter belongs into {PEFT_WEIGHTS} instead"
        )
    (adapter / CONFIG).write_text(json.dumps({**values, "adapter_path": str(final)}, indent=4) + "\n", encoding="utf-8")
    for file in (made / WEIGHTS, *(saved.path for saved in saved_weights(made))):
        shutil.copyfile(file, adapter / file.name)


def _convert(made: Path, adapter: Path, student: Path) -> str:
    """Convert PEFT's adapter in a child process, because mlx must not be loaded in a worker."""
    _config(made / CONFIG)
    command = [sys.executable, "-P", "-m", CONVERTER, str(made), str(adapter), str(student)]
    environment = {**outside_environment(), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode == 0:
        return ""
    why = last_error(ended.stderr.splitlines()).removeprefix("SystemExit: ")
    return f"PEFT's adapter in {str(made)!r} cannot be converted for mlx_lm: {why}"


def _config(file: Path) -> JsonObject:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{str(file)!r} cannot be read ({error}); the trainer must write it") from None
    if not isinstance(values, dict):
        raise TrainingError(f"{str(file)!r} holds no keys and values; the trainer must write them")
    return values
