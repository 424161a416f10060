"""Following a run: live progress until it has ended."""

import time
from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from config.errors import StoreError
from config.ledger import Ledger
from config.records import JsonObject, StageState
from config.topology import QUEUE_GENERATE, Stage
from producer.output import Output
from producer.run_status import RunStatus, status

POLL_SECONDS = 0.5
LINE_SECONDS = 5.0  # between lines where there is no terminal to redraw


def follow(ledger: Ledger, run_id: str, output: Output, *, tend: Callable[[], None] = lambda: None) -> RunStatus:
    """Show the run until it is done or failed; its last status. Ctrl-C ends the watching, not the run.

    `tend` is called with every look, about twice a second. An outage of the ledger is waited out.
    """
    console = output.console
    said, said_at = "", 0.0
    with Live(Text(f"run {run_id}"), console=console, auto_refresh=False, transient=True) as live:
        while True:
            tend()
            try:
                seen = status(ledger, run_id)
            except StoreError as error:
                live.update(Text(f"waiting for the ledger: {error}"), refresh=True)
                time.sleep(POLL_SECONDS)
                continue
            if seen.stage in {"done", "failed"}:
                break
            if console.is_terminal:
                live.update(render_panel(seen, ledger), refresh=True)
            elif (now := render_line(seen, ledger)) != said and time.monotonic() - said_at > LINE_SECONDS:
                console.print(now, soft_wrap=True)
                said, said_at = now, time.monotonic()
            time.sleep(POLL_SECONDS)
    console.print(render_line(seen, ledger), soft_wrap=True)
    return seen


def render_line(seen: RunStatus, ledger: Ledger) -> str:
    """One line of text: where the run stands."""
    jobs = f"{seen.generated} generated, {seen.failed} failed, {seen.running} running, {seen.queued} queued"
    curated = f"; {seen.kept} kept, {seen.rejected} rejected" if seen.kept is not None else ""
    more = f"; {detail}" if (detail := stage_detail(seen, ledger)) else ""
    failed = f"; {seen.error}" if seen.error else ""
    missing_role = f"; {missing_role_hint(seen)}" if seen.missing_role else ""
    return f"{seen.run_id}: {seen.stage}: {jobs}{curated}{more}{failed}{missing_role}"


def missing_role_hint(seen: RunStatus) -> str:
    """What keeps a run from going on, and what to start."""
    start = f"`applejack worker {seen.missing_role}`, or all with `applejack up`"
    return f"no {seen.missing_role} worker is alive: start one with {start}"


def render_panel(seen: RunStatus, ledger: Ledger) -> RenderableType:
    """The run as a small panel that is drawn anew twice a second."""
    table = Table.grid(padding=(0, 2))
    done = seen.generated + seen.failed
    eta = f", {seen.eta_seconds:.0f} s left" if seen.eta_seconds else ""
    pace = "" if seen.missing_role == QUEUE_GENERATE else f"  {seen.rate:.0f}/min{eta}"
    counts = f"{done}/{seen.total}  {seen.failed} failed{pace}"
    table.add_row("generate", ProgressBar(total=max(1, seen.total), completed=done, width=30), counts)
    for view in seen.stages:
        if view.state is StageState.SKIPPED:
            continue
        detail = stage_detail(seen, ledger) if view.state is StageState.RUNNING else ""
        if view.stage is Stage.CURATE and seen.kept is not None:
            detail = f"{seen.kept} kept, {seen.rejected} rejected"
        seconds = f"  {view.seconds:.0f} s" if view.seconds is not None else ""
        table.add_row(view.stage.value, view.state.value, detail + seconds)
    return Group(Text(f"run {seen.run_id}", style="bold"), table)


def stage_detail(seen: RunStatus, ledger: Ledger) -> str:
    """What the running stage last reported."""
    running = [view.stage for view in seen.stages if view.state is StageState.RUNNING]
    reports = ledger.stages.progress(seen.run_id, running[0]) if running else []
    return format_progress(reports[-1]) if reports else ""


def format_progress(report: JsonObject) -> str:
    """One report of a stage in words."""
    if "iteration" in report:
        loss = report.get("train_loss")
        shown = f", loss {loss:.3f}" if isinstance(loss, float) else ""
        return f"iteration {report['iteration']}/{report['iterations']}{shown}"
    return f"{report.get('phase')}: {report.get('done')}/{report.get('total')}"
