"""One row of the tracker: what was trained and how it scored. Stored in the tracker file itself."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, JsonValue

from config.records import JsonObject, Record
from config.report.metrics import Metrics, Rate, Spread
from config.report.model import Report
from config.report.outcomes import Outcome, PromptOutcome

KEY_DIGITS = 12  # hex digits that identify a prompt, or an adapter, among those of one tracker


class TrackedRates(Record):
    """The rates that rows are compared by."""

    grounded_correct: Rate = Rate()
    correct: Rate = Rate()
    final_answer: Rate = Rate()
    loop: Rate = Rate()
    invented_turn: Rate = Rate()
    invented_result: Rate = Rate()

    @classmethod
    def of(cls, metrics: Metrics) -> "TrackedRates":
        """The tracked rates of one model."""
        return cls(**{name: getattr(metrics, name) for name in cls.model_fields})


class TrackerRow(Record):
    """One evaluated adapter, or base model if a run has no adapter. Keeps what an archived run can no longer return."""

    schema_version: Literal[1] = 1
    run_id: str
    adapter: str
    """start of the sha256 of its weights, or its version in the run where they are unknown; "" without an adapter"""
    date: str
    """UTC, when the evaluation ended, YYYY-MM-DD HH:MM"""
    student: str
    revision: str | None = None
    settings: dict[str, str] = Field(default_factory=dict)
    """what may explain a difference: dataset hash, hyperparameters, versions; by name, as text"""
    rows: int | None = None
    iterations: int | None = None
    rates: TrackedRates = TrackedRates()
    calls: Spread | None = None
    seconds: Spread | None = None
    peak_memory_gb: float | None = None
    prompts: int = 0
    outcomes: dict[str, bool] = Field(default_factory=dict)
    """by prompt, whether it was answered rightly, and from a real result if it needs tools"""

    @property
    def key(self) -> tuple[str, str]:
        """Identifies the row: the same adapter of the same run again replaces it."""
        return self.run_id, self.adapter

    @property
    def dataset(self) -> str:
        """The dataset's hash; "" if unknown."""
        return self.settings.get("dataset", "")


def tracker_row(report: Report, *, date: str, adapter: str, settings: Mapping[str, str]) -> TrackerRow:
    """The row of a report: of the adapter's answers, else of the base model's."""
    metrics = report.after or report.before or Metrics(prompts=0)
    training = report.training
    return TrackerRow(
        run_id=report.run_id,
        adapter=adapter[:KEY_DIGITS],
        date=date,
        student=report.student,
        revision=report.revision,
        settings={**settings, "prompts": _prompts(report)},
        rows=training.rows if training else None,
        iterations=training.iterations if training else None,
        rates=TrackedRates.of(metrics),
        calls=metrics.tool_calls_per_prompt,
        seconds=metrics.seconds_per_prompt,
        peak_memory_gb=training.peak_memory_gb if training else None,
        prompts=metrics.prompts,
        outcomes=dict(_outcomes(report)),
    )


def flatten(values: JsonObject, prefix: str = "") -> dict[str, str]:
    """Nested settings as text by dotted name: {"lora_parameters.rank": "8"}."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: _text(value)}
    return flat


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _prompts(report: Report) -> str:
    """Number and digest of the evaluated prompts; the number alone where a report has no outcomes."""
    metrics = report.after or report.before
    count = str(metrics.prompts if metrics else 0)
    keys = sorted(map(_prompt_key, report.outcomes))
    return f"{count} ({hashlib.sha256(' '.join(keys).encode()).hexdigest()[:8]})" if keys else count


def _outcomes(report: Report) -> Iterator[tuple[str, bool]]:
    for one in report.outcomes:
        success = _success(one, one.last)
        if success is not None:
            yield _prompt_key(one), success


def _success(prompt: PromptOutcome, outcome: Outcome | None) -> bool | None:
    if outcome is None:
        return None
    return outcome.grounded if prompt.needs_tools else outcome.correct


def _prompt_key(prompt: PromptOutcome) -> str:
    """Two evaluations share a prompt if its job_id and its whole text are equal, as in `applejack compare`."""
    return hashlib.sha256(f"{prompt.job_id} {prompt.prompt_hash}".encode()).hexdigest()[:KEY_DIGITS]
