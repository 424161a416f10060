"""Broken messages and ledger values beside a healthy run: python -m benchmarks.dead_letters --messages 10000 --seed 1

Real workers consume all three queues. A run is timed undisturbed, and then the same run again while --messages
structured and random messages arrive on each queue, in ten bursts over the time that the undisturbed run took, and
--values other runs, all active, each have one broken value. The endpoint takes --answer-seconds for each job.

Shows that no worker exited, that nothing of what was planted was run, that all of it was counted, and the ratio of the
two times. A planted message is counted as a dead letter, or it can be read and its run is unknown or broken: then its
worker logs that it dropped it. The exit code is 1 if one of these fails or the ratio is above 1.2.
"""

import argparse
import json
import pickle
import random
import sys
import tempfile
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import redis

from config.ledger import Ledger
from config.ledger.dead_letters import COUNT
from config.ledger.store import ledger_client
from config.records import Prompt, Spec
from config.settings import Settings
from config.topology import CURATE, DEAD_LETTERS, GENERATE, QUEUES, TRAIN
from producer import enqueue
from producer.run_status import status
from producer.stack.redis_server import Server
from tests.support.broken_messages import WRONG, message, random_bytes
from tests.support.broken_values import broken_runs
from tests.support.fleet import PROBE, answering, question, until
from tests.support.scripted_endpoint import ScriptedEndpoint
from tests.support.workers import WorkerProcess, start_worker_process

BURSTS = 10
WORST = 1.2  # times the undisturbed time
TASK = {"generate": GENERATE, "curate": CURATE, "train": TRAIN}
DROPPED = {"job.dropped", "stage.dropped", "message.left_to_others"}
START_SECONDS = 600.0
Broken = Sequence[tuple[str, str, str]]
Plant = Callable[[float], None]
"""called with the seconds since the run was submitted"""


def main() -> int:
    """Run both, print the figures; 1 if something planted had an effect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000, help="planted messages on each queue")
    parser.add_argument("--values", type=int, default=1_000, help="other runs with one broken value each")
    parser.add_argument("--jobs", type=int, default=240, help="jobs of the healthy run")
    parser.add_argument("--answer-seconds", type=float, default=2.0, help="time the endpoint takes for a job")
    parser.add_argument("--concurrency", type=int, default=8, help="jobs at once of the generate worker")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", type=Path, help="keep logs and Redis in this new folder")
    given = parser.parse_args()
    if given.dir:
        given.dir.mkdir(parents=True)
        return run(given, given.dir.resolve())
    with tempfile.TemporaryDirectory(prefix="applejack-dead-letters-") as folder:
        return run(given, Path(folder))


def run(given: argparse.Namespace, folder: Path) -> int:
    """Start Redis, the endpoint and the workers, time both runs and print what was found."""
    rng = random.Random(given.seed)
    canary = folder / "canary"
    with Server.start(folder) as server, ScriptedEndpoint(answering(given.answer_seconds)) as endpoint:
        client = ledger_client(server.url.get_secret_value())
        ledger = Ledger(client)
        workers = [start(server, folder, endpoint, queue, given.concurrency) for queue in QUEUES]
        try:
            for worker in workers:
                worker.wait_ready(START_SECONDS)
            calm = timed(ledger, server, "calm", given, lambda _: None)
            told(f"undisturbed: {calm:.1f} s; breaking {given.values} runs")
            client.delete(DEAD_LETTERS, COUNT)
            broken = list(broken_runs(ledger, client, count=given.values, seed=given.seed))
            planted = {queue: messages(rng, queue, given.messages, broken, canary) for queue in QUEUES}
            due = [calm * 0.8 * burst / BURSTS for burst in range(BURSTS)]

            def plant(seconds: float) -> None:
                if due and due[0] <= seconds:
                    del due[0]
                    burst(client, planted, BURSTS - len(due) - 1)

            disturbed = timed(ledger, server, "disturbed", given, plant)
            told(f"disturbed: {disturbed:.1f} s; waiting for the rest of the queues")
            until(lambda: not sum(client.llen(queue) for queue in QUEUES), "empty queues", seconds=START_SECONDS)
            until(lambda: not client.hlen("unacked"), "nothing in hand", seconds=START_SECONDS)
            seen = Counter(question(body) for body in endpoint.requests)
            exits = [worker.name for worker in workers if worker.child.exit_code is not None]
            found = counted(client, folder, {run_id: job_id for run_id, job_id, _ in broken})
        finally:
            for worker in workers:
                worker.child.kill()
    total = sum(map(len, planted.values()))
    counts = found["messages"] + found["dropped"]
    asked = {text: number for text, number in seen.items() if text != PROBE}
    own = sum(number for text, number in asked.items() if text in {one.prompt for one in healthy(given.jobs)})
    executed = sum(asked.values()) - own + canary.exists()
    ratio = disturbed / calm
    print(f"healthy run of {given.jobs} jobs: {calm:.1f} s undisturbed, {disturbed:.1f} s disturbed, ratio {ratio:.3f}")
    print(f"planted messages: {total}; dead letters {found['messages']}, readable and dropped {found['dropped']}")
    print(f"runs with a broken value: {len(broken)}, of which set aside {found['runs']}; the others can be read")
    print(
        f"workers that exited: {exits or 0}; planted messages that were run: {executed}; requests {sum(asked.values())}"
    )
    bad = [
        *([f"{len(exits)} workers exited"] if exits else []),
        *([f"{executed} planted messages were run"] if executed else []),
        *([f"{counts} of {total} messages were counted"] if counts != total else []),
        *([f"ratio {ratio:.3f} is above {WORST}"] if ratio > WORST else []),
        *([f"{sum(asked.values())} requests for {2 * given.jobs} jobs"] if own < 2 * given.jobs else []),
    ]
    for line in bad:
        print(f"BROKEN: {line}")
    print(json.dumps({"ratio": round(ratio, 3), "planted": total, **found, "executed": executed, "broken": bad}))
    return 1 if bad else 0


def told(line: str) -> None:
    """Print progress."""
    print(line, file=sys.stderr, flush=True)


def start(server: Server, folder: Path, endpoint: ScriptedEndpoint, queue: str, concurrency: int) -> WorkerProcess:
    """A worker of one queue."""
    env = {"APPLEJACK_ENDPOINT": endpoint.base_url, "APPLEJACK_LOG_FORMAT": "json"}
    env |= {"APPLEJACK_CONCURRENCY": str(concurrency), "APPLEJACK_DIR": str(folder / queue)}
    many = concurrency if queue == "generate" else 1
    return start_worker_process(queue, queue, url=server.url, folder=folder, env=env, concurrency=many, wait=False)


def healthy(jobs: int) -> list[Prompt]:
    """The prompts of the run that is timed."""
    return [Prompt(prompt=f"question {number}", requires_tools=False) for number in range(jobs)]


def timed(ledger: Ledger, server: Server, run_id: str, given: argparse.Namespace, plant: Plant) -> float:
    """Submit the run and watch it to its end, planting on the way; its seconds."""
    spec = Spec(run_id=run_id, dataset_format="seed-text", train=False)
    began = time.monotonic()
    plant(0.0)
    enqueue.submit(ledger, Settings(redis_url=server.url), spec, healthy(given.jobs))
    spoken = began
    while (state := status(ledger, run_id)).stage not in {"done", "failed"}:
        time.sleep(0.2)
        plant(time.monotonic() - began)
        if time.monotonic() - spoken > 10:
            spoken = time.monotonic()
            told(f"{run_id}: {state.generated} of {given.jobs} jobs, {spoken - began:.0f} s")
    assert state.generated == given.jobs, state
    return time.monotonic() - began


def messages(rng: random.Random, queue: str, count: int, broken: Broken, canary: Path) -> list[bytes]:
    """Half are random, half structured: wrong, a pickle that writes a file, of unknown and broken runs."""
    structured = [*WRONG, pickled(queue, canary), unknown(queue, "nothing")]
    made = [random_bytes(rng) if rng.random() < 0.5 else rng.choice(structured) for _ in range(count - len(broken))]
    made += [unknown(queue, run_id, job_id) for run_id, job_id, _ in broken][: count - len(made)]
    rng.shuffle(made)
    return [raw.replace(b'"tag-1"', f'"tag-{rng.random()}"'.encode()) for raw in made]


def unknown(queue: str, *ids: str) -> bytes:
    """A message of the queue's task that can be read."""
    wanted = [*ids, "job"][: 2 if queue == "generate" else 1]
    return json.dumps(message(TASK[queue], [wanted, {}, {}])).encode()


