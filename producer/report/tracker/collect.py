"""Collect a tracker row of one run from the ledger."""

import json
from contextlib import suppress
from datetime import UTC, datetime

from config.ledger import Ledger
from config.records import JsonObject, Spec, Trajectory
from config.report.model import Report
from config.topology import Stage
from producer.report.tracker.row import TrackerRow, flatten, tracker_row

WEIGHTS = "adapters.safetensors"
RECIPE = "recipe.json"
ANSWERS = ("after.jsonl", "before.jsonl")  # of the evaluation


def collect(ledger: Ledger, report: Report) -> TrackerRow:
    """The row of a run's report, with what it was trained from."""
    run_id = report.run_id
    finished = ledger.stages.view(run_id, Stage.EVALUATE).finished or ledger.run(run_id).created
    return tracker_row(
        report,
        date=datetime.fromtimestamp(finished, UTC).strftime("%Y-%m-%d %H:%M"),
        adapter=ledger.files.hashes(run_id, "adapter").get(WEIGHTS, ""),
        settings=_settings(ledger, run_id),
    )


def _settings(ledger: Ledger, run_id: str) -> dict[str, str]:
    """Dataset, format, teacher, versions and hyperparameters, by name. Unknown ones are left out."""
    spec, recipe = ledger.run(run_id).spec, _recipe(ledger, run_id)
    dataset = ledger.stages.view(run_id, Stage.TRAIN).result.get("dataset_hash")
    given = {
        "dataset": str(dataset or ""),
        "format": spec.dataset_format,
        "teacher": _teacher(ledger, spec),
        "tools": ", ".join(spec.tools),
        "system prompt": spec.system_prompt,
        "applejack": _version(ledger, run_id),
    }
    hyperparameters = recipe.get("hyperparameters")
    trained = hyperparameters if isinstance(hyperparameters, dict) else spec.lora
    return {name: value for name, value in {**given, **flatten(trained)}.items() if value}


def _teacher(ledger: Ledger, spec: Spec) -> str:
    """The teacher as its endpoint names it."""
    first = next(iter(ledger.jobs.trajectories(spec.run_id)), None)
    return first.provenance.teacher if first and first.provenance else spec.teacher


def _version(ledger: Ledger, run_id: str) -> str:
    """The applejack that evaluated; "" if it is not recorded."""
    for name in ANSWERS:
        with suppress(ValueError):
            first, _, _ = (ledger.files.read(run_id, "report", name) or b"").partition(b"\n")
            provenance = Trajectory.model_validate_json(first).provenance
            return provenance.applejack_version if provenance else ""
    return ""


def _recipe(ledger: Ledger, run_id: str) -> JsonObject:
    with suppress(ValueError):
        recipe = json.loads(ledger.files.read(run_id, "adapter", RECIPE) or b"")
        return recipe if isinstance(recipe, dict) else {}
    return {}
