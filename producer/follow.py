"""Follow a run until it ends: a screen that is repainted in place, or a line per change where stdout is no terminal."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from config.errors import StoreError
from config.ledger import Ledger
from producer.output import Output
from producer.overview import Overview, load_overview
from producer.run_status import RunStatus
from producer.screen import Screen
from producer.wrapping import printable, wrap

POLL_SECONDS = 0.5
LINE_SECONDS = 5.0  # between lines that differ in counts only


def follow(
    ledger: Ledger, run_id: str, output: Output, *, tend: Callable[[], None] = lambda: None, whole: bool = False
) -> RunStatus:
    """Show progress until the run is done, failed or cancelled; returns its last status.

    A paused run is waited for. Ctrl-C does not stop the run. Calls `tend` before each refresh, about twice a second.
    Retries while the ledger is unavailable. `whole`: the screen takes the whole terminal, which is restored at the end,
    and the caller prints the last view.
    """
    if output.console.is_interactive:
        return _follow_on_terminal(ledger, run_id, output.console, tend, whole=whole)
    return _follow_in_lines(ledger, run_id, output.console, tend)


def _follow_on_terminal(
    ledger: Ledger, run_id: str, console: Console, tend: Callable[[], None], *, whole: bool
) -> RunStatus:
    live = Live(Text(f"run {run_id}"), console=console, auto_refresh=False, transient=True, screen=whole)
    with _sigterm_exits(), live:
        while True:
            tend()
            try:
                view = load_overview(ledger, run_id)
            except StoreError as error:
                live.update(Text(f"waiting for the ledger: {printable(str(error))}"), refresh=True)
            else:
                if view.status.ended:
                    break
                live.update(Screen(view, watched=True), refresh=True)
            time.sleep(POLL_SECONDS)
    if not whole:
        console.print("\n".join(wrap(change_line(view), console.width)), markup=False)
    return view.status


@contextmanager
def _sigterm_exits() -> Iterator[None]:
    """Make SIGTERM an exception meanwhile: otherwise it would leave the terminal without a cursor."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _follow_in_lines(ledger: Ledger, run_id: str, console: Console, tend: Callable[[], None]) -> RunStatus:
    """Prints changes of state at once, and of counts at most every LINE_SECONDS."""
    said: tuple[object, ...] = ()
    last, printed_at = "", 0.0
    while True:
        tend()
        try:
            view = load_overview(ledger, run_id)
        except StoreError as error:
            line = f"waiting for the ledger: {printable(str(error))}"
            now: tuple[object, ...] = (line,)
        else:
            line, now = change_line(view), change_key(view)
            if view.status.ended:
                break
        due = now != said or time.monotonic() - printed_at > LINE_SECONDS
        if line != last and due:
            console.print(line, soft_wrap=True, markup=False)
            said, last, printed_at = now, line, time.monotonic()
        time.sleep(POLL_SECONDS)
    console.print(line, soft_wrap=True, markup=False)
    return view.status


def change_line(view: Overview) -> str:
    """A run in one line: its headline, what is wrong, and the command to resume it if it is paused."""
    status = view.status
    counts = f"jobs: {', '.join(view.counts)}"
    training = view.training if status.training else ""
    wrong = "; ".join(printable(problem.text) for problem in view.problems)
    command = view.next_steps[0].command if status.state in {"paused", "cancelled"} else ""
    return "; ".join(filter(None, (view.headline.rstrip("."), counts, training, wrong, command and f"`{command}`")))


def change_key(view: Overview) -> tuple[object, ...]:
    """What is printed at once when it changes."""
    status = view.status
    stages = tuple(stage.state for stage in status.stages)
    states = tuple((worker.name, worker.state) for worker in view.workers)
    return status.state, status.missing_role, stages, states, tuple(problem.text for problem in view.problems)
