"""Verdicts of curation in the ledger, and of which curation they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import redis

from config.ledger.fleet import LeaseRef
from config.ledger.store import decode, redis_errors
from config.ledger.uploads import Upload
from config.records import Verdict
from config.topology import run_key

BATCH = 2000  # verdicts written per round trip


@dataclass(frozen=True)
class Judged:
    """Of which curation the run's verdicts are."""

    version: int
    """the run's version then"""
    at: float
    """when it began to read the jobs, seconds since the epoch; a job that finished later was not judged"""


def parse(stored: str) -> Judged | None:
    """As `replace` stores it; None for ""."""
    version, _, at = stored.partition(" ")
    return Judged(int(version), float(at)) if at else None


def replace(
    client: redis.Redis, run_id: str, verdicts: Iterable[Verdict], judged: Judged | None, lease: LeaseRef | None
) -> None:
    """Replace all verdicts of a run at once. `judged` None: not known. Raises the errors of Upload.replace."""
    upload = Upload(client, run_key(run_id, "verdicts"))
    rows = iter(verdicts)
    version = f"{judged.version} {judged.at}" if judged else ""
    with redis_errors():
        while batch := {verdict.job_id: verdict.model_dump_json() for verdict in islice(rows, BATCH)}:
            upload.add(batch)
        upload.replace(lease, also=lambda pipe: pipe.set(run_key(run_id, "judged"), version))


def some(client: redis.Redis, run_id: str, job_ids: Sequence[str]) -> list[Verdict | None]:
    """Verdicts of these jobs, in the same order."""
    if not job_ids:
        return []
    with redis_errors():
        found = client.hmget(run_key(run_id, "verdicts"), list(job_ids))
    return [None if value is None else Verdict.model_validate_json(decode(value)) for value in found]


def every(client: redis.Redis, run_id: str) -> dict[str, Verdict]:
    """All verdicts by job id."""
    with redis_errors():
        found = client.hgetall(run_key(run_id, "verdicts"))
    return {decode(key): Verdict.model_validate_json(decode(value)) for key, value in found.items()}
