"""Bars: a rate with its interval before and after, as percentages of the track's width."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.report.metrics import CategoryScore, Fraction, Metrics, Rate
from config.report.model import Report
from config.report.unseen import Unseen

RATES = (  # name in Metrics, label, whether more is better
    ("grounded_correct", "Right answers from a real result", True),
    ("correct", "Right answers", True),
    ("real_result_when_needed", "A real result when needed", True),
    ("tool_when_needed", "A tool called when needed", True),
    ("no_tool_when_not_needed", "No tool called when not needed", True),
    ("final_answer", "Final answer given", True),
    ("loop", "Tool loops", False),
    ("runaway", "Runaway answers", False),
    ("invented_turn", "Invented turns", False),
    ("invented_result", "Invented tool results", False),
    ("unsupported_claim", "Answers that no result supports", False),
)


@dataclass(frozen=True)
class Bar:
    """One rate. Positions are percentages of the width."""

    kind: str
    """before or after"""
    text: str
    counts: str
    width: float | None
    """None: nothing was counted"""
    low: float
    span: float
    """width of the 95% interval, which starts at `low`"""


@dataclass(frozen=True)
class Row:
    """Bars of one measure or category."""

    label: str
    note: str
    bars: tuple[Bar, ...]


def bar(kind: str, fraction: Fraction | None) -> Bar:
    """The bar of one rate; an empty one if nothing was counted."""
    if fraction is None or fraction.share is None or fraction.interval is None:
        return Bar(kind, "-", "", None, 0.0, 0.0)
    low, high = fraction.interval
    counts = f"{fraction.count} of {fraction.of}"
    return Bar(kind, f"{100 * fraction.share:.0f}%", counts, 100 * fraction.share, 100 * low, 100 * (high - low))


def models(scores: Report | Unseen) -> list[tuple[str, Metrics]]:
    """The models that were scored: ("before", base) and ("after", adapter)."""
    return [(kind, metrics) for kind, metrics in (("before", scores.before), ("after", scores.after)) if metrics]


def rate_rows(scored: Sequence[tuple[str, Metrics]]) -> list[Row]:
    """A row for each rate of which something was counted."""
    return [
        Row(label, "↑" if more else "↓", tuple(bar(kind, getattr(metrics, name)) for kind, metrics in scored))
        for name, label, more in RATES
        if any(getattr(metrics, name).of for _, metrics in scored)
    ]


def category_rows(scored: Mapping[str, Mapping[str, CategoryScore]]) -> list[Row]:
    """A row for each category; first those where the last model is least often right. `scored`: by before, after."""
    last = list(scored.values())[-1]
    names = sorted({name for scores in scored.values() for name in scores}, key=lambda name: (_share(last, name), name))
    return [_category_row(name, scored) for name in names]


def is_counted(row: Row) -> bool:
    """Whether any of a row's bars has a rate."""
    return any(one.width is not None for one in row.bars)


def _category_row(name: str, scored: Mapping[str, Mapping[str, CategoryScore]]) -> Row:
    rates = {kind: _right(scores.get(name)) for kind, scores in scored.items()}
    needs_tools = any(score.grounded_correct.of for scores in scored.values() if (score := scores.get(name)))
    return Row(name, "" if needs_tools else "no tool needed", tuple(bar(kind, rate) for kind, rate in rates.items()))


def _right(score: CategoryScore | None) -> Rate | None:
    """Right answers: from a real result, if the category needs tools."""
    return (score.grounded_correct if score.grounded_correct.of else score.correct) if score else None


def _share(scores: Mapping[str, CategoryScore], name: str) -> float:
    rate = _right(scores.get(name))
    return 2.0 if rate is None or rate.share is None else rate.share  # not graded: last
