"""How long a training is: rows, epochs, iterations."""

import math
from dataclasses import dataclass
from typing import cast

from config.hyperparameter_schema import OWN
from config.records import JsonObject

FEWEST_EPOCHS = 1  # with less, some rows are never trained on
MOST_EPOCHS = 10  # three to five are usual; far beyond, a few hundred rows are learnt by heart
FEWEST_ITERATIONS = 20  # a 135M student made well-formed calls after 20 and not before
DEFAULT_BATCH = 4  # mlx_lm's, for a file without batch_size


@dataclass(frozen=True)
class TrainingSize:
    """The length of one training."""

    rows: int
    sequences: int
    """the rows of a conversation are merged into one (sequences.py)"""
    batch: int
    iterations: int

    @property
    def epochs(self) -> float:
        """Passes over the sequences."""
        return round(self.iterations * self.batch / self.sequences, 2)

    @property
    def line(self) -> str:
        """The size in one line: "138 rows of 69 sequences, 3 epochs, 207 iterations of 1 sequence"."""
        return (
            f"{_counted(self.rows, 'row')} of {_counted(self.sequences, 'sequence')}, "
            f"{_counted(self.epochs, 'epoch')}, "
            f"{_counted(self.iterations, 'iteration')} of {_counted(self.batch, 'sequence')}"
        )

    @property
    def warning(self) -> str:
        """Why that is far too little or too much, with the remedy; "" if it is not."""
        if self.epochs < FEWEST_EPOCHS:
            return f"{self.line}: some rows are never trained on; raise iters, or set epochs instead of it"
        if self.epochs > MOST_EPOCHS:
            return f"{self.line}: so many passes teach the rows by heart; lower iters or epochs, or generate more rows"
        if self.iterations < FEWEST_ITERATIONS:
            return f"{self.line}: too few to learn from; generate more rows, lower batch_size or raise epochs"
        return ""


def sized(values: JsonObject, rows: int, sequences: int) -> tuple[TrainingSize, JsonObject]:
    """The size of a training on so many rows, merged into `sequences`, and the hyperparameters for mlx_lm.

    A fixed `iters` stays; else epochs determine it. Reports, validations and checkpoints become more frequent in a
    short training, unless their steps are set.
    """
    batch = cast("int", values.get("batch_size", DEFAULT_BATCH))
    epochs = cast("float | None", values.get("epochs"))
    iterations = math.ceil(sequences * epochs / batch) if epochs else cast("int", values["iters"])
    steps: JsonObject = {
        "steps_per_report": min(10, max(1, iterations // 20)),
        "steps_per_eval": min(50, max(1, iterations // 4)),
        "save_every": min(100, max(1, iterations // 2)),
    }
    own = {key: value for key, value in values.items() if key not in OWN}
    return TrainingSize(rows, sequences, batch, iterations), {**steps, **own, "iters": iterations}


def _counted(number: float, noun: str) -> str:
    return f"{number:,g} {noun}{'' if number == 1 else 's'}"
