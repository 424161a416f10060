"""Follow a run: show live progress until it ends."""

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
from producer.run_status import RunStatus
from producer.run_status import status as load_status

POLL_SECONDS = 0.5
LINE_SECONDS = 5.0  # between progress lines if stdout is not a terminal


def follow(ledger: Ledger, run_id: str, output: Output, *, tend: Callable[[], None] = lambda: None) -> RunStatus:
    """Show progress until the run is done or failed; returns its last status. Ctrl-C does not stop the run.

    Calls `tend` before each refresh, about twice a second. Retries while the ledger is unavailable.
    """
    console = output.console
    last_line, printed_at = "", 0.0
    with Live(Text(f"run {run_id}"), console=console, auto_refresh=False, transient=True) as live:
        while True:
            tend()
            try:
                status = load_status(ledger, run_id)
            except StoreError as error:
                live.update(Text(f"waiting for the ledger: {error}"), refresh=True)
                time.sleep(POLL_SECONDS)
                continue
            if status.stage in {"done", "failed"}:
                break
            if console.is_terminal:
                live.update(render_panel(status, ledger), refresh=True)
            elif (line := render_line(status, ledger)) != last_line and time.monotonic() - printed_at > LINE_SECONDS:
                console.print(line, soft_wrap=True)
                last_line, printed_at = line, time.monotonic()
            time.sleep(POLL_SECONDS)
    console.print(render_line(status, ledger), soft_wrap=True)
    return status


def render_line(status: RunStatus, ledger: Ledger) -> str:
    """The run's progress as one line of text."""
    jobs = (
        f"{status.generated} generated{truncated_count(status)}, {status.failed} failed, "
        f"{status.running} running, {status.queued} queued"
    )
    curated = f"; {curated_counts(status)}" if status.kept is not None else ""
    more = f"; {detail}" if (detail := stage_detail(status, ledger)) else ""
    failed = f"; {status.error}" if status.error else ""
    missing_role = f"; {missing_role_hint(status)}" if status.missing_role else ""
    return f"{status.run_id}: {status.stage}: {jobs}{curated}{more}{failed}{missing_role}"


def truncated_count(status: RunStatus) -> str:
    """The jobs that max_tokens cut as text, " (3 truncated)"; "" without any."""
    return f" ({status.truncated} truncated)" if status.truncated else ""


def curated_counts(status: RunStatus) -> str:
    """Result of curation as text: "53 kept, 114 rejected, correct: 66 of 167"."""
    graded = status.correct if status.correct and status.correct["of"] else None
    correct = f", correct: {graded['count']} of {graded['of']}" if graded else ""
    return f"{status.kept} kept, {status.rejected} rejected{correct}"


def missing_role_hint(status: RunStatus) -> str:
    """Message that no worker is alive for the run's stage, with the commands that start one."""
    start = f"`applejack worker {status.missing_role}`, or all with `applejack up`"
    return f"no {status.missing_role} worker is alive: start one with {start}"


def render_panel(status: RunStatus, ledger: Ledger) -> RenderableType:
    """Live progress panel."""
    table = Table.grid(padding=(0, 2))
    done = status.generated + status.failed
    eta = f", {status.eta_seconds:.0f} s left" if status.eta_seconds else ""
    rate = "" if status.missing_role == QUEUE_GENERATE else f"  {status.rate:.0f}/min{eta}"
    counts = f"{done}/{status.total}{truncated_count(status)}  {status.failed} failed{rate}"
    table.add_row("generate", ProgressBar(total=max(1, status.total), completed=done, width=30), counts)
    for view in status.stages:
        if view.state is StageState.SKIPPED:
            continue
        detail = stage_detail(status, ledger) if view.state is StageState.RUNNING else ""
        if view.stage is Stage.CURATE and status.kept is not None:
            detail = curated_counts(status)
        if "skipped" in view.result:
            detail = f"skipped: {view.result['skipped']}"
        seconds = f"  {view.seconds:.0f} s" if view.seconds is not None else ""
        table.add_row(view.stage.value, view.state.value, detail + seconds)
    return Group(Text(f"run {status.run_id}", style="bold"), table)


def stage_detail(status: RunStatus, ledger: Ledger) -> str:
    """Last progress report of the running stage, and the expected minutes of a training."""
    running = [view.stage for view in status.stages if view.state is StageState.RUNNING]
    reports = ledger.stages.progress(status.run_id, running[0]) if running else []
    return format_progress(reports) if reports else ""


def format_progress(reports: list[JsonObject]) -> str:
    """A stage's last progress report as text; of a training also its size and the expected minutes."""
    report = reports[-1]
    if "iteration" not in report:
        return f"{report.get('phase')}: {report.get('done')}/{report.get('total')}"
    loss = report.get("train_loss")
    loss_text = f", loss {loss:.3f}" if isinstance(loss, float) else ""
    rows, epochs = (reports[0].get(name) for name in ("rows", "epochs"))
    size = f" ({rows} rows, {epochs:g} epochs)" if isinstance(epochs, float) else ""
    return f"iteration {report['iteration']}/{report['iterations']}{size}{loss_text}{_minutes_left(reports)}"


def _minutes_left(reports: list[JsonObject]) -> str:
    """Expected minutes of a training by its last measured speed; "" without one."""
    speeds = [speed for report in reports if isinstance(speed := report.get("iterations_per_second"), float) and speed]
    done, total = reports[-1].get("iteration"), reports[-1].get("iterations")
    if not speeds or not isinstance(done, int) or not isinstance(total, int):
        return ""
    return f", about {(total - done) / speeds[-1] / 60:.1f} min left"


def lost_calls(counts: dict[str, int]) -> str:
    """The calls that model servers dropped as text; "" without any."""
    by_teacher = ", ".join(f"{teacher} {count}" for teacher, count in counts.items())
    return f"calls lost by the server: {sum(counts.values())} ({by_teacher}); it could not parse them" if counts else ""
