"""Measures how well unequal workers share a queue: four workers of speeds 1:2:4:8, compared with the best schedule.

python -m benchmarks.fairness [--jobs 300]

Each worker has its own HTTP endpoint, which takes a fixed time per answer. The lower bound is the time if all workers
are busy until the end. The baseline in the same run is the same fleet with Celery's default prefetch of 4.
"""

import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from config.ledger import Ledger
from config.records import JsonObject, Prompt, Spec
from config.settings import Settings
from producer import enqueue
from producer.run_status import status
from producer.stack.redis_server import Server
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, says, stalls
from tests.support.workers import WorkerProcess, start_worker_process

SECONDS = (9.6, 4.8, 2.4, 1.2)  # per answer; a 30B teacher takes longer, and so do several turns


def answer(seconds: float, _: JsonObject) -> Reply:
    """The same answer to every question, after `seconds`."""
    return stalls(seconds, says("It is 42."))


def makespan(folder: Path, *, jobs: int, prefetch: int) -> tuple[float, dict[str, int]]:
    """Seconds from the submission until the last job ends, and the number of jobs per worker."""
    with ExitStack() as stack:
        server = stack.enter_context(Server.start(folder / "stack"))
        ledger = Ledger.connect(server.url.get_secret_value())
        workers: list[WorkerProcess] = []
        for number, seconds in enumerate(SECONDS, start=1):
            endpoint = stack.enter_context(ScriptedEndpoint(partial(answer, seconds)))
            env = {"APPLEJACK_ENDPOINT": endpoint.base_url, "APPLEJACK_CONCURRENCY": str(prefetch)}
            worker = start_worker_process(
                "generate", f"speed{number}", url=server.url, folder=folder, env=env, concurrency=1, wait=False
            )
            stack.callback(worker.child.kill)
            workers.append(worker)
        for worker in workers:
            worker.wait_ready()
        prompts = [Prompt(prompt=f"What is {number} plus 1?", requires_tools=False) for number in range(jobs)]
        spec = Spec(run_id="r", dataset_format="seed-text", train=False)
        settings = Settings(redis_url=server.url, dir=folder)
        started = time.monotonic()
        enqueue.submit(ledger, settings, spec, prompts)
        while (progress := status(ledger, "r")).generated + progress.failed < jobs:
            time.sleep(0.05)
        return time.monotonic() - started, {name: sum(done.values()) for name, done in progress.by_worker.items()}


def main(jobs: Annotated[int, typer.Option(min=20)] = 300) -> None:
    """Print the makespans as ratios to the lower bound."""
    bound = jobs / sum(1 / seconds for seconds in SECONDS)
    print(f"{jobs} jobs, seconds per job {SECONDS}; lower bound {bound:.1f} s")
    for name, prefetch in (("applejack", 1), ("prefetch 4, Celery's default", 4)):
        with tempfile.TemporaryDirectory() as folder:
            seconds, done = makespan(Path(folder), jobs=jobs, prefetch=prefetch)
        print(f"{name:<28} {seconds:6.1f} s  {seconds / bound:.2f} times the lower bound  {dict(sorted(done.items()))}")


if __name__ == "__main__":
    typer.run(main)
