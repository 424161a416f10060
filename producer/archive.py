"""Archives a run: writes it to a folder, verifies the files, then removes the run from Redis."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from config.atomic_files import replace_directory, write_lines, write_text
from config.errors import StoreError, UsageError
from config.ledger import Ledger
from config.records import JobState, Trajectory
from config.topology import Stage
from producer.fetch import folder_names
from producer.run_status import status

ENDED = {"done", "failed", "cancelled"}
TRAJECTORIES = "trajectories.jsonl"


def archive(ledger: Ledger, run_id: str, out: Path, *, keep: bool) -> dict[str, int]:
    """Write a run to `out` and, unless `keep`, remove it from the ledger; returns the number of records of each type.

    Raises UsageError if the run has neither ended nor been cancelled, or `out` exists. Raises StoreError, and removes
    nothing, if the written files are incomplete or the run has changed meanwhile.
    """
    run, before = ledger.run(run_id), ledger.jobs.counts(run_id)
    seen = status(ledger, run_id)
    if seen.stage not in ENDED:
        raise UsageError(
            f"run {run_id!r} is still in {seen.stage!r}; wait until it has ended, or `applejack cancel {run_id}`"
        )
    _require_absent(out)
    ids = ledger.jobs.ids(run_id)
    stages = {stage.value: ledger.stages.view(run_id, stage).result for stage in Stage}
    with replace_directory(out) as place:
        write_text(place / "spec.json", run.spec.model_dump_json(indent=2) + "\n")
        prompts = write_lines(
            place / "prompts.jsonl", (prompt.model_dump_json() for prompt in ledger.jobs.prompts(run_id, ids))
        )
        attempts = every_attempt(ledger, run_id, ids)
        trajectories = write_lines(place / TRAJECTORIES, (attempt.model_dump_json() for attempt in attempts))
        verdicts = write_lines(
            place / "verdicts.jsonl", (verdict.model_dump_json() for verdict in ledger.verdicts(run_id).values())
        )
        write_text(place / "stages.json", json.dumps(stages, indent=2) + "\n")
        adapters = [asdict(found) for found in ledger.adapters(run_id) if not found.current]
        if adapters:
            write_text(place / "adapters.json", json.dumps(adapters, indent=2) + "\n")
        for name in folder_names(ledger, run_id):
            if ledger.files.has(run_id, name):
                ledger.files.get(run_id, name, place / name)
        unfinished = ledger.jobs.ids(run_id, JobState.CANCELLED)
        require_whole(place, trajectories=trajectories, jobs=set(ids) - set(unfinished))
        _require_absent(out)  # another archive command may have written it meanwhile
    if (ledger.run(run_id).bulk, ledger.jobs.counts(run_id)) != (run.bulk, before):
        raise StoreError(f"run {run_id!r} went on meanwhile; it was not removed, and {str(out)!r} lacks what followed")
    if not keep:
        ledger.remove(run_id)
    return {"jobs": prompts, "trajectories": trajectories, "verdicts": verdicts}


def every_attempt(ledger: Ledger, run_id: str, job_ids: Iterable[str]) -> Iterator[Trajectory]:
    """Yield the trajectories of all attempts, job by job."""
    for job_id in job_ids:
        for attempt in range(1, ledger.jobs.view(run_id, job_id).attempt + 1):
            trajectory = ledger.jobs.trajectory(run_id, job_id, attempt)
            if trajectory:
                yield trajectory


def require_whole(place: Path, *, trajectories: int, jobs: set[str]) -> None:
    """Raise StoreError unless all trajectories can be read back and each of the `jobs` has one."""
    with (place / TRAJECTORIES).open(encoding="utf-8") as lines:
        read = [Trajectory.model_validate_json(line).job_id for line in lines]
    if len(read) != trajectories or jobs - set(read):
        raise StoreError(
            f"{len(read)} trajectories of {len(set(read))} jobs read back from {str(place)!r}, "
            f"not {trajectories} of at least {len(jobs)}; nothing was removed"
        )


def _require_absent(out: Path) -> None:
    if out.exists():
        raise UsageError(f"{str(out)!r} exists; choose another --out")
