"""Precision and recall of curation, estimated from people's marks.

Precision: the share of the kept examples that deserve to be in the dataset. Recall: the share of the deserving examples
that were kept.

The marks are a stratified sample: kept and rejected examples are drawn at different rates. The strata are the verdicts
when the examples were marked, which can differ from today's if the dataset was curated again. A mark in a stratum of
N examples, n of them marked, has the weight N / n; N is recorded with the marks. Recall is a ratio of weighted sums, so
a deserving example among few marks of many rejected ones counts more than one of the kept.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from config.records import JsonObject
from config.report.metrics import Interval, wilson
from worker.curate.review.examples import Example
from worker.curate.review.marks import Mark

Cell = tuple[bool, bool, bool]
"""An example as (kept when it was marked, kept now, right)."""


@dataclass(frozen=True)
class Estimate:
    """A rate with the marks that it comes from."""

    count: int
    of: int
    rate: float
    """count / of, weighted if examples were sampled at different rates"""
    interval95: Interval


@dataclass(frozen=True)
class Judged:
    """One example with the judgement of the majority."""

    example: Example
    kept_then: bool
    right: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Precision:
    """What the marks of a dataset show. Marks that are not counted are counted here by cause."""

    judged: tuple[Judged, ...]
    """examples with a judgement, one entry each, however many people marked them"""
    precision: Estimate | None
    """None without a marked example among the kept"""
    recall: Estimate | None
    """None without marked examples on both sides, or without a deserving one"""
    weights: Mapping[bool, float]
    """examples that one mark stands for, by the verdict when it was made"""
    agreement: Estimate | None
    """examples that all of two or more people judged the same, of those that two or more judged; None without any"""
    people: int
    disputed: int
    """examples with as many marks of right as of wrong"""
    changed: int
    """marks of an example whose content is different now"""
    missing: int
    """marks of an example that is not in the dataset"""
    ambiguous: int
    """marks without a content hash whose job has several examples"""
    left_out: int
    """marks of an example that curation left out without a judgement: a duplicate, over-long, sampled out or failed"""

    def as_json(self) -> JsonObject:
        """The figures, without names and without the examples."""
        rates = {name: getattr(self, name) for name in ("precision", "recall", "agreement")}
        return {
            "marked": len(self.judged),
            **{name: None if rate is None else _json(rate) for name, rate in rates.items()},
            "people": self.people,
            "not_counted": dict(self.not_counted),
        }

    @property
    def not_counted(self) -> Mapping[str, int]:
        """Disputed examples, and marks without an example to count them for, by cause."""
        return {name: getattr(self, name) for name in ("disputed", "changed", "missing", "ambiguous", "left_out")}


def measure(examples: Sequence[Example], marks: Iterable[Mark]) -> Precision:
    """Match the marks to the examples and estimate precision and recall."""
    found = _Examples(examples)
    lost: Counter[str] = Counter()
    by_person: dict[Example, dict[str, Mark]] = defaultdict(dict)
    for mark in (mark for mark in marks if mark.mark):
        match = found.of(mark)
        if isinstance(match, Example) and match.kept is None:
            lost["left_out"] += 1
        elif isinstance(match, Example):
            by_person[match][mark.by] = mark
        else:
            lost[match] += 1
    by_example = {example: list(given.values()) for example, given in by_person.items()}
    judged = [one for example, given in by_example.items() if (one := _judge(example, given))]
    sizes = _stratum_sizes(examples, [mark for given in by_example.values() for mark in given])
    cells = Counter((one.kept_then, bool(one.example.kept), one.right) for one in judged)
    shared = [{mark.mark for mark in given} for given in by_example.values() if len(given) > 1]
    agreed = sum(len(judgements) == 1 for judgements in shared)
    return Precision(
        judged=tuple(judged),
        precision=estimate_precision(cells, sizes),
        recall=estimate_recall(cells, sizes),
        weights=_weights(cells, sizes),
        agreement=_plain(agreed, len(shared)) if shared else None,
        people=len({mark.by for given in by_example.values() for mark in given}),
        disputed=len(by_example) - len(judged),
        changed=lost["changed"],
        missing=lost["missing"],
        ambiguous=lost["ambiguous"],
        left_out=lost["left_out"],
    )


def estimate_precision(cells: Mapping[Cell, int], sizes: Mapping[bool, int]) -> Estimate | None:
    """Precision with a Wilson interval.

    If marks of both strata are kept now, they have different weights, and the interval is the Wilson interval at the
    effective sample size (sum w)^2 / sum w^2 (L. Kish, Survey Sampling, 1965).
    """
    weights = _weights(cells, sizes)
    kept = {cell: count for cell, count in cells.items() if cell[1] and count}
    of = sum(kept.values())
    if not of:
        return None
    total = sum(weights[cell[0]] * count for cell, count in kept.items())
    rate = sum(weights[cell[0]] * count for cell, count in kept.items() if cell[2]) / total
    effective = total**2 / sum(weights[cell[0]] ** 2 * count for cell, count in kept.items())
    return Estimate(sum(n for cell, n in kept.items() if cell[2]), of, rate, wilson(rate * effective, effective))


def estimate_recall(cells: Mapping[Cell, int], sizes: Mapping[bool, int]) -> Estimate | None:
    """Recall A / (A + B): A and B are the estimated numbers of deserving examples that are kept and rejected now.

    The interval combines the Wilson intervals of the strata with MOVER, for sums and for the ratio B / A (A. Donner and
    G. Zou, Closed-form confidence intervals for functions of the normal mean and standard deviation, Statistical
    Methods in Medical Research 21 (2012) 347-359). Unlike a bootstrap it does not shrink to a point when none of the
    marked rejections is right. It treats A and B as independent; they are, unless verdicts changed after marking.
    """
    weights = _weights(cells, sizes)
    if len(weights) < 2 or not any(cell[1] for cell in cells) or all(cell[1] for cell in cells):
        return None
    kept, rejected = (_total(cells, sizes, kept_now) for kept_now in (True, False))
    count, of = (sum(n for cell, n in cells.items() if cell[2] and (cell[1] or every)) for every in (False, True))
    if not of:
        return None
    low, high = _odds(rejected, kept)
    rate = kept[0] / (kept[0] + rejected[0])
    return Estimate(count, of, rate, (1 / (1 + high), 1 / (1 + low)))


def _total(cells: Mapping[Cell, int], sizes: Mapping[bool, int], kept_now: bool) -> tuple[float, float, float]:
    """The number of deserving examples with this verdict now, and its limits: a sum over the strata (MOVER)."""
    total = below = above = 0.0
    for then, marked in _marked(cells).items():
        right = cells.get((then, kept_now, True), 0)
        if then != kept_now and not any(cells.get((then, kept_now, right_)) for right_ in (True, False)):
            continue  # no marked example of this stratum changed its verdict
        low, high = wilson(right, marked)
        total += sizes[then] * right / marked
        below += (sizes[then] * (right / marked - low)) ** 2
        above += (sizes[then] * (high - right / marked)) ** 2
    return total, max(0.0, total - math.sqrt(below)), total + math.sqrt(above)


def _odds(top: tuple[float, float, float], bottom: tuple[float, float, float]) -> Interval:
    """Limits of the ratio of two independent estimates, each (value, low, high)."""
    (b, b_low, b_high), (a, a_low, a_high) = top, bottom
    if not a:
        return (b_low / a_high if a_high else 0.0), math.inf
    low_rest, high_rest = a_high * (2 * a - a_high), a_low * (2 * a - a_low)
    low = a * b - math.sqrt(max(0.0, (a * b) ** 2 - b_low * (2 * b - b_low) * low_rest))
    high = a * b + math.sqrt(max(0.0, (a * b) ** 2 - b_high * (2 * b - b_high) * high_rest))
    return (max(0.0, low / low_rest) if low_rest else b_low / (2 * a)), (high / high_rest if high_rest else math.inf)


def _weights(cells: Mapping[Cell, int], sizes: Mapping[bool, int]) -> dict[bool, float]:
    """Examples that one mark stands for, per stratum that has marks."""
    return {then: sizes[then] / marked for then, marked in _marked(cells).items()}


def _marked(cells: Mapping[Cell, int]) -> dict[bool, int]:
    marked: Counter[bool] = Counter()
    for (then, _, _), count in cells.items():
        marked[then] += count
    return {then: count for then, count in marked.items() if count}


def _stratum_sizes(examples: Sequence[Example], marks: Sequence[Mark]) -> dict[bool, int]:
    """Examples per verdict when they were marked: as last recorded, else as in the dataset now."""
    now = Counter(example.kept for example in examples)
    recorded = {m.kept: m.of for m in sorted(marks, key=lambda m: m.at or "") if m.kept is not None and m.of}
    return {kept: max(1, recorded.get(kept, now[kept])) for kept in (True, False)}


class _Examples:
    """Finds the example of a mark."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._by_job: dict[str, list[Example]] = defaultdict(list)
        for example in examples:
            self._by_job[example.job_id].append(example)

    def of(self, mark: Mark) -> Example | str:
        """The example, or why there is none: missing, changed or ambiguous."""
        named = self._by_job.get(mark.job_id, [])
        if not named:
            return "missing"
        same_run = [example for example in named if example.run_id == mark.run_id]
        if mark.content is None:
            candidates = same_run if mark.run_id else named
            return candidates[0] if len(candidates) == 1 else "ambiguous" if candidates else "missing"
        same = [example for example in same_run or named if example.content == mark.content]
        same = same or [example for example in named if example.content == mark.content]
        return next((e for e in same if e.kept == mark.kept), same[0]) if same else "changed"


def _judge(example: Example, marks: Sequence[Mark]) -> Judged | None:
    """The judgement of the majority; None if there is none."""
    right = sum(mark.mark == "right" for mark in marks)
    if 2 * right == len(marks):
        return None
    then = next((mark.kept for mark in marks if mark.kept is not None), bool(example.kept))
    return Judged(example, then, 2 * right > len(marks), tuple(mark.note for mark in marks if mark.note))


def _plain(count: int, of: int) -> Estimate:
    return Estimate(count, of, count / of, wilson(count, of))


def _json(rate: Estimate) -> JsonObject:
    low, high = rate.interval95
    return {**asdict(rate), "rate": round(rate.rate, 6), "interval95": [round(low, 6), round(high, 6)]}
