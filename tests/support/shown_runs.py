"""Runs in every state, made in the ledger without workers: for the pages' tests and their screenshots."""

import math
from collections.abc import Sequence
from pathlib import Path

import redis

from config.errors import FailureKind, RejectionReason
from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.records import Failure, Finding, JsonObject, Prompt, Spec, Trajectory, Verdict
from config.topology import Stage, run_key
from tests.support.rich_report import adapter, rich_report

STUDENT = "HuggingFaceTB/SmolLM2-135M-Instruct"
CATEGORIES = ("definition", "usage", "constant", "negative")
WORKERS = ("studio@desk", "mini@shelf", "air@sofa")
FAILURES = (FailureKind.TIMEOUT, FailureKind.TIMEOUT, FailureKind.ENDPOINT_WEDGED, FailureKind.TOOL_RETRIES_EXCEEDED)
REASONS = (RejectionReason.WRONG_ANSWER, RejectionReason.UNSUPPORTED_CLAIM, RejectionReason.WRONG_ANSWER)
CARD = "# night-1\n\n130 conversations with tool calls, curated by applejack.\n"


def created(ledger: Ledger, run_id: str, jobs: int, **spec: object) -> tuple[str, ...]:
    """A new run with questions of four categories; its job ids."""
    prompts = [
        Prompt(prompt=f"Where is name {n} defined?", category=CATEGORIES[n * 7 // 5 % len(CATEGORIES)])
        for n in range(jobs)
    ]
    return ledger.create(Spec.model_validate({"run_id": run_id, "student": STUDENT, **spec}), prompts).job_ids


def finish_jobs(ledger: Ledger, run_id: str, job_ids: Sequence[str], *, every_failed: int = 9) -> None:
    """Finish jobs on three workers; each `every_failed`-th fails."""
    for n, job_id in enumerate(job_ids):
        worker = WORKERS[n % len(WORKERS)]
        ledger.jobs.begin(run_id, job_id, worker=worker, lease_seconds=60, delivery_limit=4)
        failed = n % every_failed == every_failed - 1
        failure = Failure(kind=FAILURES[n // every_failed % len(FAILURES)], message="too slow") if failed else None
        ledger.jobs.finish(
            Trajectory(
                run_id=run_id,
                job_id=job_id,
                prompt="q",
                outcome="failed" if failed else "completed",
                failure=failure,
                seconds=40.0,
            ),
            worker=worker,
        )


def start_jobs(ledger: Ledger, run_id: str, job_ids: Sequence[str]) -> None:
    """Jobs in flight on the first two workers."""
    for n, job_id in enumerate(job_ids):
        ledger.jobs.begin(run_id, job_id, worker=WORKERS[n % 2], lease_seconds=3600, delivery_limit=4)


def backdate(client: redis.Redis, run_id: str, *, hours: float, now: float) -> None:
    """Spread the finished jobs over the last hours, as a fleet finishes them that grows and falters."""
    buckets = range(int(now - hours * 3600) // 10, int(now) // 10 - 1)
    rates = {b: round(1.4 + math.sin(b / 90) + (0.6 if b % 3 else 0)) for b in buckets if b % 400 > 30}
    client.delete(run_key(run_id, "rate"))
    client.hset(run_key(run_id, "rate"), mapping={str(b): count for b, count in rates.items() if count > 0})
    client.hset(run_key(run_id, "run"), "created_ms", int((now - hours * 3600 - 60) * 1000))


def curate(ledger: Ledger, run_id: str, job_ids: Sequence[str]) -> None:
    """Curate a run whose jobs have all finished: each seventh answer is rejected."""
    claim = claimed(ledger, run_id, Stage.CURATE)
    failed = {one.job_id for one in ledger.jobs.outcomes(run_id, job_ids) if one.failure}
    rejected = {job: REASONS[n % 3] for n, job in enumerate(job_ids) if n % 7 == 3 and job not in failed}
    rejected |= dict.fromkeys(failed, RejectionReason.FAILED_GENERATION)
    verdicts = [
        Verdict(job_id=job, findings=(Finding(reason=rejected[job], detail="as planted"),) if job in rejected else ())
        for job in job_ids
    ]
    ledger.set_verdicts(run_id, verdicts)
    counts: dict[str, int] = {}
    for reason in rejected.values():
        counts[reason.value] = counts.get(reason.value, 0) + 1
    kept = len(job_ids) - len(rejected)
    result: JsonObject = {"read": len(job_ids), "kept": kept, "rejected": len(rejected), "reasons": dict(counts)}
    ledger.stages.finish(claim, result=result)


def train_and_evaluate(ledger: Ledger, run_id: str, folder: Path) -> None:
    """Train and evaluate a curated run, with the losses and the report of a real small student."""
    claim = claimed(ledger, run_id, Stage.TRAIN)
    for line in adapter().losses:
        ledger.stages.report(run_id, Stage.TRAIN, line)
    ledger.stages.finish(claim, result=adapter().model_dump(mode="json"))
    report = rich_report(run_id)
    ledger.stages.finish(claimed(ledger, run_id, Stage.EVALUATE), result=report.model_dump(mode="json"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    ledger.files.put(run_id, "dataset", folder)


def claimed(ledger: Ledger, run_id: str, stage: Stage) -> StageClaim:
    """A claim of a ready stage."""
    claim = ledger.stages.begin(run_id, stage, worker="studio@desk", lease_seconds=3600)
    assert isinstance(claim, StageClaim), claim
    return claim


def ended(ledger: Ledger, run_id: str, folder: Path, *, jobs: int = 40) -> tuple[str, ...]:
    """A run that has gone through all its stages; its job ids."""
    ids = created(ledger, run_id, jobs)
    finish_jobs(ledger, run_id, ids)
    curate(ledger, run_id, ids)
    train_and_evaluate(ledger, run_id, folder)
    return ids


def heartbeats(ledger: Ledger) -> None:
    """A worker that works, one with a broken endpoint, one that trains."""
    common: JsonObject = {"queues": ["generate"], "version": "0.12.0", "paused": None, "refuses": {}}
    working: JsonObject = {"limit": 6, "limit_reason": "throughput grew 12%", "first_token_seconds": 0.84}
    working["tokens_per_second"] = 41.0
    ledger.fleet.heartbeat(WORKERS[0], {**common, **working, "budget": "qwen3-4b-4bit: 2.3 GB of weights, fits"})
    ledger.fleet.heartbeat(
        WORKERS[1], {**common, **working, "limit": 4, "limit_reason": "fixed", "serves": "gemma-3-4b"}
    )
    why = "the endpoint at http://localhost:8080/v1 did not respond within 10 s"
    ledger.fleet.heartbeat(WORKERS[2], {**common, "limit": 1, "limit_reason": "start", "paused": why})
    ledger.fleet.heartbeat("gpu@rack", {**common, "queues": ["curate", "train"]})
