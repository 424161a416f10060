"""Follow a run: show live progress until it ends."""

import json
import time
from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from config.errors import StoreError
from config.ledger import Ledger
from config.ledger.adapters import AdapterVersion
from config.records import StageState
from config.topology import QUEUE_GENERATE, Stage
from producer.output import Output
from producer.run_status import RunStatus
from producer.run_status import status as load_status

POLL_SECONDS = 0.5
LINE_SECONDS = 5.0  # between progress lines if stdout is not a terminal


def follow(ledger: Ledger, run_id: str, output: Output, *, tend: Callable[[], None] = lambda: None) -> RunStatus:
    """Show progress until the run is done, failed or cancelled; returns its last status. Ctrl-C does not stop the run.

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
            if status.stage in {"done", "failed", "cancelled"}:
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
    detail = stage_detail(status, ledger)
    first = f"{detail}; " if status.training else ""  # in the first 80 columns
    more = f"; {detail}" if detail and not first else ""
    failed = f"; {status.error}" if status.error else ""
    missing_role = f"; {missing_role_hint(status)}" if status.missing_role else ""
    held = f"; {held_hint(status)}" if status.control else ""
    return f"{status.run_id}: {status.stage}: {first}{jobs}{curated}{more}{failed}{missing_role}{held}"


def truncated_count(status: RunStatus) -> str:
    """The jobs that max_tokens cut as text, " (3 truncated)"; "" without any."""
    return f" ({status.truncated} truncated)" if status.truncated else ""


def curated_counts(status: RunStatus) -> str:
    """Result of curation as text: "53 kept, 114 rejected, correct: 66 of 167"."""
    graded = status.correct if status.correct and status.correct["of"] else None
    correct = f", correct: {graded['count']} of {graded['of']}" if graded else ""
    return f"{status.kept} kept, {status.rejected} rejected{correct}"


def held_hint(status: RunStatus) -> str:
    """That a person has paused or cancelled the run, with the command that lets it go on."""
    jobs = f", {status.cancelled} of its jobs with it" if status.stage == "cancelled" and status.cancelled else ""
    return f"{status.control.value} by a person{jobs}: `applejack resume {status.run_id}` lets it go on"


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
        running = view.state is StageState.RUNNING and not status.training
        detail = stage_detail(status, ledger) if running else ""
        if view.stage is Stage.CURATE and status.kept is not None:
            detail = curated_counts(status)
        if "skipped" in view.result:
            detail = f"skipped: {view.result['skipped']}"
        seconds = f"  {view.seconds:.0f} s" if view.seconds is not None else ""
        table.add_row(view.stage.value, view.state.value, detail + seconds)
    training = [Text(f"train  {status.training.line}")] if status.training else []  # too long for the table
    return Group(Text(f"run {status.run_id}", style="bold"), table, *training)


def stage_detail(status: RunStatus, ledger: Ledger) -> str:
    """Where the running stage stands: loss, speed, memory and time left of a training, prompts of an evaluation."""
    if status.training:
        return status.training.line
    running = [view.stage for view in status.stages if view.state is StageState.RUNNING]
    reports = ledger.stages.progress(status.run_id, running[0]) if running else []
    if not reports or "phase" not in reports[-1]:
        return ""
    report = reports[-1]
    return f"{report['phase']}: {report.get('done')}/{report.get('total')}"


def adapter_lines(status: RunStatus) -> list[str]:
    """The adapters of a run that has several, a line each."""
    if len(status.adapters) + (not any(found.current for found in status.adapters)) < 2:
        return []
    return [adapter_line(status.run_id, found) for found in status.adapters]


def adapter_line(run_id: str, found: AdapterVersion) -> str:
    """ "adapter night-1@v1: 207 iterations, loss 0.412, learning_rate=0.0001, with a report"."""
    facts = found.as_json()
    loss = f"loss {facts['train_loss']:.3f}" if isinstance(facts["train_loss"], float) else ""
    settings = [f"{key}={json.dumps(value)}" for key, value in found.lora.items()]
    reported = "with a report" if found.report else "without a report"
    parts = filter(None, (f"{facts['iterations']} iterations", loss, *settings, reported))
    return f"adapter {run_id}@v{found.version}{' (newest)' if found.current else ''}: {', '.join(parts)}"


def lost_calls(counts: dict[str, int]) -> str:
    """The calls that model servers dropped as text; "" without any."""
    by_teacher = ", ".join(f"{teacher} {count}" for teacher, count in counts.items())
    return f"calls lost by the server: {sum(counts.values())} ({by_teacher}); it could not parse them" if counts else ""
