"""Measures how soon the job of a killed worker runs on another worker: python -m benchmarks.recovery [--kills 20]

Stock Celery with acks_late runs at the same time on the same machine and server: once with its default visibility
timeout (3,600 s), and once with a timeout as short as our lease, which no job may then exceed. The time runs from the
SIGKILL until another worker starts the job. A job not started within --patience is reported as longer.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import redis
from pydantic import SecretStr

from benchmarks.stock import STARTED
from config.ledger import Ledger
from config.records import Prompt, Spec
from config.settings import Settings
from producer import enqueue
from producer.stack.redis_server import Server
from tests.support.workers import WorkerProcess, start_worker_process

VICTIMS = 4  # workers killed per round, at different moments
JOB_SECONDS = 1200.0  # longer than the benchmark waits
POLL = 0.02


def main() -> int:
    """Measure both and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="number of applejack workers to kill")
    parser.add_argument("--lease", type=float, default=20.0, help="lease in seconds; default: the setting's default")
    parser.add_argument("--patience", type=float, default=200.0, help="seconds to wait for stock Celery")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="applejack-recovery-") as name, Server.start(Path(name)) as server:
        folder, url = Path(name), server.url.get_secret_value()
        found: dict[str, list[float | None]] = {}

        def stock(label: str, database: int, visibility: float, victims: int) -> None:
            place = url.removesuffix("/0") + f"/{database}"
            found[label] = stock_round(
                SecretStr(place), folder / f"stock{database}", visibility, victims, options.patience
            )

        default, short = "stock, visibility 3600 s (default)", f"stock, visibility {options.lease:g} s"
        beside = [
            threading.Thread(target=stock, args=(default, 1, 3600.0, 1)),
            threading.Thread(target=stock, args=(short, 2, options.lease, 3)),
        ]
        for thread in beside:
            thread.start()
        ours: list[float | None] = []
        while len(ours) < options.kills:
            ours += our_round(
                server.url, folder / "ours", options.lease, min(VICTIMS, options.kills - len(ours)), options.patience
            )
            print(f"{len(ours)} kills", file=sys.stderr, flush=True)
        for thread in beside:
            thread.join()
    found = {f"applejack, lease {options.lease:g} s": ours, **found}
    report(found, options.patience)
    return 0


def our_round(url: SecretStr, folder: Path, lease: float, victims: int, patience: float) -> list[float | None]:
    """Kill workers that run one job each. Returns the seconds until each job started on another worker."""
    folder.mkdir(exist_ok=True)
    with redis.Redis.from_url(url.get_secret_value()) as client:
        client.flushdb()
    ledger = Ledger.connect(url.get_secret_value())
    env = {"APPLEJACK_LEASE_SECONDS": str(lease), "TEST_JOB_SECONDS": str(JOB_SECONDS)}

    def start(name: str, concurrency: int) -> WorkerProcess:
        return start_worker_process(
            "generate",
            name,
            url=url,
            folder=folder,
            env={**env, "APPLEJACK_CONCURRENCY": str(concurrency)},  # fixed: the controller is not measured here
            app="tests.support.planted.unhurried",
            concurrency=concurrency,
        )

    spec = Spec(run_id="r", teacher="scripted", dataset_format="seed-text", train=False)
    enqueue.submit(ledger, Settings(redis_url=url), spec, [Prompt(prompt=f"what {n}") for n in range(victims)])

    def starts(job_id: str) -> list[tuple[float, str]]:
        history = ledger.jobs.view("r", job_id).history
        return [(event.at, event.worker) for event in history if event.event == "started"]

    workers = {}
    for number in range(victims):
        workers[f"victim{number}@test"] = start(f"victim{number}", 1)
    holders = {}
    for job_id in ledger.jobs.ids("r"):
        wait(lambda job_id=job_id: starts(job_id), 60)
        holders[job_id] = starts(job_id)[0][1]
    successor = start("successor", victims)
    killed: dict[str, float] = {}
    try:
        for job_id, holder in holders.items():
            time.sleep(random.uniform(0, 2))  # any moment between two heartbeats
            workers[holder].kill()
            killed[job_id] = ledger.fleet.now()
        for job_id in holders:
            wait(lambda job_id=job_id: len(starts(job_id)) > 1, patience)
    finally:
        for worker in (*workers.values(), successor):
            worker.child.kill()
    return [starts(job)[1][0] - at if len(starts(job)) > 1 else None for job, at in killed.items()]


def stock_round(url: SecretStr, folder: Path, visibility: float, victims: int, patience: float) -> list[float | None]:
    """The same for stock Celery."""
    folder.mkdir(exist_ok=True)
    env = {"STOCK_URL": url.get_secret_value(), "STOCK_VISIBILITY": str(visibility)}
    client = redis.Redis.from_url(url.get_secret_value())

    def start(name: str, concurrency: int) -> WorkerProcess:
        return start_worker_process(
            "celery", name, url=url, folder=folder, env=env, app="benchmarks.stock", concurrency=concurrency
        )

    def starts(job: int) -> list[float]:
        return [float(at) for at in client.lrange(f"{STARTED}{job}", 0, -1)]

    from celery import Celery

    workers = []
    with Celery(broker=url.get_secret_value(), set_as_current=False) as app:
        for job in range(victims):  # one at a time, so that each worker's job is known
            workers.append(start(f"victim{job}", 1))
            app.send_task("hold", args=(str(job), JOB_SECONDS), ignore_result=True)
            wait(lambda job=job: starts(job), 60)
    successor = start("successor", victims)
    killed = []
    try:
        for worker in workers:
            time.sleep(random.uniform(0, 2))
            worker.kill()
            killed.append(time.time())
        deadline = time.monotonic() + patience
        for job in range(victims):
            wait(lambda job=job: len(starts(job)) > 1, deadline - time.monotonic())
        return [starts(job)[1] - at if len(starts(job)) > 1 else None for job, at in enumerate(killed)]
    finally:
        for worker in (*workers, successor):
            worker.child.kill()
        client.close()


def wait(condition: Callable[[], object], seconds: float) -> None:
    """Wait until the condition is true or the time is up."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL)


def report(found: dict[str, list[float | None]], patience: float) -> None:
    """Print a table, the ratios of the medians, and one line of JSON."""

    def shown(value: float | None) -> str:
        return f"> {patience:.0f}" if value is None else f"{value:.1f}"

    rows = {}
    for label, all_seconds in found.items():
        ordered = sorted(all_seconds, key=lambda value: patience if value is None else value)
        median = statistics.median_high([patience if value is None else value for value in ordered])
        rows[label] = (len(ordered), None if median >= patience else median, ordered[-1])
    print(f"{'seconds until the job of a killed worker runs again':52} kills   median    worst")
    for label, (count, median, worst) in rows.items():
        print(f"  {label:50} {count:5d} {shown(median):>8} {shown(worst):>8}")
    (ours, *others) = rows.items()
    for label, (_, median, _) in others:
        if ours[1][1]:
            more = "more than " if median is None else ""
            print(f"{label}: {more}{(patience if median is None else median) / ours[1][1]:.1f} times as long")
    print(json.dumps({label: {"kills": row[0], "median": row[1], "worst": row[2]} for label, row in rows.items()}))


if __name__ == "__main__":
    sys.exit(main())
