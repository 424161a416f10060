"""The stages of a run in the ledger: claim, finish, release, reopen; a finished stage makes the next one ready."""

import json
import secrets
from dataclasses import dataclass
from typing import Literal

import redis

from config.ledger.encoding import Event, events, ms
from config.ledger.store import Arg, decode, decode_list, redis_errors, run_script
from config.records import JsonObject, Spec, StageState, TrainProgress
from config.topology import ACTIVE, Stage, run_key

DELIVERY_LIMIT = 3  # starts of one stage; after that it fails
ORDER = tuple(Stage)
Ended = Literal["next", "over", "stale"]


@dataclass(frozen=True)
class StageClaim:
    """A stage leased by this worker."""

    run_id: str
    stage: Stage
    token: str
    exhausted: bool
    """the delivery limit is exceeded: record a failure instead of running the stage"""


@dataclass(frozen=True)
class StageView:
    """State, result and history of one stage."""

    stage: Stage
    state: StageState
    worker: str
    started: float | None
    """seconds since the epoch"""
    finished: float | None
    error: str
    result: JsonObject
    history: tuple[Event, ...]

    @property
    def seconds(self) -> float | None:
        """Duration of the last run; None before it has finished."""
        return self.finished - self.started if self.started and self.finished else None


class Stages:
    """The stages of every run."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def begin(self, run_id: str, stage: Stage, *, worker: str, lease_seconds: float) -> StageClaim | str:
        """Claim a ready stage. Returns "held" if a live worker has it, the control of a paused or cancelled run, or its
        state if it is not ready.
        """
        token = secrets.token_hex(8)
        keys = [self._key(run_id, stage), run_key(run_id, "leases"), run_key(run_id, "run")]
        args: list[Arg] = [stage_member(stage), token, worker, ms(lease_seconds), DELIVERY_LIMIT]
        reply = decode_list(run_script(self._redis, "begin_stage", keys, args))
        if reply[0] == StageState.WAITING and self.wake(run_id, stage):
            reply = decode_list(run_script(self._redis, "begin_stage", keys, args))
        if reply[0] not in {"run", "exhausted"}:
            return reply[0]
        return StageClaim(run_id, stage, token, reply[0] == "exhausted")

    def finish(self, claim: StageClaim, *, result: JsonObject | None = None, error: str = "") -> Ended:
        """End a stage: failed if there is an error, else done.

        Returns "next" if the next stage is now ready, "over" if not, "stale" if the claim is no longer valid.
        """
        following = ORDER[ORDER.index(claim.stage) + 1 :][:1]
        keys = [
            self._key(claim.run_id, claim.stage),
            run_key(claim.run_id, "leases"),
            self._key(claim.run_id, following[0] if following else claim.stage),  # no user may declare an empty key
            ACTIVE,
        ]
        state = StageState.FAILED if error else StageState.DONE
        args: list[Arg] = [
            stage_member(claim.stage),
            claim.token,
            state.value,
            json.dumps(result or {}),
            error,
            claim.run_id,
            len(following),
        ]
        match decode(run_script(self._redis, "finish_stage", keys, args)):
            case "next":
                return "next"
            case "over":
                return "over"
        return "stale"

    def wake(self, run_id: str, stage: Stage) -> bool:
        """Make a waiting stage ready if its input is complete; whether it did.

        Usually the end of the stage before has done so. Its worker's Redis user may have no right to.
        """
        before = ORDER[: ORDER.index(stage)][-1:]
        keys = [self._key(run_id, stage), *(run_key(run_id, part) for part in ("run", "queued", "running"))]
        return run_script(self._redis, "wake", keys, [self._key(run_id, before[0]) if before else ""]) == 1

    def release(self, claim: StageClaim, *, why: str) -> bool:
        """Make a stage ready again without counting this delivery; False if the claim is no longer valid."""
        keys = [self._key(claim.run_id, claim.stage), run_key(claim.run_id, "leases")]
        return run_script(self._redis, "release_stage", keys, [stage_member(claim.stage), claim.token, why]) == 1

    def reopen(self, run_id: str, stage: Stage, *, spec: Spec | None = None) -> str:
        """Make a finished stage ready again; later stages wait. Returns "ready", or the state if not finished.

        A `spec` replaces the run's, which gets a new version; a trained adapter and its report are kept under the old
        one (adapters.py). The original spec still identifies the run.
        """
        parts = ("adapters", "stage:train", "stage:evaluate", "files:adapter", "files:report")
        keys = [ACTIVE, run_key(run_id, "run"), *(run_key(run_id, part) for part in parts)]
        keys += [self._key(run_id, later) for later in ORDER[ORDER.index(stage) :]]
        return decode(run_script(self._redis, "reopen", keys, [run_id, spec.model_dump_json() if spec else ""]))

    def view(self, run_id: str, stage: Stage) -> StageView:
        """Current view of one stage; waiting if the run does not exist."""
        with redis_errors():
            fields = {
                decode(key): decode(value) for key, value in self._redis.hgetall(self._key(run_id, stage)).items()
            }
        return StageView(
            stage=stage,
            state=StageState(fields.get("state", StageState.WAITING)),
            worker=fields.get("worker", ""),
            started=int(fields["started_ms"]) / 1000 if "started_ms" in fields else None,
            finished=int(fields["finished_ms"]) / 1000 if "finished_ms" in fields else None,
            error=fields.get("error", ""),
            result=json.loads(fields.get("result") or "{}"),
            history=events(fields.get("history")),
        )

    def report(self, run_id: str, stage: Stage, progress: TrainProgress | JsonObject) -> None:
        """Append one progress record."""
        line = progress.model_dump_json() if isinstance(progress, TrainProgress) else json.dumps(progress)
        with redis_errors():
            self._redis.rpush(run_key(run_id, f"progress:{stage}"), line)

    def progress(self, run_id: str, stage: Stage) -> list[JsonObject]:
        """All progress records of a stage, oldest first."""
        with redis_errors():
            return [
                json.loads(decode(line)) for line in self._redis.lrange(run_key(run_id, f"progress:{stage}"), 0, -1)
            ]

    def clear_progress(self, run_id: str, stage: Stage) -> None:
        """Delete the progress of an earlier run of the stage."""
        with redis_errors():
            self._redis.delete(run_key(run_id, f"progress:{stage}"))

    @staticmethod
    def _key(run_id: str, stage: Stage) -> str:
        return run_key(run_id, f"stage:{stage.value}")


def stage_member(stage: Stage) -> str:
    """Name of a stage in its run's leases."""
    return f"stage:{stage.value}"
