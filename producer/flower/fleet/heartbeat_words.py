"""What a worker's heartbeat says, in words. Every field may be missing or of another type: it comes from elsewhere."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeGuard

from config.ledger.fleet import WorkerView
from config.model_names import download_text
from config.records import JsonObject
from config.training_progress import duration
from producer.run_status import SILENT_SECONDS

SHOWN_SKEW_SECONDS = 2.0  # a heartbeat on a slow network
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))


def usual_version(workers: Sequence[WorkerView]) -> str:
    """The version that most live workers run; of equally many the newest in alphabetical order. "" without workers."""
    alive = Counter(version(view) for view in workers if view.silent_seconds <= SILENT_SECONDS)
    counts = alive or Counter(version(view) for view in workers)
    return max(counts, key=lambda name: (counts[name], name), default="")


def versions(workers: Sequence[WorkerView]) -> str:
    """ "0.1.0 on 3 workers, 0.2.0 on mac2@host" where live workers differ; "" where they do not."""
    by_version: dict[str, list[str]] = {}
    for view in workers:
        if view.silent_seconds <= SILENT_SECONDS:
            by_version.setdefault(version(view), []).append(view.name)
    if len(by_version) < 2:
        return ""
    return ", ".join(
        f"{name} on {names[0] if len(names) == 1 else f'{len(names)} workers'}"
        for name, names in sorted(by_version.items())
    )


def version(view: WorkerView) -> str:
    """The version of a worker's applejack."""
    return str(view.fields.get("version") or "(unknown)")


def skew(view: WorkerView, now: float) -> float:
    """Seconds by which a worker's clock is ahead of the ledger's; 0.0 if it does not send its clock."""
    sent = view.fields.get("clock")
    return sent - (now - view.silent_seconds) if is_number(sent) else 0.0


def clock(view: WorkerView, now: float | None) -> str:
    """The skew for people; "" if it is not known."""
    if now is None or not is_number(view.fields.get("clock")):
        return ""
    off = apart(skew(view, now))
    return f"{off} Redis's" if off else "right"


def apart(ahead: float) -> str:
    """Clock skew in words, "90 s ahead of"; "" for less than is noticeable."""
    if abs(ahead) < SHOWN_SKEW_SECONDS:
        return ""
    return f"{duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'}"


def room(value: object, free: str) -> str:
    """ "12 of 32 GB free"; "" if it is not known. Rounded, so that small changes do not change the page."""
    if not isinstance(value, dict):
        return ""
    there, total = value.get(free), value.get("total")
    if not (is_number(there) and is_number(total)):
        return ""
    (part, unit), (whole, of_unit) = amount(there), amount(total)
    return f"{part} of {whole} {of_unit} free" if unit == of_unit else f"{part} {unit} of {whole} {of_unit} free"


def amount(size: float) -> tuple[str, str]:
    """Bytes as a number and its unit: 2.0 TB, 210 GB, 3.4 GB, 810 MB."""
    scale, unit = next(((scale, unit) for scale, unit in UNITS if size >= scale), UNITS[-1])
    number = size / scale
    return f"{number:.1f}" if number < 10 and unit != "MB" else f"{number:.0f}", unit


def download(fields: JsonObject) -> str:
    """What a worker downloads for a stage; "" if nothing."""
    match fields.get("downloading"):
        case {"model": str(name), "bytes": int(done), "of": int(total)}:
            return download_text(name, done, total)
    return ""


def holds(view: WorkerView) -> int:
    """Jobs and stages in its hands."""
    number = view.fields.get("holds")
    return number if isinstance(number, int) else 0


def generates(fields: JsonObject) -> bool:
    """Whether it runs generation jobs."""
    return "generate" in texts(fields.get("queues"))


def texts(value: object) -> list[str]:
    """A list's items as text; [] for anything else."""
    return [str(item) for item in value] if isinstance(value, list) else []


def is_number(value: object) -> TypeGuard[float]:
    """Whether a heartbeat's value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)
