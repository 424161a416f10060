"""The verdict of an evaluation: each target of the user's success table reached, missed or not known."""

from collections.abc import Sequence

from config.records import Record
from config.report.comparison import Comparison, Paired
from config.report.metrics import Interval, Metrics, Rate, Spread, Targets, Training

SURE_WITHIN = (
    0.10  # an interval that reaches further than this from an "always" or "never" is too wide: under 35 prompts
)
SIGNIFICANT = 0.05  # p-value below which a difference is called one
NOT_MEASURED = "not measured"
MARKS = {True: "yes", False: "no", None: "not known"}


class TargetResult(Record):
    """One target and whether a model reaches it."""

    measure: str
    target: str
    reached: bool | None
    """None: nothing was measured"""
    figure: str
    """the rate or the median: "85%", "1 call", "18.2 s" """
    interval: Interval | None = None
    """95% interval of a rate"""
    sure: bool = True
    """False where the interval is so wide that another set of prompts may decide otherwise"""
    sentence: str
    """what it means, with the interval in words"""

    @property
    def mark(self) -> str:
        """yes, no or not known."""
        return MARKS[self.reached]


def verdict(metrics: Metrics | None, training: Training | None, targets: Targets) -> tuple[TargetResult, ...]:
    """Compare one model with the targets, in the order of the user's success table. `metrics`: the adapter's."""
    m = metrics or Metrics(prompts=0)
    return (
        _calls(m.tool_calls_per_prompt, targets),
        _reads_results(m),
        _always("final answer", m.final_answer, "prompts got a final answer"),
        _never("no loop", (("looped", m.loop), ("ran away", m.runaway))),
        _never("no invention", (("invented a turn", m.invented_turn), ("invented a result", m.invented_result))),
        _memory(training, targets),
        _seconds(m.seconds_per_prompt, targets),
    )


def summary(results: Sequence[TargetResult]) -> str:
    """Count the results in one sentence: "5 of 7 targets reached, 2 missed"."""
    missed = sum(result.reached is False for result in results)
    unknown = sum(result.reached is None for result in results)
    unsure = sum(result.reached is True and not result.sure for result in results)
    parts = [f"{sum(result.reached is True for result in results)} of {len(results)} targets reached"]
    parts += [f"{unsure} of them on too few prompts to be sure"] if unsure else []
    parts += [f"{missed} missed"] if missed else []
    parts += [f"{unknown} not known"] if unknown else []
    return ", ".join(parts)


def markdown_verdict(results: Sequence[TargetResult]) -> str:
    """The verdict as a Markdown table and its summary."""
    rows = [("target", "reached", "measured"), ("---", "---", "---")]
    rows += [(result.measure, result.mark + ("" if result.sure else "?"), result.sentence) for result in results]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + f"\n\n{summary(results)}."


def improvement(before: Metrics | None, after: Metrics | None, comparison: Comparison | None) -> str:
    """Right answers from real results before and after, and whether they differ; "" if neither was graded."""
    counted = [(who, m.grounded_correct) for who, m in (("the base model", before), ("the adapter", after)) if m]
    figures = [f"{who} {rate.count} of {rate.of} ({percents(rate.interval)})" for who, rate in counted if rate.interval]
    if not figures:
        return ""
    told = f"Right answers from a real result, of questions that need tools: {', '.join(figures)}."
    return f"{told} {difference(comparison.grounded_correct)}".rstrip() if comparison else told


def difference(paired: Paired) -> str:
    """The McNemar test in words; "" without prompts that both models answered."""
    if paired.p is None:
        return ""
    more, fewer = paired.only_second, paired.only_first
    flips = f"{more} gained, {fewer} lost"
    if not more + fewer:
        return "No prompt was gained or lost, so there is no difference to test."
    if paired.p >= SIGNIFICANT:
        return f"{flips}: chance alone could explain the split ({p_value(paired.p)}), so no difference is shown."
    kind = "improvement" if more > fewer else "decline"
    return f"{flips}: chance alone hardly explains the split ({p_value(paired.p)}); the {kind} is significant."


def p_value(p: float) -> str:
    """The exact McNemar p-value as text."""
    return "McNemar p < 0.001" if p < 0.001 else f"McNemar p = {p:.2g}"


def percents(interval: Interval | None) -> str:
    """An interval as text, "0-32%"; "" without one."""
    return f"{100 * interval[0]:.0f}-{100 * interval[1]:.0f}%" if interval else ""


