"""Runs with one broken value each: every key of a run, every field of its hashes, in every way.

A run before it is broken: one job is held by a lease of a day, one has a trajectory, one has failed. Nothing of it is
pending, so that no worker has a reason to run anything of it.
"""

import random
from collections.abc import Iterator

import redis

from config.errors import FailureKind
from config.ledger import Ledger
from config.records import Failure, Pin, Prompt, Spec, Trajectory, Verdict
from config.topology import run_key

DAY = 86_400.0
HUGE = 200_000  # bytes
PROMPTS = [Prompt(prompt=f"question of a broken run {number}", requires_tools=False) for number in range(3)]
FIELDS = {
    "run": (
        "spec", "fingerprint", "total", "created_ms", "version", "control", "history", "bulk", "judged", "restoring",
    ),
    "job:HELD": ("attempt", "deliveries", "token", "worker", "history"),
    "job:DONE": ("attempt", "kind", "finished_ms", "ms", "history"),
    "stage:curate": ("state", "token", "worker", "result", "error", "history", "ready_ms"),
    "stage:train": ("state", "history"),
    "stage:evaluate": ("state", "result"),
    "prompts": ("HELD", "DONE"),
    "verdicts": ("DONE",),
    "pins": ("/workspace",),
    "rate": ("1",),
    "by_worker": ("w1@test|generated",),
    "refused": ("", "w1@test"),
    "lost_calls": ("teacher",),
    "notices": ("1",),
    "files:dataset": ("train.jsonl",),
    "adapters": ("1:spec",),
}  # fmt: skip
WHOLE = (
    "queued", "running", "generated", "failed", "cancelled", "kind:timeout", "leases", "changed", "trajectory:DONE:1",
    "submit", "sending", "progress:train", *FIELDS,
)  # fmt: skip
WAYS = ("wrong type", "not JSON", "huge", "binary", "missing")


def broken_runs(ledger: Ledger, client: redis.Redis, *, count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Create `count` runs and break one value of each; yields the run's id, its finished job and what is broken."""
    rng = random.Random(seed)
    places: list[tuple[str, str | None]] = [(part, None) for part in WHOLE]
    places += [(part, field) for part, fields in FIELDS.items() for field in fields]
    breaks = [(*place, way) for place in places for way in WAYS if place[1] is None or way != "wrong type"]
    rng.shuffle(breaks)
    for number in range(count):
        run_id = f"broken-{number:04d}"
        held, done = _whole_run(ledger, run_id)
        part, field, way = breaks[number % len(breaks)]
        key = run_key(run_id, part.replace("HELD", held).replace("DONE", done))
        _break(client, rng, key, field and field.replace("HELD", held).replace("DONE", done), way)
        yield run_id, done, f"{part} {field or ''} {way}"


def _whole_run(ledger: Ledger, run_id: str) -> tuple[str, str]:
    """A run whose values are all there; its job that is held and its job that is done."""
    held, done, failed = ledger.create(Spec(run_id=run_id, dataset_format="seed-text", train=False), PROMPTS).job_ids
    ledger.jobs.begin(run_id, held, worker="w1@test", lease_seconds=DAY, delivery_limit=3)
    made = Trajectory(run_id=run_id, job_id=done, attempt=1, prompt="p", outcome="completed")
    ledger.jobs.finish(made, worker="w1@test")
    failure = Failure(kind=FailureKind.TIMEOUT, message="late")
    late = Trajectory(run_id=run_id, job_id=failed, attempt=1, prompt="p", outcome="failed", failure=failure)
    ledger.jobs.finish(late, worker="w1@test")
    ledger.set_verdicts(run_id, [Verdict(job_id=done)])
    ledger.pin(run_id, "/workspace", Pin(origin="/workspace", commit="0" * 40))
    return held, done


def _break(client: redis.Redis, rng: random.Random, key: str, field: str | None, way: str) -> None:
    values = {"not JSON": b"{", "huge": b"9" * HUGE, "binary": b"\xff" + rng.randbytes(50)}
    if field is not None:
        if way == "missing":
            client.hdel(key, field)
        else:
            client.hset(key, field, values[way])
        return
    kind = client.type(key)
    client.delete(key)
    match way:
        case "missing":
            pass
        case "wrong type":
            if kind == b"string":
                client.rpush(key, "a list")
            else:
                client.set(key, "a string")
        case _ if kind == b"string":
            client.set(key, values[way])
        case _ if kind == b"zset":
            client.zadd(key, {values[way]: 1})
        case _ if kind == b"hash":
            client.hset(key, values[way], values[way])
        case _:
            client.sadd(key, values[way])
