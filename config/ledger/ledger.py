"""A run as a whole: create, list, view and remove it; its pins, verdicts and counters.

The file is long because it is the one door to the ledger: its parts hang on it, and each query is a short method.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice

import redis

from config.errors import StoreError, UsageError
from config.ledger import verdicts as verdict_store
from config.ledger.adapters import Adapters, AdapterVersion
from config.ledger.control import RunControls
from config.ledger.dead_letters import DeadLetters
from config.ledger.encoding import Event, events, parse
from config.ledger.files import Files
from config.ledger.fleet import Fleet, LeaseRef
from config.ledger.jobs import Jobs
from config.ledger.logins import Logins
from config.ledger.notices import Notices
from config.ledger.permissions import Permissions
from config.ledger.refusals import RefusalStore
from config.ledger.restore import Restoration
from config.ledger.server import Server
from config.ledger.stages import Stages
from config.ledger.store import Arg, decode, decode_name, ledger_client, redis_errors, run_script
from config.ledger.summaries import Summaries
from config.ledger.verdicts import Judged
from config.records import JobState, Pin, Prompt, RunControl, Spec, StageState, Verdict, job_id
from config.topology import ACTIVE, ARCHIVED, PAUSED, RUNS, Stage, run_key

ARCHIVED_MOST = 10_000  # ids of removed runs that are remembered
BATCH = 2000  # prompts written per round trip
SENDING_MS = 120_000  # sending 100,000 messages takes 12 to 50 s; if the producer dies, the reconciler waits this long
SHOWN = 80  # characters of an unknown run id in a message
SUBMIT_LOCK_MS = 60_000  # longer than writing one batch takes; each batch renews it


@dataclass(frozen=True)
class Created:
    """Result of `Ledger.create`."""

    new: bool
    """False if the same run already exists"""
    job_ids: tuple[str, ...]


@dataclass(frozen=True)
class RunView:
    """A run as it was submitted."""

    spec: Spec
    total: int
    created: float
    """seconds since the epoch"""
    version: int
    """of its dataset and adapter: 1, plus one for each resubmission of jobs and each new student or hyperparameters"""
    control: RunControl = RunControl.GO
    bulk: int = 0
    """raised by each change of many jobs at once: a cancellation, a resumption, a resubmission"""
    history: tuple[Event, ...] = ()
    """when it was cancelled, paused, resumed and resubmitted"""
    judged: Judged | None = None
    """None before the first curation, and if a worker of an earlier version curated it"""


class Ledger:
    """The runs in one Redis. Its parts have their own classes: `jobs`, `stages`, `fleet`, `files`, `controls`, ..."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self.jobs = Jobs(client)
        self.stages = Stages(client)
        self.fleet = Fleet(client)
        self.files = Files(client)
        self.controls = RunControls(client)
        self.dead_letters = DeadLetters(client)
        self.restoration = Restoration(client)
        self._adapters = Adapters(client)
        self.refusals = RefusalStore(client)
        self.summaries = Summaries(client)
        self.server = Server(client)
        self.notices = Notices(client)
        self.logins = Logins(client)
        self.permissions = Permissions(client)

    @classmethod
    def connect(cls, url: str) -> Ledger:
        """Return the ledger at a Redis URL; it connects on first use."""
        return cls(ledger_client(url))

    def check(self) -> None:
        """Ping the server; StoreError if it does not reply or rejects the password."""
        with redis_errors():
            self._redis.ping()

    def create(self, spec: Spec, prompts: Sequence[Prompt]) -> Created:
        """Write a run and its jobs; the run becomes visible only when it is complete.

        The same content again returns new=False and changes nothing. UsageError if the run id belongs to another run.
        """
        return self.create_jobs(spec, [(job_id(number, prompt), prompt) for number, prompt in enumerate(prompts, 1)])

    def create_jobs(self, spec: Spec, jobs: Sequence[tuple[str, Prompt | None]]) -> Created:
        """Like `create`, with the jobs' ids. A job whose prompt is None, because it is lost, fails when it is run."""
        ids = tuple(job for job, _ in jobs)
        digest = fingerprint(spec, ids)
        if self._known(spec.run_id, digest):
            return Created(new=False, job_ids=ids)
        with self._submitting(spec.run_id) as lock:
            if self._known(spec.run_id, digest):  # another producer was first
                return Created(new=False, job_ids=ids)
            self._write_prompts(spec.run_id, jobs)
            stages = [run_key(spec.run_id, f"stage:{stage}") for stage in Stage]
            requested = (spec.train, spec.train and spec.evaluate)
            states = [StageState.WAITING.value if stage else StageState.SKIPPED.value for stage in requested]
            keys = [run_key(spec.run_id, "run"), RUNS, ACTIVE, *stages, run_key(spec.run_id, "submit")]
            args: list[Arg] = [spec.run_id, spec.model_dump_json(), digest, len(ids), *states, lock]
            if run_script(self._redis, "create", keys, args) != 1:
                raise StoreError(f"run {spec.run_id!r} took too long to write; nothing was queued, try again")
        return Created(new=True, job_ids=ids)

    def run(self, run_id: str) -> RunView:
        """Return a run as it was submitted; UsageError if it does not exist.

        ValueError if it cannot be read, NewerRecordError if a later version of applejack has submitted it.
        """
        with redis_errors():
            fields = {decode(key): decode(value) for key, value in self._redis.hgetall(run_key(run_id, "run")).items()}
            judged = self._redis.get(run_key(run_id, "judged")) if fields else None
        if not fields:
            shown = run_id if len(run_id) <= SHOWN else f"{run_id[:SHOWN]}..."
            raise UsageError(f"there is no run {shown!r}; `applejack status` lists the runs")
        spec = parse(Spec, fields["spec"], f"run {run_id!r}")
        if spec.run_id != run_id:  # an id that `Spec` has not checked must not become a path
            raise ValueError(f"the run {run_id!r} has the id {spec.run_id!r} in its spec")
        return RunView(
            spec=spec,
            total=int(fields["total"]),
            created=int(fields["created_ms"]) / 1000,
            version=int(fields["version"]),
            control=RunControl(fields.get("control", "")),
            bulk=int(fields.get("bulk", "0")),
            history=events(fields.get("history")),
            judged=verdict_store.parse(fields.get("judged", "") if judged is None else decode(judged)),
        )

    def adapters(self, run_id: str) -> list[AdapterVersion]:
        """The adapters of a run, oldest first; UsageError if it does not exist."""
        run = self.run(run_id)
        return self._adapters.all(run_id, run.spec, run.version)

    def run_ids(self) -> list[str]:
        """Ids of all runs, newest first."""
        with redis_errors():
            return [decode_name(run_id) for run_id in self._redis.zrevrange(RUNS, 0, -1)]

    def pin(self, run_id: str, workspace: str, pin: Pin) -> Pin:
        """Store the code version of a workspace if none is stored; return the stored one, for the worker to compare."""
        key = run_key(run_id, "pins")
        with redis_errors():
            self._redis.hsetnx(key, workspace, pin.model_dump_json())
            return Pin.model_validate_json(decode(self._redis.hget(key, workspace)))

    def pinned(self, run_id: str, workspace: str) -> Pin | None:
        """Code version of a workspace in this run; None until a worker has opened it."""
        with redis_errors():
            found = self._redis.hget(run_key(run_id, "pins"), workspace)
        return Pin.model_validate_json(decode(found)) if found is not None else None

    def set_verdicts(
        self,
        run_id: str,
        verdicts: Iterable[Verdict],
        *,
        judged: Judged | None = None,
        lease: LeaseRef | None = None,
    ) -> None:
        """Replace all verdicts of curation; readers see either the old set or the new one. `lease`: as of Files.put."""
        verdict_store.replace(self._redis, run_id, verdicts, judged, lease)

    def verdict(self, run_id: str, job_id: str) -> Verdict | None:
        """Verdict of one job; None if it has not been curated."""
        return self.verdicts_of(run_id, [job_id])[0]

    def verdicts_of(self, run_id: str, job_ids: Sequence[str]) -> list[Verdict | None]:
        """Verdicts of some jobs, in the same order; None for a job that has not been curated."""
        return verdict_store.some(self._redis, run_id, job_ids)

    def verdicts(self, run_id: str) -> dict[str, Verdict]:
        """All verdicts of the current dataset, by job id."""
        return verdict_store.every(self._redis, run_id)

    def remove(self, run_id: str) -> None:
        """Delete a run. It leaves the lists first, so that no reader sees a partly deleted run."""
        with redis_errors():
            self._redis.zadd(ARCHIVED, {run_id: self.fleet.now()})
            self._redis.zremrangebyrank(ARCHIVED, 0, -ARCHIVED_MOST - 1)
            self._redis.zrem(RUNS, run_id)
            self._redis.srem(ACTIVE, run_id)
            self._redis.srem(PAUSED, run_id)
            self._delete_keys(run_id)

    def archived(self, run_ids: Sequence[str]) -> list[str]:
        """Those of the runs that were removed and not submitted again."""
        with redis_errors():
            scores = self._redis.zmscore(ARCHIVED, list(run_ids)) if run_ids else []
            removed = [run_id for run_id, at in zip(run_ids, scores, strict=True) if at is not None]
            return [run_id for run_id in removed if self._redis.zscore(RUNS, run_id) is None]

    def counters(self, run_id: str, *, tens: Sequence[int] | None = None) -> tuple[dict[int, int], dict[str, int]]:
        """Finished jobs per ten seconds (epoch seconds // 10; `tens`: only these) and per "worker|state"."""
        key, names = run_key(run_id, "rate"), [str(ten) for ten in tens or ()]
        with redis_errors():
            some = dict(zip(names, self._redis.hmget(key, names), strict=True)) if names else None
            found = self._redis.hgetall(key) if some is None else some
            done = {decode(key): int(value) for key, value in self._redis.hgetall(run_key(run_id, "by_worker")).items()}
        return {int(ten): int(count) for ten, count in found.items() if count is not None}, done

    def _known(self, run_id: str, digest: str) -> bool:
        with redis_errors():
            stored = decode(self._redis.hget(run_key(run_id, "run"), "fingerprint"))
        if stored and stored != digest:
            raise UsageError(
                f"run {run_id!r} already exists with different prompts or settings; "
                "nothing was changed, choose another --run"
            )
        return bool(stored)

    @contextmanager
    def sending(self, run_id: str) -> Iterator[None]:
        """Mark a big run as being sent, so that the reconciler does not send its jobs as well."""
        key = run_key(run_id, "sending")
        with redis_errors():
            self._redis.set(key, 1, px=SENDING_MS)
        try:
            yield
        finally:
            with suppress(StoreError), redis_errors():  # the key expires by itself
                self._redis.delete(key)

    def being_sent(self, run_id: str) -> bool:
        """Whether a producer is sending this run's messages."""
        with redis_errors():
            return bool(self._redis.exists(run_key(run_id, "sending")))

    @contextmanager
    def _submitting(self, run_id: str) -> Iterator[str]:
        """Lock a run for one producer; yields the lock's token, which create.lua checks."""
        key, token = run_key(run_id, "submit"), secrets.token_hex(8)
        with redis_errors():
            if not self._redis.set(key, token, nx=True, px=SUBMIT_LOCK_MS):
                raise StoreError(f"run {run_id!r} is being submitted by another process; try again in a minute")
        try:
            yield token
        finally:
            with suppress(StoreError), redis_errors():  # the key expires by itself
                if decode(self._redis.get(key)) == token:
                    self._redis.delete(key)

    def _write_prompts(self, run_id: str, jobs: Sequence[tuple[str, Prompt | None]]) -> None:
        """Write the keys that create.lua makes visible. After an interrupted submit the next one overwrites them."""
        with redis_errors():
            self._clear(run_id)
            for start in range(0, len(jobs), BATCH):
                batch = dict(jobs[start : start + BATCH])
                texts = (prompt.model_dump_json(exclude_defaults=True) if prompt else "" for prompt in batch.values())
                with self._redis.pipeline(transaction=True) as pipe:
                    pipe.hset(run_key(run_id, "prompts"), mapping=dict(zip(batch, texts, strict=True)))
                    pipe.sadd(run_key(run_id, JobState.QUEUED.value), *batch)
                    pipe.pexpire(run_key(run_id, "submit"), SUBMIT_LOCK_MS)
                    pipe.execute()

    def _clear(self, run_id: str) -> None:
        """Delete what is there of a run that is not: an older state of Redis may hold one that was half written.

        Workers may have stored into it what they had begun before. Their jobs leave the lists last, so that the next
        attempt notices them too.
        """
        to_do = ("prompts", JobState.QUEUED, JobState.RUNNING)  # nothing is stored for jobs that are in neither
        self._redis.delete(*(run_key(run_id, part) for part in to_do))
        noticed = [run_key(run_id, part) for part in ("run", JobState.GENERATED, JobState.FAILED, JobState.CANCELLED)]
        if self._redis.exists(*noticed):
            self._delete_keys(run_id, but=[*noticed, run_key(run_id, "submit")])
            self._redis.delete(*noticed)

    def _delete_keys(self, run_id: str, but: Sequence[str] = ()) -> None:
        found = self._redis.scan_iter(match=run_key(run_id, "*"), count=1000)
        keys = (key for key in found if decode(key) not in but)
        while batch := list(islice(keys, BATCH)):
            self._redis.unlink(*batch)


def fingerprint(spec: Spec, job_ids: Sequence[str]) -> str:
    """Hex sha256 of a run's spec and job ids; the job ids include a hash of each prompt."""
    digest = hashlib.sha256(spec.model_dump_json().encode())
    for job in job_ids:
        digest.update(job.encode())
    return digest.hexdigest()
