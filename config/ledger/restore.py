"""Rebuilds runs in the ledger from journals. Repeating it changes nothing."""

from collections.abc import Iterable
from typing import Literal

import redis

from config.errors import StoreError
from config.ledger.encoding import ms, pack
from config.ledger.jobs import TRUNCATED
from config.ledger.store import Arg, decode, redis_errors, run_script
from config.records import JobState, Spec, StageState, Trajectory
from config.topology import ACTIVE, Stage, run_key


class Restoration:
    """Puts trajectories back into a run that exists."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def put(self, trajectory: Trajectory, *, worker: str) -> Literal["restored", "already", "unknown"]:
        """Store a trajectory if its attempt has none; that of a later attempt than the ledger's becomes the current.

        StoreError if Redis has lost the run meanwhile.
        """
        run_id, job_id = trajectory.run_id, trajectory.job_id
        state = JobState.GENERATED if trajectory.outcome == "completed" else JobState.FAILED
        kind = trajectory.failure.kind.value if trajectory.failure else TRUNCATED if trajectory.truncated else ""
        keys = [run_key(run_id, one.value) for one in JobState]
        parts = (
            "leases",
            f"job:{job_id}",
            f"trajectory:{job_id}:{trajectory.attempt}",
            f"kind:{kind}",
            "changed",
            "run",
        )
        args: list[Arg] = [job_id, trajectory.attempt, state.value, pack(trajectory), worker, kind]
        args += [ms(trajectory.seconds), run_key(run_id, "kind:")]
        word = decode(run_script(self._redis, "restore", [*keys, *(run_key(run_id, part) for part in parts)], args))
        match word:
            case "restored" | "already" | "unknown" as result:
                return result
            case "gone":
                raise lost_again(run_id)
        raise StoreError(f"restore.lua returned {word!r} for job {job_id!r}")

    def unfinished(self, run_id: str) -> bool:
        """Whether trajectories were put back since the last `end`: also by a recovery that was interrupted."""
        with redis_errors():
            return bool(self._redis.hexists(run_key(run_id, "run"), "restoring"))

    def end(self, spec: Spec, *, restored: int) -> int:
        """Let the run's stages start anew after `restored` trajectories; returns its number of pending jobs.

        StoreError if Redis has lost the run meanwhile.
        """
        parts: Iterable[str] = ("run", JobState.QUEUED.value, JobState.RUNNING.value)
        keys = [*(run_key(spec.run_id, part) for part in parts), ACTIVE]
        keys += [run_key(spec.run_id, f"stage:{stage}") for stage in Stage]
        requested = (spec.train, spec.train and spec.evaluate)
        states = [StageState.WAITING.value if wanted else StageState.SKIPPED.value for wanted in requested]
        pending = int(decode(run_script(self._redis, "restored", keys, [spec.run_id, *states, restored])))
        if pending < 0:
            raise lost_again(spec.run_id)
        return pending


def lost_again(run_id: str) -> StoreError:
    """The error of a recovery in which data was lost."""
    return StoreError(f"Redis has lost run {run_id!r} again during its recovery; recover it once more")
