"""One worker of the fleet in words: its state, what is wrong and what to do, and its figures.

A heartbeat comes from another machine, perhaps of another version: every field may be missing or of another type.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from config.ledger.fleet import WorkerView
from config.records import WorkerControl
from config.training_progress import duration
from config.troubleshooting import PERSON, pause_section
from producer.flower.fleet.heartbeat_words import (
    apart,
    download,
    generates,
    holds,
    skew,
    texts,
    usual_version,
    version,
)
from producer.flower.fleet.worker_facts import SKEW_SECONDS, Fact, Tone, in_flight, machine, model, small_facts, speed
from producer.output import pluralise
from producer.pause_advice import BY_SECTION
from producer.run_status import SILENT_SECONDS


@dataclass(frozen=True)
class Note:
    """Something to know or to do about a worker."""

    text: str
    meaning: str = ""
    remedy: str = ""
    command: str = ""
    place: str = ""
    """section of docs/troubleshooting.md"""
    tone: Tone = "warning"


@dataclass(frozen=True)
class WorkerCard:
    """What the Fleet page shows of one worker."""

    name: str
    state: str
    tone: Tone
    role: str
    holds: int
    alive: bool
    notes: tuple[Note, ...]
    facts: tuple[Fact, ...]
    small: tuple[Fact, ...]
    """facts that matter only when they are wrong"""
    control: WorkerControl

    @property
    def label(self) -> str:
        """The worker's name without its host."""
        return self.name.rpartition("@")[0] or self.name

    @property
    def host(self) -> str:
        """Name of its machine."""
        return self.name.rpartition("@")[2] if "@" in self.name else ""


def cards(
    workers: Sequence[WorkerView], *, controls: Mapping[str, WorkerControl] | None = None, now: float | None = None
) -> list[WorkerCard]:
    """Cards by name, also of workers that are gone but would obey a control when they start again.

    `now` is the ledger's time, against which clocks are compared.
    """
    known = {view.name for view in workers}
    usual = usual_version(workers)
    shown = [card(view, usual=usual, now=now) for view in workers]
    gone = [absent(name, control) for name, control in (controls or {}).items() if control and name not in known]
    return sorted([*shown, *gone], key=lambda item: (item.host, item.name))


def card(view: WorkerView, *, usual: str, now: float | None) -> WorkerCard:
    """Describe a worker; `usual` is the version that most of the fleet runs."""
    state, tone = state_of(view)
    facts = (in_flight(view), *speed(view.fields), *model(view.fields), *machine(view.fields))
    return WorkerCard(
        name=view.name,
        state=state,
        tone=tone,
        role=", ".join(texts(view.fields.get("queues"))),
        holds=holds(view),
        alive=view.silent_seconds <= SILENT_SECONDS,
        notes=tuple(notes(view, usual=usual, now=now)),
        facts=tuple(fact for fact in facts if fact.value),
        small=tuple(fact for fact in small_facts(view, usual=usual, now=now) if fact.value),
        control=view.control,
    )


def absent(name: str, control: WorkerControl) -> WorkerCard:
    """A worker that does not run, of which a person has asked something."""
    what = "drained" if control is WorkerControl.DRAINING else "paused"
    note = Note(
        f"It does not run. It is still marked as {what}: when it starts again, it takes no work.",
        remedy="Resume it, so that it works when it starts again.",
        command=f"applejack worker resume {shlex.quote(name)}",
        place=BY_SECTION[PERSON].place,
    )
    return WorkerCard(name, "gone", "off", "", 0, alive=False, notes=(note,), facts=(), small=(), control=control)


