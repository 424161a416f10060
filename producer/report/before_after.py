"""A few questions with the answers of base model and adapter side by side, from the evaluation's trajectories."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from config.records import Trajectory
from config.report.comparison import Flip
from config.report.model import Report
from producer.report.fitted import Fitted
from producer.wrapping import shorten, wrap

SHOWN = 3
ANSWER_CHARS, RESULT_CHARS = 220, 100
WIDTH = 120  # columns; wider cells are harder to compare
SIDE_BY_SIDE = 80  # columns; on a narrower terminal the answers stand one below the other


def before_after(report: Report, folder: Path) -> RenderableType | None:
    """Three questions that the adapter gained, from different categories; None if it gained none.

    `folder` is that of the report, with before.jsonl and after.jsonl.
    """
    chosen = _chosen(report.comparison.flipped if report.comparison else ())
    if not chosen:
        return None
    before, after = (_trajectories(folder / f"{phase}.jsonl") for phase in ("before", "after"))
    return Fitted(lambda width: (_beside if width >= SIDE_BY_SIDE else _below)(chosen, before, after, width))


def _below(
    chosen: Sequence[Flip], before: dict[str, Trajectory], after: dict[str, Trajectory], width: int
) -> RenderableType:
    lines = [Text("Before and after training", style="italic")]
    for flip in chosen:
        lines.append(Text("\n".join(wrap(flip.prompt, width)), style="bold"))
        for name, found in (("base model", before), ("with the adapter", after)):
            lines.append(Text(f"  {name}", style="dim"))
            told = _told(found[flip.job_id]).plain.splitlines()
            lines += [Text("\n".join(wrap(line, width, first="    "))) for line in told if line.strip()]
    return Group(*lines)


def _beside(
    chosen: Sequence[Flip], before: dict[str, Trajectory], after: dict[str, Trajectory], _: int
) -> RenderableType:
    table = Table(box=ROUNDED, show_lines=True, title=Text("Before and after training"), title_justify="left")
    for name in ("question", "base model", "with the adapter"):
        table.add_column(name, ratio=2 if name == "question" else 4, overflow="fold")
    for flip in chosen:
        table.add_row(flip.prompt, *(_told(found[flip.job_id]) for found in (before, after)))
    return Constrain(table, WIDTH)


def _chosen(flips: Sequence[Flip]) -> list[Flip]:
    """Gained flips, one of each category first."""
    gained = [flip for flip in flips if flip.gained]
    first = list({flip.category: flip for flip in reversed(gained)}.values())[::-1]
    return [*first, *(flip for flip in gained if flip not in first)][:SHOWN]


def _trajectories(file: Path) -> dict[str, Trajectory]:
    with file.open(encoding="utf-8") as lines:
        found = (Trajectory.model_validate_json(line) for line in lines if line.strip())
        return {trajectory.job_id: trajectory for trajectory in found}


def _told(trajectory: Trajectory) -> Text:
    """The calls with the start of their results, then the answer."""
    results = {message.tool_call_id: message.content or "" for message in trajectory.messages if message.role == "tool"}
    told = Text()
    for call in trajectory.tool_calls:
        told.append(f"{call.name} {shorten(str(call.arguments), RESULT_CHARS)}\n", style="cyan")
        told.append(f"{shorten(results.get(call.id, ''), RESULT_CHARS)}\n", style="dim")
    if not trajectory.tool_calls:
        told.append("no tool called\n", style="dim")
    told.append(shorten(trajectory.answer, ANSWER_CHARS) or "no answer")
    return told
