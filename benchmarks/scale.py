"""Big runs: python -m benchmarks.scale [--jobs 100 10000 100000] [--resubmit 10000]

Submit, generate and curate runs of these sizes over a real server and real workers, whose rollouts are a stand-in
(tests/support/planted/stand_in.py): claim, lease, store and count are real, no model and no tool runs. For each:
seconds to submit, beside a bare LPUSH of as many messages of the same length; jobs a second; seconds from the last job
stored to the start of curation; the most memory each process held. Then the same command that a person types resubmits
a whole run of --resubmit jobs.

With --directly no worker generates: this process finishes every job in the ledger, with the same small trajectory, and
the messages stay in the queue. It spares a small machine most of the time and leaves what is measured of the producer,
the server, the reconciler and the start of curation; jobs a second are then only the ledger's.
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
MESSAGE = 1100  # bytes of one message of a job as kombu writes it, about
BATCH = 1000
RUN = "scale"


@dataclass
class Measured:
    """One size. Seconds and megabytes."""

    jobs: int
    submit: float
    bare: float
    """LPUSH of as many messages"""
    generate: float
    to_curate: float
    """from the last job stored to the start of curation, by the server's clock"""
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
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 10_000, 100_000])
    parser.add_argument(
        "--resubmit", type=int, default=10_000, help="size that is resubmitted whole, if it is among them"
    )
    parser.add_argument(
        "--directly", action="store_true", help="finish the jobs in the ledger, without generate workers"
    )
    parser.add_argument("--submit", nargs=2, metavar=("URL", "JOBS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.submit:
        print(json.dumps(submit(*asked.submit)))
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
    found = []
    for jobs in asked.jobs:
        one = measure(jobs, resubmit=jobs == asked.resubmit, directly=asked.directly)
        found.append(one)
        row = (
            one.jobs,
            one.submit,
            one.bare,
            one.submit / one.bare,
            one.jobs / one.generate,
            one.to_curate,
            one.curate,
        )
        row += (one.producer_mb, one.server_mb, one.worker_mb, one.curator_mb)
        print(" " * 16 + "".join(f"{value:10.2f}" if isinstance(value, float) else f"{value:10d}" for value in row))
        if one.resubmit is not None:
            print(f"  `applejack resubmit` of all {jobs}: {one.resubmit:.2f} s, the start of the command included")
        sys.stdout.flush()
    print(json.dumps([asdict(one) for one in found]))
    return 0


def submit(url: str, jobs: str) -> list[float]:
    """What `applejack submit` does once its file is read; seconds, and the most memory of this process in MB."""
    prompts = [Prompt(prompt=f"What is thing number {n}?", requires_tools=False) for n in range(int(jobs))]
    before = peak_mb()
    spec = Spec(run_id=RUN, dataset_format="seed-text", teacher="scripted", train=False)
    started = time.monotonic()
    enqueue.submit(Ledger.connect(url), Settings(redis_url=SecretStr(url)), spec, prompts)
    return [time.monotonic() - started, before, peak_mb()]


def peak_mb() -> float:
    """The most memory this process has held; Linux counts KB, macOS bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak / 1024


def measure(jobs: int, *, resubmit: bool, directly: bool) -> Measured:
    """One run of that size on a server and workers of its own."""
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
        done = subprocess.run(command, check=True, capture_output=True, decode=True)
        seconds, _, producer = json.loads(done.stdout)
        if directly:
            finish_all(ledger)
        wait(lambda: owed(ledger) == 0)
        generated = time.monotonic() - started
        wait(lambda: ledger.stages.view(RUN, Stage.CURATE).state in {StageState.DONE, StageState.FAILED})
        view = ledger.stages.view(RUN, Stage.CURATE)
        owed_at = int(decode(client.hget(run_key(RUN, "stage:curate"), "ready_ms"))) / 1000
        assert view.started is not None
        assert not view.error, view.error
        again = resubmitted(url, folder) if resubmit else None
        return Measured(
            jobs=jobs,
            submit=seconds,
            bare=bare,
            generate=generated,
            to_curate=view.started - owed_at,
            curate=view.seconds or 0.0,
            producer_mb=producer,
            server_mb=memory.most["server"] / MB,
            worker_mb=memory.most.get("worker", 0) / MB,
            curator_mb=memory.most["curator"] / MB,
            resubmit=again,
        )


def push(client: redis.Redis, count: int) -> float:
    """Seconds to push as many messages of that length and do nothing else."""
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
    """Seconds of the command that queues all jobs of the run again."""
    command = [sys.executable, "-c", "from producer.cli import main; main()", "resubmit", RUN, "--all", "--json"]
    env = {**os.environ, "APPLEJACK_REDIS_URL": url, "APPLEJACK_DIR": str(folder)}
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, env=env)
    return time.monotonic() - started


def finish_all(ledger: Ledger) -> None:
    """Finish every job of the run with the stand-in's kind of trajectory, as workers would."""
    for job_id in ledger.jobs.ids(RUN):
        question, answer = f"What is job {job_id}?", f"It is one of many, the one called {job_id}."
        said = (Message(role="user", content=question), Message(role="assistant", content=answer))
        made = Trajectory(
            run_id=RUN,
            job_id=job_id,
            prompt=question,
            requires_tools=False,
            messages=said,
            finish_reasons=("stop",),
            outcome="completed",
        )
        ledger.jobs.finish(made, worker="stand-in")


def owed(ledger: Ledger) -> int:
    """Jobs that are not finished."""
    counts = ledger.jobs.counts(RUN)
    return counts[JobState.QUEUED] + counts[JobState.RUNNING]


def wait(condition: Callable[[], bool]) -> None:
    """Until it is true; a benchmark that hangs is ended by hand."""
    while not condition():
        time.sleep(0.05)


class Memory:
    """Looks at processes, and what they started, twice a second; `most` is in bytes by label, the largest of each."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {}
        self._watched: list[tuple[str, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def watch(self, label: str, watchdog: int) -> None:
        """Watch what a watchdog has started."""
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
                    held = sum(child.memory_info().rss for child in children)
                except psutil.Error:
                    continue
                self.most[label] = max(self.most.get(label, 0), held)


if __name__ == "__main__":
    sys.exit(main())