def state_of(view: WorkerView) -> tuple[str, Tone]:
    """The state in a few words."""
    if view.silent_seconds > SILENT_SECONDS:
        return "silent", "bad"
    if view.control is WorkerControl.DRAINING:
        return "draining", "busy"
    if view.control is WorkerControl.PAUSED:
        return "paused by a person", "warning"
    if reason := view.fields.get("paused"):
        person = pause_section(str(reason)) == PERSON  # it was resumed, which its next heartbeat obeys
        return ("resuming", "busy") if person else ("paused by itself", "warning")
    if download(view.fields):
        return "downloading", "busy"
    return ("wrong model for a run", "warning") if view.fields.get("refuses") else ("consuming", "good")


def notes(view: WorkerView, *, usual: str, now: float | None) -> list[Note]:
    """What is wrong or in progress, and what to do about it, the most important first."""
    fields, found = view.fields, list[Note]()
    if view.silent_seconds > SILENT_SECONDS:
        found.append(
            Note(
                f"no heartbeat for {duration(view.silent_seconds)}",
                "Other workers run its jobs.",
                "Is its machine asleep or offline, or was the worker killed? It leaves this list after a day.",
                tone="bad",
            )
        )
    reason = str(fields.get("paused") or "")
    if view.control and pause_section(reason) != PERSON:
        found.append(asked_of(view))
    if reason:
        found.append(advised(reason, pause_section(reason), view))
    elif text := download(fields):
        found.append(Note(text, tone="busy"))
    refused = fields.get("refuses")
    if isinstance(refused, dict):
        found += [refusal(name, str(why), view) for name, why in refused.items()]
    newer = fields.get("newer_runs")
    if isinstance(newer, dict):
        found += [left_to_others(name, str(why)) for name, why in newer.items()]
    if now is not None and abs(ahead := skew(view, now)) > SKEW_SECONDS:
        found.append(
            Note(
                f"its clock is {apart(ahead)} the Redis server's",
                "The times in its log and in the list of tasks are off by as much.",
                "Turn on network time on its machine.",
                "applejack doctor",
                "docs/troubleshooting.md#clock",
                "bad",
            )
        )
    if version(view) != usual:
        found.append(
            Note(
                f"runs applejack {version(view)}, other workers {usual}",
                remedy="Install the same version on every machine before the next run.",
                place="docs/troubleshooting.md#versions-and-settings-differ",
            )
        )
    return found


def asked_of(view: WorkerView) -> Note:
    """What a person asked, and how far the worker is with it."""
    held = pluralise(holds(view), "job" if generates(view.fields) else "stage")
    left = f"it finishes {held}, then " if holds(view) else ""
    what = "its process ends" if view.control is WorkerControl.DRAINING else "it takes no other work"
    asked = "was asked to drain" if view.control is WorkerControl.DRAINING else "was paused by a person"
    tone: Tone = "busy" if view.control is WorkerControl.DRAINING else "warning"
    return Note(f"{asked}: {left}{what}", tone=tone, place=BY_SECTION[PERSON].place)


def advised(text: str, section: str, view: WorkerView) -> Note:
    """A note with the advice of a section."""
    advice = BY_SECTION[section]
    endpoint = shlex.quote(str(view.fields.get("endpoint") or "URL"))  # a person copies the command into a shell
    command = advice.command.format(endpoint=endpoint, name=shlex.quote(view.name))
    return Note(text, advice.meaning, advice.remedy, command, advice.place)


def left_to_others(run_id: str, why: str) -> Note:
    """A run of a later version, which does not pause the worker."""
    return Note(
        why,
        f"It leaves the run {run_id} to workers of that version, and goes on with other runs.",
        "Install that version on its machine, and restart the worker.",
        place="docs/troubleshooting.md#versions-and-settings-differ",
    )


def refusal(name: str, why: str, view: WorkerView) -> Note:
    """A model that its endpoint does not serve, which does not pause the worker."""
    return replace(
        advised(f"does not serve {name}: {why}", "wrong-model", view),
        meaning="It goes on with runs that request another model. The next job that needs this one asks for it again.",
        remedy="Load the model there if runs need it, or submit them with the model that it serves.",
    )
