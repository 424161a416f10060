"""What changed between two rows, and which measures got worse or better, with significance. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from config.report.comparison import Paired
from config.report.metrics import Interval, Rate
from config.report.verdict import SIGNIFICANT, p_value
from producer.report.tracker.row import TrackerRow

MEASURES = (  # name, label, whether more is better
    ("grounded_correct", "right answers from a real result", True),
    ("correct", "right answers", True),
    ("final_answer", "final answers", True),
    ("loop", "loops", False),
    ("invented_turn", "invented turns", False),
    ("invented_result", "invented results", False),
)
SHOWN = 60  # characters of a setting
ABSENT = "none"


@dataclass(frozen=True)
class Shift:
    """One measure that differs between two rows."""

    worse: bool
    significant: bool
    sentence: str


def changed_settings(before: TrackerRow, after: TrackerRow) -> list[str]:
    """Each setting that differs: "learning_rate: 0.0001 -> 0.0002"."""
    old, new = _settings(before), _settings(after)
    names = dict.fromkeys((*new, *old))
    return [
        f"{name}: {_short(old.get(name, ABSENT))} -> {_short(new.get(name, ABSENT))}"
        for name in names
        if old.get(name, ABSENT) != new.get(name, ABSENT)
    ]


def shifts(before: TrackerRow, after: TrackerRow) -> list[Shift]:
    """The measures that got worse, then those that got better.

    Right answers are compared prompt by prompt (exact McNemar) where both rows know the outcome of shared prompts.
    All other rates are compared as two independent samples.
    """
    found = [shift for shift in (_paired(before, after), *_unpaired(before, after)) if shift]
    return sorted(found, key=lambda shift: (not shift.worse, not shift.significant))


def difference_interval(first: Rate, second: Rate) -> Interval | None:
    """95% interval of second - first, as shares; None without counts.

    R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17
    (1998) 873-890, method 10: from the Wilson intervals of both.
    """
    a, b = first.interval, second.interval
    if a is None or b is None or first.share is None or second.share is None:
        return None
    middle = second.share - first.share
    return (
        middle - math.hypot(second.share - b[0], a[1] - first.share),
        middle + math.hypot(b[1] - second.share, first.share - a[0]),
    )


def _paired(before: TrackerRow, after: TrackerRow) -> Shift | None:
    shared = before.outcomes.keys() & after.outcomes.keys()
    paired = Paired.of((before.outcomes[key], after.outcomes[key]) for key in sorted(shared))
    lost, gained = paired.only_first, paired.only_second
    if paired.p is None or lost == gained:
        return None
    significant = paired.p < SIGNIFICANT
    sentence = (
        f"{_kind(lost > gained, significant)}: right answers on the {len(shared)} prompts of both rows: "
        f"{gained} gained, {lost} lost ({p_value(paired.p)}{'' if significant else ', not significant'})"
    )
    return Shift(lost > gained, significant, sentence)


def _unpaired(before: TrackerRow, after: TrackerRow) -> Iterator[Shift]:
    is_paired = bool(before.outcomes.keys() & after.outcomes.keys())
    for name, label, more_is_better in MEASURES:
        if is_paired and name in {"grounded_correct", "correct"}:
            continue  # compared prompt by prompt
        first, second = getattr(before.rates, name), getattr(after.rates, name)
        interval = difference_interval(first, second)
        if interval is None or first.share == second.share:
            continue
        worse = (second.share < first.share) is more_is_better
        significant = not interval[0] <= 0 <= interval[1]
        low, high = (100 * bound for bound in interval)
        yield Shift(
            worse,
            significant,
            f"{_kind(worse, significant)}: {label}: {_rate(first)} -> {_rate(second)} (95% interval of the difference: "
            f"{low:+.0f} to {high:+.0f} points, not paired{'' if significant else ', not significant'})",
        )


def _kind(worse: bool, significant: bool) -> str:
    if worse:
        return "REGRESSION" if significant else "lower, perhaps by chance"
    return "improvement" if significant else "higher, perhaps by chance"


def _settings(row: TrackerRow) -> dict[str, str]:
    student = f"{row.student}@{row.revision}" if row.revision else row.student
    return {"student": student, **row.settings}


def _rate(rate: Rate) -> str:
    return f"{rate.count} of {rate.of}"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
