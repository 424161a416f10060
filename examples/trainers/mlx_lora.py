"""Trains with mlx_lm's own command: python mlx_lora.py CONFIG.json

It shows the contract with the fewest lines. applejack's own trainer does the same and reports more.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from contract import Config

COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # mlx_lm colours its table also off a terminal
FIGURE = r"([0-9.]+|nan|inf)"
TRAIN = re.compile(rf"^\s*(\d+)\s+{FIGURE} [▼▲]\s+([0-9,]+)")  # mlx_lm 0.32: iteration, loss, tokens a second
VALID = re.compile(rf"^\s*(\d+)\s+val\s+{FIGURE}")


def values_of(line: str) -> tuple[int, dict[str, float]] | None:
    """Iteration and figures of a line of mlx_lm's table; None for other lines."""
    line = COLOUR.sub("", line)
    if found := TRAIN.match(line):
        return int(found[1]), {"train_loss": float(found[2]), "tokens_per_second": float(found[3].replace(",", ""))}
    if found := VALID.match(line):
        return int(found[1]) - 1, {"valid_loss": float(found[2])}  # it validates before the iteration
    return None


def data(config: Config) -> Path:
    """A folder with the splits that have rows: mlx_lm's command fails on an empty file."""
    folder = config.out.parent / "data"
    folder.mkdir(exist_ok=True)
    for split in ("train", "valid", "test"):
        (folder / f"{split}.jsonl").unlink(missing_ok=True)
        if config.rows(split):
            (folder / f"{split}.jsonl").symlink_to(config.dataset / f"{split}.jsonl")
    return folder


def main() -> None:
    """Run `mlx_lm lora` and report what it prints."""
    config = Config.read(sys.argv[-1])
    options = config.out.parent / "mlx_lm.json"  # it reads YAML, of which JSON is a part
    paths = {"model": str(config.student), "data": str(data(config)), "adapter_path": str(config.out)}
    options.write_text(json.dumps({**config.hyperparameters, **paths, "train": True}), encoding="utf-8")
    command = [sys.executable, "-m", "mlx_lm", "lora", "--config", str(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := values_of(line):
                config.report(found[0], **found[1])
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
