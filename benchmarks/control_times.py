"""Seconds from each control command to its effect on a real worker: python -m benchmarks.control_times --trials 20

One worker of --concurrency jobs, with the default lease, answers a run over a scripted endpoint. Measured are:
  cancel run     until its jobs in flight, which would take another minute, have been stopped
  resume run     until its first job asks the endpoint; all of its messages were lost
  pause run      until its last job has started (0: none starts after the command)
  pause worker   the same, of all runs
  resume worker  until its first job asks the endpoint
  drain worker   until its process has ended, its jobs in flight of --answer-seconds included
Prints a table with the median and the worst of the trials; the last line is JSON.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from config.ledger import Ledger
from config.records import JsonObject, Limits, Prompt, Spec, WorkerControl
from config.settings import Settings
from config.topology import QUEUE_GENERATE
from producer import control, enqueue
from producer.stack.redis_server import Server, short_lived_client
from tests.support.fleet import PROBE, question
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint
from tests.support.workers import WorkerProcess, start_worker_process

RUN = "night"
NAME = "mac@test"
JOBS = 6000  # more than the trials use up
ENDLESS = 60.0  # seconds of an answer that is not awaited
POLL = 0.01
PATIENCE = 60.0
HEARTBEAT = 2.0  # seconds; a command that waits for one has taken effect after that, or never
COMMANDS = ("cancel run", "resume run", "pause run", "pause worker", "resume worker", "drain worker")


@dataclass
class Endpoint:
    """Answers jobs after `seconds`, and remembers when each was asked."""

    seconds: float
    asked: list[float] = field(default_factory=list)
    """time.monotonic() of each job's request"""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, body: JsonObject) -> Reply:
        """The reply to one request."""
        if question(body) == PROBE:
            return Reply(text="hello")
        with self.lock:
            self.asked.append(time.monotonic())
        return Reply(text="answer", stall=self.seconds)


@dataclass
class Bench:
    """A worker, its endpoint and the ledger."""

    server: Server
    folder: Path
    endpoint: Endpoint
    url: str
    concurrency: int
    ledger: Ledger
    worker: WorkerProcess = field(init=False)

    def start(self) -> None:
        """Start the worker; it answers when this returns."""
        env = {"APPLEJACK_ENDPOINT": self.url, "APPLEJACK_CONCURRENCY": str(self.concurrency)}
        self.worker = start_worker_process(
            QUEUE_GENERATE, "mac", url=self.server.url, folder=self.folder, env=env, concurrency=self.concurrency
        )

    def trial(self) -> dict[str, float]:
        """Each command once; the run goes on afterwards."""
        taken = {
            "cancel run": self.cancel_run(),
            "resume run": self.resume_run(),
            "pause run": self.last_start(lambda: control.pause(self.ledger, RUN)),
        }
        self.resume_run()
        time.sleep(1)
        return {
            **taken,
            "pause worker": self.last_start(lambda: self.ask(WorkerControl.PAUSED)),
            "resume worker": self.first_start(lambda: self.ask(WorkerControl.GO)),
            "drain worker": self.drain(),
        }

    def cancel_run(self) -> float:
        """Seconds until all jobs in flight are stopped."""
        quick, self.endpoint.seconds = self.endpoint.seconds, ENDLESS
        before = len(self.endpoint.asked)
        until(lambda: len(self.endpoint.asked) - before >= self.concurrency)  # each slot waits for its endless answer
        stopped = self.stopped()
        began = time.monotonic()
        control.cancel(self.ledger, RUN)
        until(lambda: self.stopped() - stopped >= self.concurrency)
        self.endpoint.seconds = quick
        return time.monotonic() - began

    def stopped(self) -> int:
        """Number of jobs that the worker has stopped so far."""
        return self.worker.child.log.read_text().count("cancelled in flight")

    def resume_run(self) -> float:
        """Seconds until the run goes on, without one of its messages."""
        with short_lived_client(self.server.url, seconds=5) as client:
            client.delete(QUEUE_GENERATE)
        return self.first_start(lambda: control.resume(self.ledger, RUN))

    def ask(self, wanted: WorkerControl) -> None:
        """Ask the worker for something."""
        control.control_worker(self.ledger, NAME, wanted)

    def first_start(self, command: Callable[[], object]) -> float:
        """Seconds from a command to the next job's request."""
        began, before = time.monotonic(), len(self.endpoint.asked)
        command()
        until(lambda: len(self.endpoint.asked) > before)
        return self.endpoint.asked[before] - began

    def last_start(self, command: Callable[[], object]) -> float:
        """Seconds from a command to the last job's request, after which there are none for longer than a heartbeat."""
        began = time.monotonic()
        command()
        until(lambda: time.monotonic() - max(began, self.endpoint.asked[-1]) > HEARTBEAT + 0.5 + self.endpoint.seconds)
        return max(0.0, self.endpoint.asked[-1] - began)

    def drain(self) -> float:
        """Seconds until the worker's process has ended; another one follows."""
        began = time.monotonic()
        self.ask(WorkerControl.DRAINING)
        until(lambda: self.worker.child.exit_code is not None)
        took = time.monotonic() - began
        self.ask(WorkerControl.GO)
        before = len(self.endpoint.asked)
        self.start()
        until(lambda: len(self.endpoint.asked) > before)  # imported all that a job needs
        return took


def until(holds: Callable[[], bool]) -> None:
    """Wait; AssertionError after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "a command had no effect"
        time.sleep(POLL)


def measure(trials: int, concurrency: int, seconds: float, folder: Path) -> dict[str, list[float]]:
    """Seconds of each command in each trial."""
    endpoint = Endpoint(seconds)
    with Server.start(folder) as server, ScriptedEndpoint(endpoint) as served:
        ledger = Ledger.connect(server.url.get_secret_value())
        bench = Bench(server, folder, endpoint, served.base_url, concurrency, ledger)
        spec = Spec(
            run_id=RUN, dataset_format="seed-text", train=False, limits=Limits(seconds=600, request_seconds=300)
        )
        asked = [Prompt(prompt=f"question {number}", requires_tools=False) for number in range(JOBS)]
        bench.start()
        try:
            enqueue.submit(ledger, Settings(redis_url=server.url), spec, asked)
            until(lambda: len(endpoint.asked) > 0)
            taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
            for number in range(1, trials + 1):
                trial = bench.trial()
                for name in COMMANDS:
                    taken[name].append(trial[name])
                print(f"trial {number}: {[round(took, 2) for took in trial.values()]}", file=sys.stderr, flush=True)
            return taken
        finally:
            bench.worker.child.kill()


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--answer-seconds", type=float, default=0.5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="applejack-control-") as folder:
        taken = measure(given.trials, given.concurrency, given.answer_seconds, Path(folder))
    print(f"{given.trials} trials, {given.concurrency} jobs at once of {given.answer_seconds:g} s; seconds to effect")
    print(f"{'command':<15}{'median':>8}{'worst':>8}")
    for name, times in taken.items():
        print(f"{name:<15}{median(times):>8.2f}{max(times):>8.2f}")
    figures = {name: [round(median(times), 2), round(max(times), 2)] for name, times in taken.items()}
    print(json.dumps({"trials": given.trials, "median_and_worst_seconds": figures}))


if __name__ == "__main__":
    main()
