"""The sections of the page, in order. Each is a function from the Report to HTML, or to "" without data."""

from collections.abc import Callable, Mapping
from typing import Final

from config.report.metrics import ClusteredRate
from config.report.model import Report
from config.report.rows import lines
from config.report.unseen import Unseen
from config.report.verdict import improvement, percents, summary
from producer.report.page.bars import category_rows, is_counted, models, rate_rows
from producer.report.page.loss_chart import loss_chart
from producer.report.page.query_seconds import PARTS, stacks, time_lines
from producer.report.page.templates import render

SHOWN_FLIPS = 6  # gained prompts and lost prompts that are open at first; the others are folded


def verdict_section(report: Report) -> str:
    """Each target reached, missed or not known."""
    return render("verdict.html", results=report.verdict, summary=summary(report.verdict), report=report)


def before_and_after(report: Report) -> str:
    """The rates of base and adapter, and whether right answers differ."""
    return _rates(report) + _sampled(report)


def curves(report: Report) -> str:
    """Training and validation loss."""
    chart = loss_chart(report.training) if report.training else None
    return render("curves.html", chart=chart) if chart else ""


def categories(report: Report) -> str:
    """Right answers by category."""
    return _categories(report)


def unseen(report: Report) -> str:
    """The same for code that the student never saw."""
    if report.unseen is None:
        return ""
    results = _rates(report.unseen) + _categories(report.unseen)
    return render("unseen.html", unseen=report.unseen, results=results)


def flips(report: Report) -> str:
    """Prompts that only one of the models answered rightly."""
    flipped = report.comparison.flipped if report.comparison else ()
    groups = (
        ("Gained", "wrong before, right after", [flip for flip in flipped if flip.gained]),
        ("Lost", "right before, wrong after", [flip for flip in flipped if not flip.gained]),
    )
    return render("flips.html", groups=groups, shown=SHOWN_FLIPS) if flipped else ""


def failures(report: Report) -> str:
    """Why answers failed, with transcripts."""
    causes = sorted(report.failure_causes, key=lambda cause: -cause.count)
    most = max((cause.count for cause in causes), default=0)
    return render("failures.html", causes=causes, most=most) if most else ""


def query_seconds(report: Report) -> str:
    """Where the seconds of a query go."""
    timed = [(kind, metrics.query_time) for kind, metrics in models(report) if metrics.query_time]
    if not timed:
        return ""
    kinds, times = [kind for kind, _ in timed], [one for _, one in timed]
    prompts = max(one.prompts for one in times)
    rows = time_lines(times)
    return render("query_seconds.html", parts=PARTS, stacks=stacks(timed), kinds=kinds, rows=rows, prompts=prompts)


def training(report: Report) -> str:
    """The figures of the training."""
    scores = lines((None,), (None,), report.targets)
    rows = lines((None,), (report.training,), report.targets)[len(scores) :]
    return render("measures.html", rows=rows, names=("value",), note="") if rows else ""


def checkpoints(report: Report) -> str:
    """What each saved checkpoint answered, and which became the adapter."""
    return render("checkpoints.html", choice=report.checkpoints) if report.checkpoints else ""


def measures(report: Report) -> str:
    """Everything that was counted, beside the targets."""
    rows = lines((report.before, report.after), (None, None), report.targets)
    note = f"Concurrent prompts: {report.concurrency}. A dash means that there was nothing to count."
    return render("measures.html", rows=rows, names=("before", "after"), note=note)


def identity(report: Report) -> str:
    """Which weights answered, and how that was verified."""
    return render("identity.html", report=report)


def _rates(scores: Report | Unseen) -> str:
    scored = models(scores)
    if not (rows := rate_rows(scored)):
        return ""
    words = improvement(scores.before, scores.after, scores.comparison)
    paired = scores.comparison.grounded_correct if scores.comparison else None
    return render("before_and_after.html", words=words, paired=paired, rows=rows, kinds=[kind for kind, _ in scored])


def _categories(scores: Report | Unseen) -> str:
    scored = {kind: metrics.by_category for kind, metrics in models(scores) if metrics.by_category}
    rows = category_rows(scored) if scored else []
    counted, ungraded = [row for row in rows if is_counted(row)], [row.label for row in rows if not is_counted(row)]
    return render("categories.html", rows=counted, ungraded=ungraded, kinds=list(scored)) if rows else ""


def _sampled(report: Report) -> str:
    sampled = [(kind, metrics.sampled) for kind, metrics in models(report) if metrics.sampled]
    return render("sampled.html", models=sampled, shown=_clustered) if sampled else ""


def _clustered(rate: ClusteredRate | None) -> str:
    return f"{100 * rate.mean:.0f}% ({percents(rate.interval95)}, {rate.answers} answers)" if rate else "-"


SECTIONS: Final[Mapping[str, Callable[[Report], str]]] = {
    "Verdict": verdict_section,
    "Before and after": before_and_after,
    "Training curves": curves,
    "By category": categories,
    "Code never seen": unseen,
    "Flipped prompts": flips,
    "Why answers failed": failures,
    "Where a query's seconds go": query_seconds,
    "Training": training,
    "Checkpoints": checkpoints,
    "All measures": measures,
    "Which weights answered": identity,
}
