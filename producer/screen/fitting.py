"""Put the sections together for the size of a terminal; on a small one, details go before answers."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from producer.overview import Overview
from producer.screen.lines import Line, styled
from producer.screen.sections import causes, head, notes, problems, steps, workers
from producer.wrapping import wrap

CUT = "generated conversations that curation will reject"
FAILED = "failed jobs, by cause"
REJECTED = "rejected conversations, by reason (one may have several)"
MOST_CAUSES = 2  # of each kind, where the terminal is low


@dataclass(frozen=True)
class Screen:
    """A rich renderable: as wide as the terminal allows. `fit`: not higher than the terminal either."""

    view: Overview
    fit: bool = False
    footer: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol."""
        height = console.height if self.fit else None
        for line in screen_lines(self.view, options.max_width, height, plain=options.ascii_only, footer=self.footer):
            yield Text(line.text, style=line.style, no_wrap=True, overflow="ignore")


def screen_lines(
    view: Overview, width: int, height: int | None = None, *, plain: bool = False, footer: str = ""
) -> list[Line]:
    """The screen for a width in columns and, if given, a height in lines."""
    last = styled(wrap(footer, width), "dim") if footer else []
    full = [line for number, part in enumerate(_parts(view, width, plain)) for line in _spaced(part, number)]
    if height is None or len(full) + len(last) <= height:
        return full + last
    for brief, most in ((False, None), (True, None), (True, MOST_CAUSES)):
        dense = [line for part in _parts(view, width, plain, brief=brief, most=most) for line in part]
        if len(dense) + len(last) <= height:
            return dense + last
    return _cropped(view, width, height, plain) + last if height > len(last) else full[:height]


def _parts(
    view: Overview, width: int, plain: bool, *, brief: bool = False, most: int | None = None
) -> Iterator[list[Line]]:
    """The sections that have something to show, the answers first and last."""
    yield from filter(
        None,
        (
            head(view, width, plain=plain),
            workers(view.workers, width, brief=brief),
            problems(view.problems, width),
            causes(FAILED, view.failures, width, most=most),
            causes(REJECTED if view.status.kept is not None else CUT, view.rejections, width, most=most),
            [] if brief else notes(view.notes, width),
            steps(view.next_steps, width),
        ),
    )


def _spaced(part: list[Line], number: int) -> list[Line]:
    return [Line(""), *part] if number else part


def _cropped(view: Overview, width: int, height: int, plain: bool) -> list[Line]:
    """The first lines and what to do next; between them as much as there is room for."""
    parts = list(_parts(view, width, plain, brief=True, most=MOST_CAUSES))
    last = parts[-1]
    before = [line for part in parts[:-1] for line in part]
    room = max(0, height - len(last) - 2)
    left = len(before) - room
    more = wrap(f"... {left} more lines: `applejack status {view.run_id}`", width)[:1]
    return [*before[:room], *styled(more, "dim"), *last][: height - 1]
