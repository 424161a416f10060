"""The sections of the screen, each for a width in columns."""

from collections.abc import Sequence

from config.training_progress import duration
from producer.overview import Overview, WorkerLine
from producer.overview.causes import Cause
from producer.overview.next_steps import Step
from producer.overview.words import counted, number
from producer.overview.workers import Problem
from producer.run_status import RunStatus
from producer.screen.lines import GAP, Line, bar, columns, sparkline, styled, widest
from producer.wrapping import NARROWEST, wrap, wrap_command, wrap_items

BAR_WIDTH = 60  # columns; a longer bar shows no more
SPARK_WIDTH = 30  # columns
FRESH_SECONDS = 10.0  # a heartbeat newer than this is as usual
SUFFERING = {"paused": "yellow", "draining": "yellow", "silent": "red", "gone": "dim"}


def head(view: Overview, width: int, *, plain: bool) -> list[Line]:
    """Whether it goes on, how far it is and how long it takes."""
    status = view.status
    lines = styled(wrap(view.headline, width), "bold red" if status.state in {"failed", "cancelled"} else "bold")
    if view.total and not status.ended:
        lines.append(Line(bar(view.done, view.total, min(width, BAR_WIDTH), plain=plain)))
    lines += styled(wrap_items([f"jobs: {', '.join(view.counts[:1])}", *view.counts[1:]], width))
    lines += styled(wrap_items([f"stages: {view.stages[0]}", *view.stages[1:]], width))
    lines += styled(training(view, width, plain=plain))
    return lines + styled(wrap(view.scores, width) if view.scores else [])


def training(view: Overview, width: int, *, plain: bool) -> list[str]:
    """The training in a line, with the losses as a sparkline in the same or the next line."""
    if not view.training:
        return []
    lines = wrap(view.training, width)
    sparks = "" if plain or len(view.status.losses) < 2 else sparkline(view.status.losses, SPARK_WIDTH)
    if sparks and widest([lines[-1]]) + len(GAP) + len(sparks) <= width:
        return [*lines[:-1], f"{lines[-1]}{GAP}{sparks}"]
    return [*lines, *([f"  loss  {sparks}"] if sparks and len(sparks) + 8 <= width else [])]


def workers(lines: Sequence[WorkerLine], width: int, *, brief: bool = False) -> list[Line]:
    """The workers, a line each; two lines where that is too wide. `brief`: a line for each state."""
    if not lines:
        return styled(wrap("no worker sent a heartbeat in the last day", width), "yellow")
    if brief:
        states = dict.fromkeys(line.state for line in lines)
        return [
            Line(text, SUFFERING.get(state, ""))
            for state in states
            for text in wrap_items(_together(state, [line for line in lines if line.state == state]), width)
        ]
    head, right = ("worker", "state", "queues", "holds", "done", "failed", "token", "seen"), (False,) * 3 + (True,) * 5
    rows = [(line.name, line.state, ", ".join(line.queues), *_figures(line)) for line in lines]
    for left_out in ((), (2,)):  # the queues are the first to go
        keep = [column for column in range(len(head)) if column not in left_out]
        table = columns([[row[column] for column in keep] for row in (head, *rows)], [right[column] for column in keep])
        if widest(table) <= width:
            styles = ["dim", *(SUFFERING.get(line.state, "") for line in lines)]
            return [Line(text, style) for text, style in zip(table, styles, strict=True)]
    return [shown for line in lines for shown in _in_words(line, width)]


def _figures(line: WorkerLine) -> tuple[str, ...]:
    """Cells: jobs in flight, generated and failed jobs, time to the first token, last heartbeat."""
    if line.silent_seconds is None:
        return "", number(line.generated), number(line.failed), "", ""
    holds = f"{line.holds}/{line.limit}" if line.limit else str(line.holds)
    token = f"{line.first_token_seconds:.1f} s" if line.first_token_seconds is not None else ""
    return holds, number(line.generated), number(line.failed), token, duration(line.silent_seconds)


