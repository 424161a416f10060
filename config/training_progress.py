"""Where a running training stands, from the reports of the train stage; also the one line that people read."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.records import JsonObject


@dataclass(frozen=True)
class TrainingProgress:
    """A running training. A value is None until a report has it."""

    iteration: int
    iterations: int
    train_loss: float | None
    valid_loss: float | None
    tokens_per_second: float | None
    peak_memory_gb: float | None
    seconds_left: float | None
    rows: int | None
    epochs: float | None

    @property
    def line(self) -> str:
        """ "iteration 120 of 207, loss 0.412, 148 tokens/s, 1.4 GB, 3 min left": at most 80 columns."""
        if self.iteration == 0 and self.train_loss is None and self.valid_loss is None:
            size = f": {self.rows} rows, {self.epochs:g} epochs" if self.rows and self.epochs else ""
            return f"loading the model{size}, {self.iterations} iterations"
        validated = f"validation loss {self.valid_loss:.3f}" if self.valid_loss is not None else ""
        parts = (
            f"iteration {self.iteration} of {self.iterations}",
            f"loss {self.train_loss:.3f}" if self.train_loss is not None else validated,
            f"{self.tokens_per_second:.0f} tokens/s" if self.tokens_per_second is not None else "",
            f"{self.peak_memory_gb:.1f} GB" if self.peak_memory_gb else "",
            f"{duration(self.seconds_left)} left" if self.seconds_left is not None else "",
        )
        return ", ".join(filter(None, parts))


def training_progress(reports: Sequence[JsonObject]) -> TrainingProgress | None:
    """Summarise the reports of a train stage, oldest first; None without any."""
    lines = [report for report in reports if "iteration" in report]
    if not lines:
        return None

    def last(name: str) -> float | None:
        return next((value for line in reversed(lines) if (value := _number(line, name)) is not None), None)

    rows = _number(lines[0], "rows")
    done, total = (int(_number(lines[-1], name) or 0) for name in ("iteration", "iterations"))
    return TrainingProgress(
        iteration=done,
        iterations=total,
        train_loss=last("train_loss"),
        valid_loss=last("valid_loss"),
        tokens_per_second=last("tokens_per_second"),
        peak_memory_gb=last("peak_memory_gb"),
        seconds_left=_seconds_left(lines, total - done),
        rows=None if rows is None else int(rows),
        epochs=_number(lines[0], "epochs"),
    )


def duration(seconds: float) -> str:
    """ "40 s", "3 min", "2 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def _seconds_left(lines: Sequence[JsonObject], left: int) -> float | None:
    """By the mean speed since the first trained report, validation included; by the last speed for an older worker.

    The iterations before that report also compile kernels: a minute for five of them on an H200.
    """
    timed = [(done, seconds) for line in lines if (seconds := _number(line, "seconds")) is not None
             and (done := _number(line, "iteration")) is not None]  # fmt: skip
    trained = [report for report in timed if report[0] > 0]
    if trained and trained[-1][0] > trained[0][0]:
        timed = trained
    if timed and timed[-1][0] > timed[0][0]:
        (first, began), (last, ended) = timed[0], timed[-1]
        return round(left * (ended - began) / (last - first), 1)
    speeds = [speed for line in lines if (speed := _number(line, "iterations_per_second"))]
    return round(left / speeds[-1], 1) if speeds else None


def _number(line: JsonObject, name: str) -> float | None:
    value = line.get(name)
    return float(value) if isinstance(value, int | float) else None