def _calls(calls: Spread | None, targets: Targets) -> TargetResult:
    low, high = targets.tool_calls_per_prompt
    measure, target = f"{low:g}-{high:g} calls", f"median {low:g}-{high:g}"
    if calls is None:
        return _unknown(measure, target, "No question that needs tools was asked.")
    return TargetResult(
        measure=measure,
        target=target,
        reached=low <= calls.median <= high,
        figure=_calls_text(calls.median),
        sentence=f"Half of the questions that need tools took at most {_calls_text(calls.median)}, "
        f"nine of ten at most {_number(calls.p90)}.",
    )


def _reads_results(metrics: Metrics) -> TargetResult:
    """A real result when needed; a claim that no result holds shows that the results were not read."""
    results = _always("reads results", metrics.real_result_when_needed, "questions that need tools got a real result")
    if results.reached is None:
        return results
    claims, right = metrics.unsupported_claim, metrics.grounded_correct
    notes = []
    if right.of:
        notes.append(f"{right.count} of {right.of} were answered rightly from one ({percents(right.interval)}).")
    if claims.count:
        notes.append(f"{claims.count} of {claims.of} answers assert something that no result holds.")
    reached = False if claims.count else results.reached
    sentence = " ".join((results.sentence, *notes))
    return results.model_copy(
        update={"reached": reached, "sure": results.sure or reached is False, "sentence": sentence}
    )


def _always(measure: str, rate: Rate, happened: str) -> TargetResult:
    if rate.interval is None:
        return _unknown(measure, "always", "Nothing was measured.")
    reached, low = rate.count == rate.of, rate.interval[0]
    sure = not reached or low >= 1 - SURE_WITHIN
    told = f"{_count(rate)} {happened} ({percents(rate.interval)})."
    return TargetResult(
        measure=measure,
        target="always",
        reached=reached,
        figure=_percent(rate),
        interval=rate.interval,
        sure=sure,
        sentence=told + _doubt(sure, f"as low as {100 * low:.0f}%"),
    )


def _never(measure: str, faults: Sequence[tuple[str, Rate]]) -> TargetResult:
    """Judged by the most frequent of several faults; the sentence names each."""
    counted = [(fault, rate) for fault, rate in faults if rate.interval]
    if not counted:
        return _unknown(measure, "never", "Nothing was measured.")
    _, worst = max(counted, key=lambda one: (one[1].share or 0.0, one[1].interval or (0.0, 0.0)))
    assert worst.interval is not None
    reached = worst.count == 0
    sure = not reached or worst.interval[1] <= SURE_WITHIN
    told = ", ".join(f"{_count(rate)} answers {fault} ({percents(rate.interval)})" for fault, rate in counted)
    return TargetResult(
        measure=measure,
        target="never",
        reached=reached,
        figure=_percent(worst),
        interval=worst.interval,
        sure=sure,
        sentence=f"{told}." + _doubt(sure, f"as high as {100 * worst.interval[1]:.0f}%"),
    )


def _memory(training: Training | None, targets: Targets) -> TargetResult:
    measure = f"peak memory under {targets.peak_memory_gb:g} GB"
    target = f"< {targets.peak_memory_gb:g} GB"
    if training is None:
        return _unknown(measure, target, "Nothing was trained.")
    peak = training.peak_memory_gb
    return TargetResult(
        measure=measure,
        target=target,
        reached=peak < targets.peak_memory_gb,
        figure=f"{peak:.2f} GB",
        sentence=f"The training took at most {peak:.2f} GB{f' on {training.backend}' if training.backend else ''}.",
    )


def _seconds(seconds: Spread | None, targets: Targets) -> TargetResult:
    fast, slow = targets.seconds_per_prompt
    measure, target = f"{fast:g}-{slow:g} s a query", f"median at most {slow:g} s"
    if seconds is None:
        return _unknown(measure, target, "No time was measured.")
    faster = " That is faster than the target." if seconds.median < fast else ""
    return TargetResult(
        measure=measure,
        target=target,
        reached=seconds.median <= slow,
        figure=f"{_number(seconds.median)} s",
        sentence=f"Half of the prompts took at most {_number(seconds.median)} s, "
        f"nine of ten at most {_number(seconds.p90)} s.{faster}",
    )


def _unknown(measure: str, target: str, why: str) -> TargetResult:
    return TargetResult(measure=measure, target=target, reached=None, figure=NOT_MEASURED, sentence=why)


def _doubt(sure: bool, bound: str) -> str:
    return "" if sure else f" Too few prompts to be sure: the true rate may be {bound}."


def _count(rate: Rate) -> str:
    return f"{rate.count} of {rate.of}"


def _percent(rate: Rate) -> str:
    return f"{100 * (rate.share or 0.0):.0f}%"


def _calls_text(calls: float) -> str:
    return f"{_number(calls)} {'call' if calls == 1 else 'calls'}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
