"""Measures large runs: python -m benchmarks.scale [--jobs 100 10000 100000] [--resubmit 10000]

Submits, generates and curates runs of these sizes with a real server and real workers. Rollouts are a stand-in
(tests/support/planted/stand_in.py): claim, lease, store and count are real, but no model or tool runs. For each size it
prints the seconds to submit, the seconds of a plain LPUSH of as many messages of the same length, jobs per second, the
seconds from the last stored job to the start of curation, and the peak memory of each process. For the size given by
--resubmit it also times the command `applejack resubmit RUN --all`.

With --directly there are no generate workers. This process finishes every job in the ledger with the same small
trajectory, and the messages stay in the queue. This is much faster on a small machine. It still measures the producer,
the server, the reconciler and the start of curation; jobs per second then measures only the ledger.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import redis
from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.store import decode
from config.records import JobState, Message, Prompt, Spec, StageState, Trajectory
from config.settings import Settings
from config.topology import Stage, run_key
from producer import enqueue
from producer.stack.redis_server import Server
from tests.support.workers import start_worker_process

MB = 1 << 20
MESSAGE = 1100  # approximate bytes of one job message from kombu
BATCH = 1000
RUN = "scale"


@dataclass
class Measured:
    """Results of one size, in seconds and megabytes."""

    jobs: int
    submit: float
    bare: float
    """plain LPUSH of as many messages"""
    generate: float
    to_curate: float
    """from the last stored job to the start of curation, by the server's clock"""
    curate: float
    producer_mb: float
    server_mb: float
    worker_mb: float
    """the largest of the generate workers"""
    curator_mb: float
    resubmit: float | None = None


