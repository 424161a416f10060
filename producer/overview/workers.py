"""The workers of the fleet in words: one line each, and what is wrong with them, one cause for all that share it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.ledger.fleet import WorkerView
from config.model_names import download_text
from config.records import JsonObject, WorkerControl
from config.topology import QUEUE_GENERATE
from config.troubleshooting import link, pause_section
from producer.overview.words import counted, listed
from producer.run_status import SILENT_SECONDS, device_rows

DOCTOR = "applejack doctor"
ASKED = ("paused by a person", "drained by a person", "draining")  # how a worker reports what a person asked of it


@dataclass(frozen=True)
class WorkerLine:
    """One worker, as `status` and the pages show it."""

    name: str
    state: str
    """consuming, downloading, paused, draining, silent, or gone: it signed off, and only its results are left"""
    queues: tuple[str, ...] = ()
    holds: int = 0
    """jobs and stages in flight"""
    limit: int | None = None
    """jobs that it may run at once"""
    limit_reason: str = ""
    generated: int = 0
    failed: int = 0
    first_token_seconds: float | None = None
    """median of recent requests"""
    silent_seconds: float | None = None
    """None once it is gone"""
    version: str = ""

    @property
    def alive(self) -> bool:
        """Whether it sends heartbeats."""
        return self.state not in {"silent", "gone"}


@dataclass(frozen=True)
class Problem:
    """One cause of trouble, and the workers that share it."""

    text: str
    workers: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    """what to do about it"""


def worker_lines(workers: Sequence[WorkerView], by_worker: dict[str, dict[str, int]]) -> tuple[WorkerLine, ...]:
    """The workers of the fleet, then those that finished jobs of the run and are gone."""
    known = {view.name for view in workers}
    gone = (
        WorkerLine(name, "gone", generated=counts.get("generated", 0), failed=counts.get("failed", 0))
        for name, counts in sorted(by_worker.items())
        if name not in known
    )
    return (*(_line(view, by_worker.get(view.name, {})) for view in workers), *gone)


def _line(view: WorkerView, finished: dict[str, int]) -> WorkerLine:
    fields = view.fields
    queues, holds, limit = fields.get("queues"), fields.get("holds"), fields.get("limit")
    first = fields.get("first_token_seconds")
    return WorkerLine(
        name=view.name,
        state=state(view),
        queues=tuple(map(str, queues)) if isinstance(queues, list) else (),
        holds=holds if isinstance(holds, int) else 0,
        limit=limit if isinstance(limit, int) else None,
        limit_reason=str(fields.get("limit_reason") or ""),
        generated=finished.get("generated", 0),
        failed=finished.get("failed", 0),
        first_token_seconds=float(first) if isinstance(first, int | float) else None,
        silent_seconds=view.silent_seconds,
        version=str(fields.get("version") or ""),
    )


def state(view: WorkerView) -> str:
    """State of a worker in one word; WorkerLine lists them."""
    if view.silent_seconds > SILENT_SECONDS:
        return "silent"
    if view.control is WorkerControl.DRAINING and not _drained_before(view):
        return view.control.value
    if view.control is not WorkerControl.GO:
        return "paused"
    if view.fields.get("paused"):
        return "paused"
    return "downloading" if downloading(view.fields) else "consuming"


def downloading(fields: JsonObject) -> str:
    """What a worker downloads for a stage; "" if nothing."""
    match fields.get("downloading"):
        case {"model": str(model), "bytes": int(done), "of": int(total)}:
            return download_text(model, done, total)
    return ""


def standing_still(lines: Iterable[WorkerLine]) -> str:
    """Why no live generate worker takes jobs: "all 4 generate workers are paused"; "" if one does or none is alive."""
    alive = [line for line in lines if line.alive and QUEUE_GENERATE in line.queues]
    if not alive or any(line.state in {"consuming", "downloading"} for line in alive):
        return ""
    words = listed(sorted({line.state for line in alive}, reverse=True))
    if len(alive) == 1:
        return f"its only generate worker is {words}"
    return f"{'both' if len(alive) == 2 else f'all {len(alive)}'} generate workers are {words}"


def worker_problems(workers: Sequence[WorkerView]) -> list[Problem]:
    """What keeps workers from working, most severe first."""
    alive = [view for view in workers if view.silent_seconds <= SILENT_SECONDS]
    silent = [view.name for view in workers if view.silent_seconds > SILENT_SECONDS]
    return [
        *_paused(alive),
        *_controlled(alive),
        *_refusals(alive),
        *_newer_runs(alive),
        *([_silent(silent)] if silent else []),
        *_versions(alive),
    ]


def _paused(alive: Sequence[WorkerView]) -> list[Problem]:
    """Workers that paused by themselves, by reason."""
    reasons: dict[str, list[str]] = {}
    for view in alive:
        if reason := _own_reason(view):
            reasons.setdefault(reason, []).append(view.name)
    return [
        Problem(f"{counted(len(names), 'worker')} paused: {reason} ({link(pause_section(reason))})", tuple(names))
        for reason, names in reasons.items()
    ]


def _own_reason(view: WorkerView) -> str:
    """Why a worker paused by itself; what a person asked of it, which it reports too, is left out."""
    parts = str(view.fields.get("paused") or "").split("; ")
    if view.control is not WorkerControl.GO:
        parts = [part for part in parts if not part.startswith((*ASKED, "`applejack worker resume"))]
    return "; ".join(parts)


def _drained_before(view: WorkerView) -> bool:
    """Whether a worker was drained, ended and has been started again: it waits until it is resumed."""
    return str(view.fields.get("paused") or "").startswith("drained")


def _controlled(alive: Sequence[WorkerView]) -> list[Problem]:
    """Workers that a person has paused or drained, with the commands that resume them."""
    words: dict[str, list[str]] = {}
    for view in alive:
        if view.control is WorkerControl.PAUSED:
            words.setdefault("paused by a person", []).append(view.name)
        elif view.control is WorkerControl.DRAINING and _drained_before(view):
            words.setdefault("drained by a person, and started again since", []).append(view.name)
        elif view.control is WorkerControl.DRAINING:
            words.setdefault("draining by a person's wish: it ends with the work that it holds", []).append(view.name)
    return [
        Problem(
            f"{counted(len(names), 'worker')} {text}",
            tuple(names),
            tuple(f"applejack worker resume {name}" for name in names),
        )
        for text, names in words.items()
    ]


def _refusals(alive: Sequence[WorkerView]) -> list[Problem]:
    refused: dict[str, list[str]] = {}
    for view in alive:
        models = view.fields.get("refuses")
        for model, reason in models.items() if isinstance(models, dict) else ():
            refused.setdefault(f"does not serve {model}: {reason}", []).append(view.name)
    return [Problem(f"{counted(len(names), 'worker')} {text}", tuple(names)) for text, names in refused.items()]


def _newer_runs(alive: Sequence[WorkerView]) -> list[Problem]:
    """Workers that leave a run to others, because a later version has submitted it."""
    left: dict[str, list[str]] = {}
    for view in alive:
        runs = view.fields.get("newer_runs")
        for run_id in runs if isinstance(runs, dict) else ():
            left.setdefault(f"older than the run {run_id}, which it leaves to others", []).append(view.name)
    return [Problem(f"{counted(len(names), 'worker')} {text}", tuple(names)) for text, names in left.items()]


def _silent(names: Sequence[str]) -> Problem:
    text = f"{counted(len(names), 'worker')} silent: asleep, offline or killed. Live workers run its jobs again"
    return Problem(text if len(names) == 1 else text.replace("its jobs", "their jobs"), tuple(names))


def _versions(alive: Sequence[WorkerView]) -> list[Problem]:
    """Workers of another version than most; one of their versions may not read what the other writes."""
    versions: dict[str, list[str]] = {}
    for view in alive:
        versions.setdefault(str(view.fields.get("version") or "unknown"), []).append(view.name)
    if len(versions) < 2:
        return []
    most = max(versions, key=lambda version: (len(versions[version]), version))
    return [
        Problem(
            f"{counted(len(names), 'worker')} of version {version}, the others of {most}: install one version on all",
            tuple(names),
        )
        for version, names in sorted(versions.items())
        if version != most
    ]


def worker_notes(workers: Sequence[WorkerView]) -> list[str]:
    """What workers do that is not wrong: devices in use, downloads, Macs that are kept awake."""
    alive = [view for view in workers if view.silent_seconds <= SILENT_SECONDS]
    awake = [view.name for view in alive if view.fields.get("awake")]
    notes = [device_line(device) for device in device_rows(list(workers))]
    notes += [f"{view.name}: {text}" for view in alive if (text := downloading(view.fields))]
    return [*notes, *([f"keeps its Mac awake: {', '.join(awake)}"] if awake else [])]


def device_line(device: JsonObject) -> str:
    """Who uses a host's device, and who waits for it."""
    waiting = device["waiting"]
    queue = f"; waiting: {', '.join(map(str, waiting))}" if isinstance(waiting, list) and waiting else ""
    return f"device {device['device']} of {device['host']}: {device['holder']}{queue}"