def _in_words(line: WorkerLine, width: int) -> list[Line]:
    silent = line.silent_seconds or 0.0
    limit = f" of {line.limit}" if line.limit else ""
    queues = f" ({', '.join(line.queues)})" if line.queues else ""
    facts = [
        f"{line.state}{queues}",
        f"{line.generated:,} done",
        f"{line.failed:,} failed" if line.failed else "",
        f"holds {line.holds}{limit}" if line.alive else "",
        f"first token {line.first_token_seconds:.1f} s" if line.first_token_seconds is not None else "",
        f"seen {duration(silent)} ago" if silent > FRESH_SECONDS else "",
    ]
    style = SUFFERING.get(line.state, "")
    texts = [*wrap(line.name, width), *wrap_items(facts, width, first="  ")]
    return styled(texts, style)


def _together(state: str, lines: Sequence[WorkerLine]) -> list[str]:
    """Workers of one state: how many, and what they hold and have done."""
    holds, done, failed = (
        sum(values) for values in zip(*((x.holds, x.generated, x.failed) for x in lines), strict=True)
    )
    in_flight = f"{number(holds)} in flight" if lines[0].alive else ""
    return [f"{counted(len(lines), 'worker')} {state}", in_flight, f"{number(done)} done", f"{number(failed)} failed"]


def problems(found: Sequence[Problem], width: int) -> list[Line]:
    """What is wrong, once for all workers that share it, and what to do."""
    lines: list[Line] = []
    for problem in found:
        lines += styled(wrap(problem.text, width, first="! "), "yellow")
        if problem.workers:
            lines += styled(wrap_items(problem.workers, width, first="  on "))
        for command in problem.commands:
            lines += styled(wrap_command(command, width, first="  "), "cyan")
    return lines


def causes(title: str, found: Sequence[Cause], width: int, *, brief: bool = False) -> list[Line]:
    """The causes with their counts, and beside or below each the command that runs its jobs again.

    `brief`: the causes alone, one after the other.
    """
    if not found:
        return []
    if brief:
        counts = [f"{number(cause.count)} {cause.name}" for cause in found]
        return styled(wrap_items([f"{title.partition(',')[0]}: {counts[0]}", *counts[1:]], width))
    heads = columns([[number(cause.count), cause.name] for cause in found], [True, False])
    pad = widest(heads)
    beside = all(2 + pad + len(GAP) + len(cause.command) <= width for cause in found)
    lines = styled(wrap(title, width), "bold")
    for text, cause in zip(heads, found, strict=True):
        if beside:
            lines.append(Line(f"  {text.ljust(pad)}{GAP}{cause.command}".rstrip()))
        else:
            lines.append(Line(f"  {text}"))
            lines += styled(wrap_command(cause.command, width, first="      ") if cause.command else [])
    return lines


def notes(texts: Sequence[str], width: int) -> list[Line]:
    """What is good to know and not wrong."""
    return [line for text in texts for line in styled(wrap(text, width), "dim")]


def steps(found: Sequence[Step], width: int) -> list[Line]:
    """What to do now, each with its command."""
    lines = [Line("next", "bold")]
    for step in found:
        text = f"{step.text}: `{step.command}`" if step.command else step.text
        whole = len(step.text) + len(step.command) + 6 <= width or len(step.command) + 4 <= max(width, NARROWEST)
        if whole:
            lines += styled(wrap(text, width, first="  "))
        else:
            lines += styled([*wrap(f"{step.text}:", width, first="  "), *wrap_command(step.command, width, first="  ")])
    return lines


def other_runs(runs: Sequence[RunStatus], more: int, width: int) -> list[Line]:
    """Runs in a line each: name, state and result."""
    if not runs:
        return []
    rows = [[status.run_id, status.state, in_brief(status)] for status in runs]
    table = columns(rows, [False, False, False])
    if 2 + widest(table) > width:
        table = [text for row in rows for text in wrap(f"{row[0]} {row[1]}: {row[2]}", width - 2)]
    left = [f"  and {counted(more, 'run')} more; `--json` lists all"] if more else []
    return [Line("other runs", "bold"), *styled([f"  {text}" for text in table]), *styled(left)]


def in_brief(status: RunStatus) -> str:
    """How far a run is, in a few words."""
    if status.stage == "failed":
        return f"in the stage {status.error.partition(':')[0]}"
    if status.kept is not None:
        return f"{number(status.kept)} kept, {number(status.rejected or 0)} rejected"
    return f"{number(status.generated + status.failed)} of {counted(status.total, 'job')} done"
