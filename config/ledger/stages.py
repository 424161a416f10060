"""The stages of a run in the ledger: claimed under a lease, ended once, each owing the next."""

import json
import secrets
from dataclasses import dataclass
from typing import Literal

import redis

from config.ledger.encoding import Event, events, ms
from config.ledger.store import Arg, decode, decode_list, redis_errors, run_script
from config.records import JsonObject, StageState, TrainProgress
from config.topology import ACTIVE, Stage, run_key

DELIVERY_LIMIT = 3  # workers that may die on one stage before the run says so and stops
ORDER = tuple(Stage)
Ended = Literal["next", "over", "stale"]


@dataclass(frozen=True)
class StageClaim:
    """A stage held under a lease."""

    run_id: str
    stage: Stage
    token: str
    exhausted: bool


@dataclass(frozen=True)
class StageView:
    """What the ledger knows of one stage."""

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
        """How long it took, None while it has not ended."""
        return self.finished - self.started if self.started and self.finished else None


class Stages:
    """The stages of every run."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def begin(self, run_id: str, stage: Stage, *, worker: str, lease_seconds: float) -> StageClaim | str:
        """Claim an owed stage; "held" or its state as a word when it is not to be had."""
        token = secrets.token_hex(8)
        keys = [self._key(run_id, stage), run_key(run_id, "leases")]
        args: list[Arg] = [stage_member(stage), token, worker, ms(lease_seconds), DELIVERY_LIMIT]
        answer = decode_list(run_script(self._redis, "begin_stage", keys, args))
        if answer[0] not in {"run", "exhausted"}:
            return answer[0]
        return StageClaim(run_id, stage, token, answer[0] == "exhausted")

    def finish(self, claim: StageClaim, *, result: JsonObject | None = None, error: str = "") -> Ended:
        """End a stage, failed when there is an error; "next" owes the one after it, "stale" when another holds it."""
        following = ORDER[ORDER.index(claim.stage) + 1 :][:1]
        keys = [
            self._key(claim.run_id, claim.stage),
            run_key(claim.run_id, "leases"),
            self._key(claim.run_id, following[0]) if following else "",
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

    def release(self, claim: StageClaim, *, why: str) -> bool:
        """Hand a stage back: it is owed again, and this try does not count against it."""
        keys = [self._key(claim.run_id, claim.stage), run_key(claim.run_id, "leases")]
        return run_script(self._redis, "release_stage", keys, [stage_member(claim.stage), claim.token, why]) == 1

    def reopen(self, run_id: str, stage: Stage) -> str:
        """Owe an ended stage again, those behind it waiting for it: "ready", or its state when it has not ended."""
        behind = [self._key(run_id, one) for one in ORDER[ORDER.index(stage) :]]
        return decode(run_script(self._redis, "reopen", [ACTIVE, *behind], [run_id]))

    def view(self, run_id: str, stage: Stage) -> StageView:
        """One stage as it stands; "waiting" when the run is not known."""
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
        """Append one line of progress."""
        line = progress.model_dump_json() if isinstance(progress, TrainProgress) else json.dumps(progress)
        with redis_errors():
            self._redis.rpush(run_key(run_id, f"progress:{stage}"), line)

    def progress(self, run_id: str, stage: Stage) -> list[JsonObject]:
        """Every line of progress of a stage, oldest first."""
        with redis_errors():
            return [
                json.loads(decode(line)) for line in self._redis.lrange(run_key(run_id, f"progress:{stage}"), 0, -1)
            ]

    def clear_progress(self, run_id: str, stage: Stage) -> None:
        """Forget the progress of an earlier try."""
        with redis_errors():
            self._redis.delete(run_key(run_id, f"progress:{stage}"))

    @staticmethod
    def _key(run_id: str, stage: Stage) -> str:
        return run_key(run_id, f"stage:{stage.value}")


def stage_member(stage: Stage) -> str:
    """How a stage is named among the leases of its run."""
    return f"stage:{stage.value}"
