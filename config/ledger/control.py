"""Cancel, pause and resume runs in the ledger. Each call is atomic, and repeating it changes nothing."""

from dataclasses import dataclass
from typing import Literal

import redis

from config.errors import StoreError
from config.ledger.store import Arg, decode, decode_list, decode_name, redis_errors, run_script
from config.records import JobState, RunControl, Spec, StageState
from config.topology import ACTIVE, PAUSED, Stage, run_key

Resumed = Literal["resumed", "going", "ended", "empty"]


@dataclass(frozen=True)
class Cancelled:
    """Result of `RunControls.cancel`."""

    ended: bool
    """the run had ended; nothing was changed"""
    jobs: int
    """jobs that this call cancelled"""


class RunControls:
    """What people ask of runs. The workers obey at their next claim, heartbeat or renewal."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def cancel(self, run_id: str) -> Cancelled:
        """Stop a run: unfinished jobs become cancelled, and a running stage will start anew when the run is resumed."""
        parts = ("run", JobState.QUEUED, JobState.RUNNING, JobState.CANCELLED, "leases", "changed")
        keys = [*(run_key(run_id, str(part)) for part in parts), ACTIVE, PAUSED]
        keys += [run_key(run_id, f"stage:{stage}") for stage in Stage]
        word, jobs = decode_list(run_script(self._redis, "cancel", keys, [run_id, run_key(run_id, "job:")]))
        return Cancelled(ended=word == "ended", jobs=int(jobs))

    def pause(self, run_id: str) -> str:
        """Start nothing more of a run. Returns its control afterwards; "ended" if it had ended."""
        return decode(run_script(self._redis, "pause", [run_key(run_id, "run"), ACTIVE, PAUSED], [run_id]))

    def resume(self, spec: Spec, *, without_cancelled: bool = False) -> tuple[Resumed, int]:
        """Let a run go on; returns a word and the number of jobs that are queued again.

        "going": it was neither paused nor cancelled. "ended": it has ended and has no cancelled jobs. "empty": without
        its cancelled jobs there is nothing to curate.
        """
        states = [run_key(spec.run_id, state.value) for state in JobState]
        keys = [run_key(spec.run_id, "run"), *states, ACTIVE, PAUSED]
        keys += [run_key(spec.run_id, f"stage:{stage}") for stage in Stage]
        requested = (spec.train, spec.train and spec.evaluate)
        stages = [StageState.WAITING.value if wanted else StageState.SKIPPED.value for wanted in requested]
        args: list[Arg] = [spec.run_id, int(without_cancelled), *stages]
        word, jobs = decode_list(run_script(self._redis, "resume", keys, args))
        match word:
            case "resumed" | "going" | "ended" | "empty" as result:
                return result, int(jobs)
        raise StoreError(f"resume.lua returned {word!r}")

    def of(self, run_id: str) -> RunControl:
        """Whether a person has paused or cancelled a run; GO also if it does not exist."""
        with redis_errors():
            return RunControl(decode(self._redis.hget(run_key(run_id, "run"), "control")))

    def paused(self) -> list[str]:
        """Ids of the runs that are paused, sorted."""
        with redis_errors():
            return sorted(decode_name(run_id) for run_id in self._redis.smembers(PAUSED))
