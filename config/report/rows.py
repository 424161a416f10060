"""The rows of a report: measure, target, one value per column. All pages and tables use them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from config.report.comparison import Comparison
from config.report.metrics import ClusteredRate, Metrics, Rate, Sampled, Spread, Targets, Training

Column = TypeVar("Column", Metrics, Training)
NOTHING = "-"  # not measured, which is not zero


@dataclass(frozen=True)
class Value:
    """One cell; `reached`: whether the target is reached, None without a target."""

    text: str = NOTHING
    reached: bool | None = None
    short: str = ""
    """for narrow tables; "" if the text is short"""


@dataclass(frozen=True)
class Line:
    """One measure for all columns."""

    measure: str
    target: str
    values: tuple[Value, ...]


def lines(scored: Sequence[Metrics | None], trained: Sequence[Training | None], targets: Targets) -> list[Line]:
    """Build the lines of a report; `scored` and `trained` have one entry per column."""
    return [*_scores(scored, targets), *_trainings(trained, targets)]


def paired(comparison: Comparison, names: tuple[str, str]) -> list[tuple[str, ...]]:
    """A table of the paired outcomes and the exact p, with its head; a measure without a graded prompt is left out."""
    first, second = names
    counted = (("correct from a real result", comparison.grounded_correct), ("correct", comparison.correct))
    return [
        ("right answers", "both", f"only {first}", f"only {second}", "neither", "McNemar p"),
        *(
            (words, *map(str, (pair.both, pair.only_first, pair.only_second, pair.neither)), p_value(pair.p))
            for words, pair in counted
            if pair.prompts
        ),
    ]


def p_value(p: float | None) -> str:
    """Format as 0.062, or <0.001."""
    if p is None:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as a Markdown table; the first is its head, and all columns but the first are numbers."""
    head, *body = rows
    marks = ("---", *("---:" for _ in head[1:]))
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *body))


