"""Scores of base model and adapter side by side, with their 95% intervals."""

from dataclasses import dataclass

from config.errors import UsageError
from config.ledger.stages import StageView
from config.records import StageState
from config.report.metrics import Metrics, Rate
from config.report.model import Report
from config.report.verdict import improvement, percents, summary

SHOWN = (  # field of Metrics, words, whether a high rate is good
    ("grounded_correct", "Right, from a real result", True),
    ("correct", "Right answers", True),
    ("final_answer", "Final answer given", True),
    ("tool_when_needed", "Tool called when needed", True),
    ("unsupported_claim", "Asserts what no result holds", False),
    ("loop", "Loops", False),
    ("invented_turn", "Invents a turn", False),
    ("runaway", "Runs away", False),
)


@dataclass(frozen=True)
class Score:
    """One rate of one model; empty texts if nothing was measured."""

    text: str
    """ "53 of 66" """
    percent: str
    interval: str
    """ "69-88%" """
    left: str
    width: str
    """of the interval on a scale of 0 to 100%"""
    at: str
    """place of the rate itself, percent"""


@dataclass(frozen=True)
class ScoreRow:
    """One measure."""

    measure: str
    good: str
    """ "high" or "low" """
    before: Score | None
    after: Score | None


@dataclass(frozen=True)
class Target:
    """One line of the verdict."""

    measure: str
    mark: str
    tone: str
    sentence: str


@dataclass(frozen=True)
class Scores:
    """What the Run page shows of a report."""

    rows: tuple[ScoreRow, ...]
    verdict: str
    improvement: str
    targets: tuple[Target, ...]
    warnings: tuple[str, ...]


def scores(run_id: str, evaluation: StageView) -> Scores | str:
    """The scores of a run; a sentence if its report cannot be read, "" if there is none."""
    if evaluation.state is not StageState.DONE or not evaluation.result:
        return ""
    if "skipped" in evaluation.result:
        return f"The evaluation was left out: {evaluation.result['skipped']}"
    try:
        return of_report(Report.of_run(run_id, evaluation.result))
    except UsageError as error:
        return str(error)


def of_report(report: Report) -> Scores:
    """The scores of a report."""
    results = report.verdict
    return Scores(
        rows=tuple(row for name, text, high in SHOWN if (row := _row(report, name, text, high=high))),
        verdict=f"{summary(results)}.",
        improvement=improvement(report.before, report.after, report.comparison),
        targets=tuple(
            Target(result.measure, result.mark + ("" if result.sure else "?"), _tone(result.reached), result.sentence)
            for result in results
        ),
        warnings=(*report.warnings, *report.notes),
    )


def _row(report: Report, name: str, text: str, *, high: bool) -> ScoreRow | None:
    before, after = (_score(metrics, name) for metrics in (report.before, report.after))
    return ScoreRow(text, "high" if high else "low", before, after) if before or after else None


def _score(metrics: Metrics | None, name: str) -> Score | None:
    rate = getattr(metrics, name, None)
    if not isinstance(rate, Rate) or rate.share is None or rate.interval is None:
        return None
    low, high = rate.interval
    return Score(
        text=f"{rate.count} of {rate.of}",
        percent=f"{100 * rate.share:.0f}%",
        interval=percents(rate.interval),
        left=f"{100 * low:.1f}",
        width=f"{100 * (high - low):.1f}",
        at=f"{100 * rate.share:.1f}",
    )


def _tone(reached: bool | None) -> str:
    return "waiting" if reached is None else "done" if reached else "failed"
