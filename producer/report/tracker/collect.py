"""Collect a tracker row of one run from the ledger."""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from config.ledger import Ledger
from config.ledger.adapters import AdapterVersion, split_name
from config.records import JsonObject, Spec, StageState, Trajectory
from config.report.model import Report
from config.topology import Stage
from producer.report.tracker.row import TrackerRow, flatten, tracker_row

WEIGHTS = "adapters.safetensors"
RECIPE = "recipe.json"
ANSWERS = ("after.jsonl", "before.jsonl")  # of the evaluation


def collect(ledger: Ledger, report: Report) -> TrackerRow:
    """The row of the report of RUN, or of its earlier adapter RUN@vN, with what it was trained from."""
    run_id, version = split_name(report.run_id)
    versions = ledger.adapters(run_id)
    found = next((one for one in versions if one.version == version or (one.current and version is None)), None)
    weights = ledger.files.hashes(run_id, _name(found, "adapter")).get(WEIGHTS)
    return tracker_row(
        report.model_copy(update={"run_id": run_id}),
        date=datetime.fromtimestamp(_finished(ledger, run_id, found, versions), UTC).strftime("%Y-%m-%d %H:%M"),
        adapter=weights or (f"v{found.version}" if found else ""),
        settings=_settings(ledger, run_id, found),
    )


def _name(version: AdapterVersion | None, files: str) -> str:
    return version.file_name(files) if version else files


def _finished(ledger: Ledger, run_id: str, version: AdapterVersion | None, versions: Sequence[AdapterVersion]) -> float:
    """When the adapter's evaluation ended; when the run was created, if the ledger does not tell."""
    view = ledger.stages.view(run_id, Stage.EVALUATE)
    if version is None or version.current:
        return view.finished or ledger.run(run_id).created
    ends = [event.at for event in view.history if event.event == StageState.DONE]
    evaluated = [one.version for one in versions if one.report]
    if len(ends) == len(evaluated):  # none of them was evaluated twice
        return ends[evaluated.index(version.version)]
    return ledger.run(run_id).created


def _settings(ledger: Ledger, run_id: str, version: AdapterVersion | None) -> dict[str, str]:
    """Dataset, format, teacher, versions and hyperparameters, by name. Unknown ones are left out."""
    spec = ledger.run(run_id).spec
    given = {
        "dataset": str(version.adapter.get("dataset_hash") or "") if version else "",
        "format": spec.dataset_format,
        "teacher": _teacher(ledger, spec),
        "tools": ", ".join(spec.tools),
        "system prompt": spec.system_prompt,
        "applejack": _version(ledger, run_id, _name(version, "report")),
    }
    hyperparameters = _recipe(ledger, run_id, _name(version, "adapter")).get("hyperparameters")
    lora = version.lora if version else spec.lora
    trained = hyperparameters if isinstance(hyperparameters, dict) else lora
    return {name: value for name, value in {**given, **flatten(trained)}.items() if value}


def _teacher(ledger: Ledger, spec: Spec) -> str:
    """The teacher as its endpoint names it."""
    first = next(iter(ledger.jobs.trajectories(spec.run_id)), None)
    return first.provenance.teacher if first and first.provenance else spec.teacher


def _version(ledger: Ledger, run_id: str, files: str) -> str:
    """The applejack that evaluated; "" if it is not recorded."""
    for name in ANSWERS:
        with suppress(ValueError):
            first, _, _ = (ledger.files.read(run_id, files, name) or b"").partition(b"\n")
            provenance = Trajectory.model_validate_json(first).provenance
            return provenance.applejack_version if provenance else ""
    return ""


def _recipe(ledger: Ledger, run_id: str, files: str) -> JsonObject:
    with suppress(ValueError):
        recipe = json.loads(ledger.files.read(run_id, files, RECIPE) or b"")
        return recipe if isinstance(recipe, dict) else {}
    return {}
