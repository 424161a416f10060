"""Put the sections together for the size of a terminal; on a small one, details go before answers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from producer.overview import Overview
from producer.screen.lines import Line, styled
from producer.screen.sections import causes, head, notes, problems, steps, workers
from producer.wrapping import wrap

CUT = "generated conversations that curation will reject"
FOOTER = "Ctrl-C ends this view, not the run."
WATCH = "--watch"
FAILED = "failed jobs, by cause"
REJECTED = "rejected conversations, by reason (one may have several)"


@dataclass(frozen=True)
class Screen:
    """A rich renderable, as wide as the terminal allows. `watched`: repainted, and not higher than the terminal."""

    view: Overview
    watched: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol."""
        height = console.height if self.watched else None
        for line in screen_lines(self.view, options.max_width, height, plain=options.ascii_only):
            yield Text(line.text, style=line.style, no_wrap=True, overflow="ignore")


def screen_lines(view: Overview, width: int, height: int | None = None, *, plain: bool = False) -> list[Line]:
    """The screen for a width in columns and, of a run that is watched, a height in lines."""
    last = [] if height is None else styled(wrap(FOOTER, width), "dim")
    if height is not None:
        view = replace(view, next_steps=tuple(step for step in view.next_steps if not step.command.endswith(WATCH)))
    full = [line for number, part in enumerate(_parts(view, width, plain)) for line in _spaced(part, number)]
    if height is None or len(full) + len(last) <= height:
        return full + last
    for brief in (False, True):
        dense = [line for part in _parts(view, width, plain, brief=brief) for line in part]
        if len(dense) + len(last) <= height:
            return dense + last
    return _cropped(view, width, height - len(last), plain) + last


def _parts(view: Overview, width: int, plain: bool, *, brief: bool = False) -> Iterator[list[Line]]:
    """The sections that have something to show, the answers first and last."""
    rejected = REJECTED if view.status.kept is not None else CUT
    yield from filter(
        None,
        (
            head(view, width, plain=plain),
            workers(view.workers, width, brief=brief),
            problems(view.problems, width),
            causes(FAILED, view.failures, width, brief=brief),
            causes(rejected, view.rejections, width, brief=brief),
            [] if brief else notes(view.notes, width),
            steps(view.next_steps, width),
        ),
    )


def _spaced(part: list[Line], number: int) -> list[Line]:
    return [Line(""), *part] if number else part


def _cropped(view: Overview, width: int, height: int, plain: bool) -> list[Line]:
    """The first lines and what to do next; between them as much as there is room for."""
    *parts, last = _parts(view, width, plain, brief=True)
    last = last[: max(2, height - 4)]  # the first sentence and what is left out have a place even on a tiny terminal
    before = [line for part in parts for line in part]
    room = max(0, height - len(last) - 1)
    left = len(before) - room
    more = wrap(f"... {left} more lines: `applejack status {view.run_id}`", width)[:1]
    return [*before[:room], *styled(more, "dim"), *last][: max(0, height)]
