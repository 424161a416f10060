"""The training curves as percentages of a plot's width and height."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from config.report.metrics import Training

KINDS = {"train": "training loss", "valid": "validation loss"}
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # of a scale, times a power of ten
TICKS = 4  # about so many on each axis
Point = tuple[float, float]


@dataclass(frozen=True)
class Dot:
    """One point of a curve."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Curve:
    """One line of the chart."""

    kind: str
    name: str
    path: str
    """SVG path in a box of 100 by 100, y downwards"""
    dots: tuple[Dot, ...]
    last: str


@dataclass(frozen=True)
class Chart:
    """Curves with ticks, each (position, text)."""

    curves: tuple[Curve, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]


def loss_chart(training: Training) -> Chart | None:
    """Loss by iteration; None with fewer than two points."""
    points = {kind: _points(training, f"{kind}_loss") for kind in KINDS}
    drawn = {kind: line for kind, line in points.items() if len(line) > 1}
    if not drawn:
        return None
    losses = [loss for line in drawn.values() for _, loss in line]
    iterations = [iteration for line in drawn.values() for iteration, _ in line]
    up, across = _scale(max(*losses, 1e-6)), _scale(max(*iterations, 1.0), whole=True)
    top, right = up[-1], max(*iterations, 1.0)
    return Chart(
        curves=tuple(_curve(kind, line, right, top) for kind, line in drawn.items()),
        across=tuple((100 * value / right, f"{value:g}") for value in across if value <= right),
        up=tuple((100 * value / top, f"{value:g}") for value in up),
    )


def _curve(kind: str, line: Sequence[Point], right: float, top: float) -> Curve:
    placed = [Dot(100 * x / right, 100 * y / top, f"iteration {x:g}: {y:.3f}") for x, y in line]
    path = "M" + " L".join(f"{dot.x:.2f},{100 - dot.y:.2f}" for dot in placed)
    return Curve(kind, KINDS[kind], path, tuple(placed), f"{line[-1][1]:.3f}")


def _points(training: Training, name: str) -> list[Point]:
    """Finite points: a loss that became NaN is not drawn."""
    points = ((line.get("iteration"), line.get(name)) for line in training.losses)
    known = [(float(x), float(y)) for x, y in points if isinstance(x, int | float) and isinstance(y, int | float)]
    return [(x, y) for x, y in known if math.isfinite(x) and math.isfinite(y)]


def _scale(most: float, *, whole: bool = False) -> list[float]:
    """Round numbers from 0 to at least `most`."""
    power = 10.0 ** math.floor(math.log10(most / TICKS))
    step = next(power * step for step in STEPS if power * step * TICKS >= most * (1 - 1e-9))
    step = max(1.0, step) if whole else step
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]
