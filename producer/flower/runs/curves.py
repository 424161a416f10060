"""Data of the charts of a run: jobs finished per minute, and the losses of its training."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.records import JsonObject
from producer.flower.runs import words

MOST_POINTS = 240  # of a curve: as many as are visible, and few enough to send often
WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 240, 720, 1440)  # minutes of one point
BUCKET = 10  # seconds of one of the ledger's counters


@dataclass(frozen=True)
class Curve:
    """One chart and its description in words."""

    data: JsonObject
    """see static/charts.js"""
    caption: str
    drawn: bool
    """whether there are enough points to draw"""


def throughput(rates: dict[int, int], *, now: float) -> Curve:
    """Jobs finished per minute, from the first to the last. `rates` counts jobs by epoch seconds // 10.

    The point that is still being filled is left out, so that the curve does not end in a drop.
    """
    if not rates:
        return _empty("No job has finished yet.")
    first, last = min(rates) * BUCKET, max(rates) * BUCKET
    minutes = next((wide for wide in WIDTHS if (last - first) / 60 / wide < MOST_POINTS), WIDTHS[-1])
    width = minutes * 60
    counted: dict[int, int] = {}
    for bucket, count in rates.items():
        counted[bucket * BUCKET // width] = counted.get(bucket * BUCKET // width, 0) + count
    slots = [slot for slot in range(first // width, last // width + 1) if (slot + 1) * width <= now]
    values = [round(counted.get(slot, 0) / minutes, 2) for slot in slots]
    data: JsonObject = {
        "x": [slot * width for slot in slots],
        "time": True,
        "series": [{"label": "jobs a minute", "values": [*values], "color": "--flower-active", "fill": True}],
        "unit": "jobs a minute",
        "label": "Jobs finished per minute over the run",
    }
    return Curve(data, _described(values, minutes), len(slots) > 1)


def losses(records: Sequence[JsonObject]) -> Curve:
    """The training and the validation loss by iteration."""
    points: dict[int, dict[str, float]] = {}
    for record in records:
        iteration = record.get("iteration")
        for name in ("train_loss", "valid_loss"):
            value = record.get(name)
            if isinstance(iteration, int) and isinstance(value, int | float):
                points.setdefault(iteration, {})[name] = round(float(value), 4)
    if not points:
        return _empty("No loss has been reported yet.")
    step = -(-len(points) // MOST_POINTS)
    ordered = sorted(points)
    # each step-th point, but every validation, of which there are few
    chosen = [at for n, at in enumerate(ordered) if n % step == 0 or "valid_loss" in points[at] or at == ordered[-1]]
    series: list[JsonObject] = [
        {"label": label, "values": [points[at].get(name) for at in chosen], "color": color}
        for name, label, color in (
            ("train_loss", "training", "--flower-active"),
            ("valid_loss", "validation", "--flower-warning"),
        )
        if any(name in points[at] for at in chosen)
    ]
    data: JsonObject = {
        "x": [*chosen],
        "time": False,
        "series": [*series],
        "unit": "loss",
        "label": "Loss of the training by iteration",
    }
    return Curve(data, _losses_described(points), len(chosen) > 1)


def _empty(caption: str) -> Curve:
    return Curve({"x": [], "series": [], "label": caption}, caption, drawn=False)


def _described(values: Sequence[float], minutes: int) -> str:
    if len(values) < 2:
        return "The jobs took too short a time for a curve so far."
    per = "minute" if minutes == 1 else f"{minutes} minutes"
    mean = sum(values) / len(values)
    extremes = f"{words.pace(max(values))} in the best {per}, {words.pace(values[-1])} in the last"
    return f"{words.pace(mean)} jobs a minute on average, {extremes}. Times are in UTC."


def _losses_described(points: dict[int, dict[str, float]]) -> str:
    parts = []
    for name, label in (("train_loss", "Training loss"), ("valid_loss", "validation loss")):
        known = [points[at][name] for at in sorted(points) if name in points[at]]
        if known:
            parts.append(f"{label} {known[0]:.3f} at first, {known[-1]:.3f} now")
    return f"{words.shorten('; '.join(parts))}." if parts else ""
