"""Format a Report as a self-contained HTML page without scripts or external resources, in light and dark mode."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from config.report.metrics import Fraction, Training
from config.report.model import Report
from config.report.rows import Line, Value, lines

RATES = (  # drawn as bars: name in Metrics, label, whether more is better
    ("tool_when_needed", "A tool called when needed", True),
    ("real_result_when_needed", "A real result when needed", True),
    ("final_answer", "Final answer given", True),
    ("correct", "Correct answers", True),
    ("loop", "Tool loops", False),
    ("invented_turn", "Invented turns", False),
    ("unsupported_claim", "Answers that no result supports", False),
)
CHART_WIDTH, CHART_HEIGHT, CHART_LEFT, CHART_BOTTOM = 640, 220, 48, 28  # in SVG units

STYLE = Path(__file__).with_suffix(".css")


def html(report: Report) -> str:
    """The page. All values from the run are escaped."""
    rows = lines((report.before, report.after), (None, report.training), report.targets)
    parts = [
        f"<h1>{escape(report.run_id)}</h1>",
        f'<p class="about quiet">Student {escape(report.student_name)}</p>',
        f'<p class="about quiet">Adapter {escape(report.adapter or "none")}</p>',
        *([f'<p class="about quiet">{escape(report.teacher)}</p>'] if report.teacher else []),
        "<h2>Before and after</h2>",
        _bars(report),
        "<h2>All measures</h2>",
        _table(("before", "after"), rows),
        f'<p class="quiet">Concurrent prompts: {report.concurrency}. A dash means that there was nothing to count.</p>',
        *_training(report.training),
        "<h2>Which weights answered</h2>",
        f'<p class="about">{escape(report.identity)}</p>',
    ]
    head = [
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(report.run_id)}</title>",
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>",
    ]
    page = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        *head,
        "</head>",
        "<body>",
        *parts,
        "</body>",
        "</html>",
        "",
    ]
    return "\n".join(page)


def _bars(report: Report) -> str:
    def bar(kind: str, fraction: Fraction | None) -> str:
        share = fraction.share if fraction else None
        shown = "-" if share is None else f"{100 * share:.0f}%"
        width = 0 if share is None else 100 * share
        fill = "" if share is None else f'<div class="fill {kind}" style="width:{width:.1f}%"></div>'
        return f'<div class="bar"><div class="track">{fill}</div><span class="number">{shown}</span></div>'

    scored = (("before", report.before), ("after", report.after))
    rows = [
        f'<div>{name} <span class="quiet">{"↑" if more else "↓"}</span></div>'
        f'<div class="pair">{"".join(bar(kind, getattr(metrics, key, None)) for kind, metrics in scored)}</div>'
        for key, name, more in RATES
    ]
    legend = '<span class="key before"></span>before<span class="key after"></span>after'
    note = "↑ more is better, ↓ less is better"
    return f'<p class="legend">{note}{legend}</p>\n<div class="bars">{"".join(rows)}</div>'


def _table(names: Sequence[str], measures: Sequence[Line]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in ("measure", "target", *names))
    rows = "".join(
        f"<tr><td>{escape(line.measure)}</td><td>{escape(line.target)}</td>{''.join(map(_cell, line.values))}</tr>"
        for line in measures
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(value: Value) -> str:
    if value.reached is None:
        return f"<td>{escape(value.text)}</td>"
    kind, mark = ("good", "✓") if value.reached else ("bad", "✗")
    return f'<td class="{kind}">{escape(value.text)} {mark}</td>'


def _training(training: Training | None) -> list[str]:
    """Chart of the loss by iteration; empty with fewer than two points."""
    if training is None:
        return []
    curves = {kind: _points(training, f"{kind}_loss") for kind in ("train", "valid")}
    drawn = {kind: points for kind, points in curves.items() if len(points) > 1}
    if not drawn:
        return []
    most = max(loss for points in drawn.values() for _, loss in points) or 1.0
    last = max(iteration for points in drawn.values() for iteration, _ in points) or 1
    paths = "".join(f'<path class="{kind}" d="{_path(points, last, most)}"/>' for kind, points in drawn.items())
    labels = {"train": "training", "valid": "validation"}
    legend = "".join(f'<span class="key {kind}"></span>{labels[kind]}' for kind in drawn)
    floor = CHART_HEIGHT - CHART_BOTTOM
    axes = (
        f'<line class="axis" x1="{CHART_LEFT}" y1="{floor}" x2="{CHART_WIDTH}" y2="{floor}"/>'
        f'<line class="axis" x1="{CHART_LEFT}" y1="8" x2="{CHART_LEFT}" y2="{floor}"/>'
        f'<text x="{CHART_LEFT - 6}" y="16" text-anchor="end">{most:.2f}</text>'
        f'<text x="{CHART_LEFT - 6}" y="{floor}" text-anchor="end">0</text>'
        f'<text x="{CHART_WIDTH}" y="{CHART_HEIGHT - 8}" text-anchor="end">iteration {last:g}</text>'
    )
    svg = f'<svg viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" role="img" aria-label="loss">{axes}{paths}</svg>'
    return ["<h2>Training loss</h2>", f'<p class="legend">loss per token{legend}</p>', svg]


def _points(training: Training, name: str) -> list[tuple[float, float]]:
    points = ((line.get("iteration"), line.get(name)) for line in training.losses)
    return [(x, y) for x, y in points if isinstance(x, int | float) and isinstance(y, int | float)]


def _path(points: Sequence[tuple[float, float]], last: float, most: float) -> str:
    across, down = CHART_WIDTH - CHART_LEFT, CHART_HEIGHT - CHART_BOTTOM - 12
    return "M" + " L".join(f"{CHART_LEFT + across * x / last:.1f},{12 + down * (1 - y / most):.1f}" for x, y in points)