def pickled(queue: str, canary: Path) -> bytes:
    """A message whose body writes a file when it is unpickled."""
    body = b64encode(pickle.dumps(Canary(str(canary)))).decode()
    return json.dumps({**message(TASK[queue]), "body": body, "content-type": "application/x-python-serialize"}).encode()


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.file, "w")


def burst(client: redis.Redis, planted: dict[str, list[bytes]], number: int) -> None:
    """Send the messages of one burst to all queues."""
    with client.pipeline(transaction=False) as pipe:
        for queue, raws in planted.items():
            for raw in raws[number::BURSTS]:
                pipe.lpush(queue, raw)
        pipe.execute()


def counted(client: redis.Redis, folder: Path, broken: dict[str, str]) -> dict[str, int]:
    """Dead letters of queues and of runs, and the drops that the workers logged of planted messages."""
    events = [entry for log in folder.glob("*.log") for entry in logged(log)]
    runs = [
        str(entry["run_id"]) for entry in events if entry.get("event") == "run.unreadable"
    ]  # per reconciling worker
    dropped = sum(entry.get("event") in DROPPED and was_planted(entry, broken) for entry in events)
    return {"messages": int(client.get(COUNT) or 0) - len(runs), "dropped": dropped, "runs": len(set(runs))}


def logged(log: Path) -> Iterator[dict[str, object]]:
    """The lines of a log that are JSON."""
    for line in log.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            yield json.loads(line)


def was_planted(entry: dict[str, object], broken: dict[str, str]) -> bool:
    """Whether a message that was dropped was planted; the reconciler too sends messages for jobs of broken runs."""
    run_id, job_id = str(entry["run_id"]), entry.get("job_id")
    return run_id not in {"calm", "disturbed"} and (job_id is None or broken.get(run_id, job_id) == job_id)


if __name__ == "__main__":
    sys.exit(main())
