"""The table of docs/machines.md: what each machine can serve and train, estimated from the models' config.json.

python -m benchmarks.machines            prints the table
python -m benchmarks.machines --write    writes it into docs/machines.md
"""

import argparse
import json
from pathlib import Path

from config.errors import TrainingError, UsageError
from worker.device.budget import RESERVE, Serving, default_shape, serving, training
from worker.device.machine import GIB, MIB, Machine, Probes
from worker.device.model_memory import Model, TrainingShape

PAGE = Path(__file__).parent.parent / "docs" / "machines.md"
MODELS = Path(__file__).with_name("models.json")
BEGIN, END = "<!-- python -m benchmarks.machines --write -->", "<!-- end -->"
MACS = (16, 32, 64, 128)  # GiB
H100_MIB = 81_559  # as nvidia-smi reports an H100 of 80 GB
NO = "-"


def machines() -> dict[str, Machine]:
    """The machines of the table. Macs have Metal's rule; a newer macOS recommends more."""
    macs = {
        f"Mac, {size} GB": Probes(
            system="darwin", memory=lambda size=size: size * GIB, mlx=dict, wired=lambda: 0
        ).measure()
        for size in MACS
    }
    host = Probes(
        system="linux", memory=lambda: 128 * GIB, mlx=lambda: {"type": "gpu"}, cuda=lambda: H100_MIB * MIB
    ).measure()
    return {**macs, "CUDA, 80 GB": host}


def models() -> list[Model]:
    """The models of the table, with weights estimated from their configuration."""
    configs = json.loads(MODELS.read_text(encoding="utf-8"))
    return [Model.from_config(name, config) for name, config in configs.items()]


def table() -> str:
    """The table as Markdown."""
    columns = ("machine", "models may use", "model", "weights", "at once", "KV caches", "training", "largest batch")
    head = f"| {' | '.join((*columns, 'each further row'))} |"
    rows = [
        row(name if first else "", machine, model)
        for name, machine in machines().items()
        for first, model in zip((True, False, False, False), models(), strict=True)
    ]
    return "\n".join((head, "|---|---|---|---|---|---|---|---|---|", *rows)) + "\n"


def row(name: str, machine: Machine, model: Model) -> str:
    """One model on one machine."""
    served, shape = served_or_none(model, machine), default_shape()
    at_once = str(served.conversations) if served else NO
    caches = gigabytes(served.cache_bytes) if served else NO
    limit = gigabytes(machine.limit) if name else ""
    return (
        "| "
        + " | ".join((name, limit, model.name, gigabytes(model.weights), at_once, caches))
        + (f" | {trained(model, machine, shape)} |")
    )


def served_or_none(model: Model, machine: Machine) -> Serving | None:
    """How the model is served; None if it does not fit."""
    try:
        return serving(model, machine)
    except UsageError:
        return None


def trained(model: Model, machine: Machine, shape: TrainingShape) -> str:
    """Estimated memory of a training with config/lora.yaml, checkpointing, and the largest batch that fits with it."""
    try:
        fit = training(model, machine, shape, checkpoint=None, fixed=False)
    except TrainingError:
        return f"{NO} | {NO} | {NO}"
    how = "checkpointed" if fit.grad_checkpoint else "plain"
    sizes = [
        model.training_bytes(TrainingShape(shape.tokens, batch, shape.layers, shape.rank), checkpoint=True) + RESERVE
        for batch in range(1, 33)
    ]
    most = sum(size <= machine.limit for size in sizes)
    return f"{gigabytes(fit.needed)}, {how} | {most} | {gigabytes(sizes[1] - sizes[0])}"


def gigabytes(size: int) -> str:
    """Decimal gigabytes, as in every message."""
    return f"{size / 1e9:.1f} GB"


def main() -> None:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write it into {PAGE.name}")
    if not parser.parse_args().write:
        print(table(), end="")
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
