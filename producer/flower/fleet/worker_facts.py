"""The figures of a worker, each with its name: its work and why that much, its speed, its model, its machine."""

from dataclasses import dataclass
from typing import Literal

from config.ledger.fleet import WorkerView
from config.records import JsonObject
from config.training_progress import duration
from producer.flower.fleet.heartbeat_words import clock, generates, holds, is_number, room, skew, texts, version
from producer.output import pluralise
from producer.run_status import SILENT_SECONDS

Tone = Literal["good", "busy", "warning", "bad", "off"]
FRESH_SECONDS = 10.0  # a younger heartbeat is "just now", so that a page does not change every two seconds
SKEW_SECONDS = 60.0  # as for `applejack doctor`
LIMIT_REASONS = {
    "fixed": "set by --concurrency",
    "start": "where every worker starts, before it has measured its endpoint",
    "memory": "as many conversations as fit the memory of its model server",
}
AWAKE = {"True": "yes", "False": "no, it has no work"}


@dataclass(frozen=True)
class Fact:
    """A figure with its name."""

    name: str
    value: str
    detail: str = ""
    tone: Tone = "good"


def in_flight(view: WorkerView) -> Fact:
    """The work that it holds; for generation how much it may hold, and why that many."""
    if not generates(view.fields):
        return Fact("Work", pluralise(holds(view), "stage") if holds(view) else "none")
    limit, reason = view.fields.get("limit"), str(view.fields.get("limit_reason") or "")
    most = f" of at most {limit}" if isinstance(limit, int) else ""
    return Fact("Jobs in flight", f"{holds(view)}{most}", LIMIT_REASONS.get(reason, reason))


def speed(fields: JsonObject) -> list[Fact]:
    """Tokens per second and time to the first token, where the worker reports them."""
    rate, first = fields.get("tokens_per_second"), fields.get("first_token_seconds")
    found = [Fact("Tokens/s", f"{rate:,.0f}", "of its jobs together")] if is_number(rate) else []
    return [*found, Fact("First token", f"{first:.2f} s", "median")] if is_number(first) else found


def model(fields: JsonObject) -> list[Fact]:
    """The model and where it is served."""
    endpoint, serves = str(fields.get("endpoint") or ""), str(fields.get("serves") or "")
    return [Fact("Model", serves, str(fields.get("budget") or "")), Fact("Endpoint", endpoint)]


def machine(fields: JsonObject) -> list[Fact]:
    """Memory, disk and device of its machine."""
    device = fields.get("device")
    use = device if isinstance(device, dict) else {}
    waiting = ", ".join(texts(use.get("waiting")))
    return [
        Fact("Memory", room(fields.get("memory"), "available")),
        Fact("Disk", room(fields.get("disk"), "free")),
        Fact("Device", str(use.get("holder") or ("free" if use else "")), f"waiting: {waiting}" if waiting else ""),
        Fact("Keeps its Mac awake", AWAKE.get(str(fields.get("awake")), "")),
    ]


def small_facts(view: WorkerView, *, usual: str, now: float | None) -> list[Fact]:
    """Version, clock and heartbeat."""
    skewed = now is not None and abs(skew(view, now)) > SKEW_SECONDS
    silent = view.silent_seconds > SILENT_SECONDS
    seen = "just now" if view.silent_seconds < FRESH_SECONDS else f"{duration(view.silent_seconds)} ago"
    return [
        Fact("applejack", version(view), tone="good" if version(view) == usual else "warning"),
        Fact("clock", clock(view, now), tone="bad" if skewed else "good"),
        Fact("heartbeat", seen, tone="bad" if silent else "good"),
    ]