def main() -> int:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 10_000, 100_000], help="sizes to run")
    parser.add_argument("--resubmit", type=int, default=10_000, help="the size to resubmit, if it is one of --jobs")
    parser.add_argument(
        "--directly", action="store_true", help="finish the jobs in the ledger, without generate workers"
    )
    parser.add_argument("--submit", nargs=2, metavar=("URL", "JOBS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.submit:
        print(json.dumps(submit(*options.submit)))
        return 0
    head = (
        "jobs",
        "submit",
        "bare",
        "ratio",
        "jobs/s",
        "to curate",
        "curate",
        "producer",
        "server",
        "worker",
        "curator",
    )
    print("seconds and MB  " + "".join(f"{name:>10}" for name in head), flush=True)
    results = []
    for jobs in options.jobs:
        result = measure(jobs, resubmit=jobs == options.resubmit, directly=options.directly)
        results.append(result)
        row = (
            result.jobs,
            result.submit,
            result.bare,
            result.submit / result.bare,
            result.jobs / result.generate,
            result.to_curate,
            result.curate,
        )
        row += (result.producer_mb, result.server_mb, result.worker_mb, result.curator_mb)
        print(" " * 16 + "".join(f"{value:10.2f}" if isinstance(value, float) else f"{value:10d}" for value in row))
        if result.resubmit is not None:
            print(f"  `applejack resubmit` of all {jobs} jobs: {result.resubmit:.2f} s, including its start")
        sys.stdout.flush()
    print(json.dumps([asdict(result) for result in results]))
    return 0


def submit(url: str, jobs: str) -> list[float]:
    """Submit as `applejack submit` does. Returns seconds, and the peak MB of this process before and after."""
    prompts = [Prompt(prompt=f"What is thing number {n}?", requires_tools=False) for n in range(int(jobs))]
    before = peak_mb()
    spec = Spec(run_id=RUN, dataset_format="seed-text", teacher="scripted", train=False)
    started = time.monotonic()
    enqueue.submit(Ledger.connect(url), Settings(redis_url=SecretStr(url)), spec, prompts)
    return [time.monotonic() - started, before, peak_mb()]


def peak_mb() -> float:
    """Peak memory of this process. Linux counts KB, macOS bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak / 1024


def measure(jobs: int, *, resubmit: bool, directly: bool) -> Measured:
    """One run of this size on its own server and workers."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="applejack-scale-")))
        server = stack.enter_context(Server.start(folder))
        url = server.url.get_secret_value()
        client = stack.enter_context(redis.Redis.from_url(url))
        ledger = Ledger(client)
        bare = push(client, jobs)
        memory = stack.enter_context(Memory())
        memory.watch("server", server.child.process.pid)
        generators = [] if directly else [(f"mac{n}", "generate", "tests.support.planted.stand_in") for n in (1, 2)]
        for name, queue, app in (*generators, ("curator", "curate", "worker.app")):
            worker = start_worker_process(
                queue, name, url=server.url, folder=folder, app=app, env={"APPLEJACK_CONCURRENCY": "2"}
            )
            stack.callback(worker.child.kill)
            memory.watch("curator" if queue == "curate" else "worker", worker.child.process.pid)
        started = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.scale", "--submit", url, str(jobs)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, _, producer = json.loads(done.stdout)
        if directly:
            finish_all(ledger)
        wait(lambda: pending(ledger) == 0)
        generated = time.monotonic() - started
        wait(lambda: ledger.stages.view(RUN, Stage.CURATE).state in {StageState.DONE, StageState.FAILED})
        view = ledger.stages.view(RUN, Stage.CURATE)
        ready_at = int(decode(client.hget(run_key(RUN, "stage:curate"), "ready_ms"))) / 1000
        assert view.started is not None
        assert not view.error, view.error
        again = resubmitted(url, folder) if resubmit else None
        return Measured(
            jobs=jobs,
            submit=seconds,
            bare=bare,
            generate=generated,
            to_curate=view.started - ready_at,
            curate=view.seconds or 0.0,
            producer_mb=producer,
            server_mb=memory.most["server"] / MB,
            worker_mb=memory.most.get("worker", 0) / MB,
            curator_mb=memory.most["curator"] / MB,
            resubmit=again,
        )


def push(client: redis.Redis, count: int) -> float:
    """Seconds to push as many messages of the same length."""
    blob = os.urandom(MESSAGE // 2).hex()
    started = time.monotonic()
    for start in range(0, count, BATCH):
        with client.pipeline(transaction=False) as pipe:
            for _ in range(min(BATCH, count - start)):
                pipe.lpush("bare", blob)
            pipe.execute()
    seconds = time.monotonic() - started
    client.delete("bare")
    return seconds


def resubmitted(url: str, folder: Path) -> float:
    """Seconds of the command that resubmits all jobs of the run."""
    command = [sys.executable, "-c", "from producer.cli import main; main()", "resubmit", RUN, "--all", "--json"]
    env = {**os.environ, "APPLEJACK_REDIS_URL": url, "APPLEJACK_DIR": str(folder)}
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, env=env)
    return time.monotonic() - started


def finish_all(ledger: Ledger) -> None:
    """Finish every job of the run with a small trajectory, like the stand-in's."""
    for job_id in ledger.jobs.ids(RUN):
        question, answer = f"What is job {job_id}?", f"It is one of many, the one called {job_id}."
        messages = (Message(role="user", content=question), Message(role="assistant", content=answer))
        trajectory = Trajectory(
            run_id=RUN,
            job_id=job_id,
            prompt=question,
            requires_tools=False,
            messages=messages,
            finish_reasons=("stop",),
            outcome="completed",
        )
        ledger.jobs.finish(trajectory, worker="stand-in")


def pending(ledger: Ledger) -> int:
    """Number of unfinished jobs."""
    counts = ledger.jobs.counts(RUN)
    return counts[JobState.QUEUED] + counts[JobState.RUNNING]


def wait(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true, without a timeout."""
    while not condition():
        time.sleep(0.05)


class Memory:
    """Samples the memory of processes twice a second. `most` has the peak bytes per label."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {}
        self._watched: list[tuple[str, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def watch(self, label: str, watchdog: int) -> None:
        """Watch the processes that a watchdog started."""
        self._watched.append((label, watchdog))

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            for label, watchdog in list(self._watched):
                try:
                    children = psutil.Process(watchdog).children(recursive=True)
                    used = sum(child.memory_info().rss for child in children)
                except psutil.Error:
                    continue
                self.most[label] = max(self.most.get(label, 0), used)


if __name__ == "__main__":
    sys.exit(main())