def markdown(columns: Sequence[str], table: Sequence[Line]) -> str:
    """Format lines as a Markdown table; values with a target are marked as reached or not."""
    marks = {None: "", True: " (reached)", False: " (not reached)"}
    rows = [("measure", "target", *columns), ("---", "---", *("---:" for _ in columns))]
    rows += [
        (line.measure, line.target, *(f"{value.text}{marks[value.reached]}" for value in line.values)) for line in table
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _scores(scored: Sequence[Metrics | None], targets: Targets) -> list[Line]:
    def rate(measure: str, name: str, target: float | None = None, *, atmost: bool = False) -> Line:
        def cell(metrics: Metrics) -> Value:
            counted: Rate = getattr(metrics, name)
            share = counted.share
            if share is None:
                return Value()
            reached = None if target is None else (share <= target if atmost else share >= target)
            return Value(_rate(counted), reached, _short_rate(counted))

        return _line(measure, "" if target is None else _percent(target), scored, cell)

    few, many = targets.tool_calls_per_prompt
    fast, slow = targets.seconds_per_prompt
    return [
        _line("prompts", "", scored, lambda m: Value(str(m.prompts))),
        _line(
            "tool calls per prompt, median (p90)",
            f"{few:g}-{many:g}",
            scored,
            lambda m: _spread(m.tool_calls_per_prompt, few, many),
        ),
        rate("a tool called when needed", "tool_when_needed"),
        rate("a real result when needed", "real_result_when_needed"),
        rate("no tool called when not needed", "no_tool_when_not_needed"),
        rate("calls that are well formed", "calls_well_formed"),
        rate("calls that got a real result", "calls_with_real_result"),
        rate("answers cut at the token limit", "cut"),
        rate("final answer given", "final_answer", targets.final_answer),
        rate("correct answers", "correct"),
        rate("correct answers from a real result", "grounded_correct"),
        rate("tool loops", "loop", targets.loop, atmost=True),
        rate("invented turns", "invented_turn", targets.invented_turn, atmost=True),
        rate("invented tool results", "invented_result", targets.invented_turn, atmost=True),
        rate("answers that ran away", "runaway", 0.0, atmost=True),
        rate("answers with repetitions", "repetition"),
        rate("answers that no result supports", "unsupported_claim"),
        rate("calls written as text", "call_in_text"),
        _line(
            "seconds per prompt, median (p90)",
            f"{fast:g}-{slow:g}",
            scored,
            lambda m: _spread(m.seconds_per_prompt, 0, slow),  # faster than the target is fine
        ),
        _line("did not complete", "", scored, lambda m: Value(_counts(m.failures))),
        *_samples(scored),
    ]


def _samples(scored: Sequence[Metrics | None]) -> list[Line]:
    """The rates of sampled answers; none without samples."""
    if not any(metrics and metrics.sampled for metrics in scored):
        return []

    def rate(measure: str, name: Literal["correct", "grounded_correct"]) -> Line:
        return _line(measure, "", scored, lambda m: _clustered(getattr(m.sampled, name) if m.sampled else None))

    return [
        _line("samples of each answer", "", scored, lambda m: Value(_sampling(m.sampled))),
        rate("sampled: correct answers", "correct"),
        rate("sampled: correct answers from a real result", "grounded_correct"),
    ]


def _trainings(trained: Sequence[Training | None], targets: Targets) -> list[Line]:
    if not any(trained):
        return []
    most = targets.peak_memory_gb
    return [
        _line("training: iterations", "", trained, lambda t: Value(_length(t), short=str(t.iterations))),
        _line("training: loss, first to last", "", trained, lambda t: Value(_losses(t, "train_loss"))),
        _line("training: validation loss", "", trained, lambda t: Value(_losses(t, "valid_loss"))),
        _line(
            "training: peak memory",
            f"under {most:g} GB",
            trained,
            lambda t: Value(f"{t.peak_memory_gb:.2f} GB", t.peak_memory_gb < most),
        ),
        _line("training: tokens per second", "", trained, lambda t: Value(f"{t.tokens_per_second:.0f}")),
        _line("training: seconds", "", trained, lambda t: Value(f"{t.seconds:.0f}")),
        _line("training: backend", "", trained, lambda t: Value(t.backend or "not recorded")),
    ]


def _line(measure: str, target: str, columns: Sequence[Column | None], cell: Callable[[Column], Value]) -> Line:
    return Line(measure, target, tuple(Value() if column is None else cell(column) for column in columns))


def _rate(rate: Rate) -> str:
    """Format as 12% (3 of 24; 95%: 4%-31%)."""
    if rate.share is None or rate.interval is None:
        return NOTHING
    low, high = rate.interval
    return f"{_percent(rate.share)} ({rate.count} of {rate.of}; 95%: {_percent(low)}-{_percent(high)})"


def _short_rate(rate: Rate) -> str:
    """Format as 3 of 24 (4-31%)."""
    low, high = rate.interval or (0.0, 1.0)
    return f"{rate.count} of {rate.of} ({100 * low:.0f}-{_percent(high)})"


def _sampling(sampled: Sampled | None) -> str:
    return f"{sampled.samples} at temperature {sampled.temperature:g}" if sampled else NOTHING


def _clustered(rate: ClusteredRate | None) -> Value:
    if rate is None:
        return Value()
    low, high = rate.interval95
    text = f"{_percent(rate.mean)} (of {rate.answers}; 95%: {_percent(low)}-{_percent(high)})"
    return Value(text, short=f"{_percent(rate.mean)} ({100 * low:.0f}-{_percent(high)})")


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _spread(spread: Spread | None, low: float, high: float) -> Value:
    if spread is None:
        return Value()
    return Value(f"{_short(spread.median)} ({_short(spread.p90)})", low <= spread.median <= high)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _counts(failures: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in failures.items()) or "none"


def _length(training: Training) -> str:
    """Iterations, and the epochs and rows where they are known: "207 (3 epochs of 69 rows)"."""
    known = training.rows is not None and training.epochs is not None
    return str(training.iterations) + (f" ({training.epochs:g} epochs of {training.rows} rows)" if known else "")


def _losses(training: Training, name: str) -> str:
    values = [value for line in training.losses if isinstance(value := line.get(name), int | float)]
    return f"{values[0]:.3f} to {values[-1]:.3f}" if values else NOTHING
