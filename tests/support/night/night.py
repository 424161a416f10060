"""The replayed night: four Macs. One is healthy, one slow, one loses its model server, one has the wrong model.

The slow one also leaves some requests unanswered, so that good questions fail there and succeed when they run again.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from config.ledger import Ledger
from config.process import ChildProcess, free_port, start_child
from config.records import JobState, Limits, Spec
from config.settings import Settings
from config.topology import QUEUE_CURATE, QUEUE_GENERATE
from producer import enqueue
from producer.mining.mine import mine
from producer.run_status import status
from producer.stack.redis_server import Server
from tests.support.night.endpoint import MODEL, bad_prompts
from tests.support.workers import ROOT, WorkerProcess, start_worker_process

RUN = "night-1"
BAD_SHARE = 0.05
LEAST_BAD = 8  # two of each kind: one alone may time out on the slow Mac, and then its own failure is not there
ANSWER_SECONDS, SLOW = 0.05, 10  # of one answer, and how many times slower the slow Mac is
STALLS_EVERY = 10  # requests to the slow Mac: one of them is never answered
DIES_AT, BACK_AT = 0.2, 0.6  # shares of the jobs: when the third Mac's server dies and is there again
JOB_SECONDS = 45.0  # limit of one job; a busy machine needs many for its imports
LOOK_SECONDS = 0.5
WRONG_MODEL = "draft-1b"
START_SECONDS = 240.0  # five workers that import their whole world at the same time


@dataclass
class Mac:
    """A worker and its model server, which a person or the night can stop and start."""

    name: str
    folder: Path
    seconds: float
    serves: str = MODEL
    stalls_every: int = 0
    port: int = field(default_factory=free_port)
    server: ChildProcess | None = None
    worker: WorkerProcess | None = None

    def start_server(self) -> None:
        """Start the model server."""
        command = [sys.executable, "-P", "-m", "tests.support.night.endpoint", "--port", str(self.port)]
        command += ["--seconds", str(self.seconds), "--serves", self.serves]
        command += ["--stalls-every", str(self.stalls_every)]
        self.server = start_child(f"{self.name}-server", command, log=self.folder / f"{self.name}-server.log", cwd=ROOT)

    def kill_server(self) -> None:
        """Kill the model server, as an out-of-memory kill does."""
        if self.server:
            self.server.kill()
            self.server = None


@dataclass
class Night:
    """A fleet with a run in it."""

    server: Server
    folder: Path
    macs: list[Mac]

    @property
    def ledger(self) -> Ledger:
        """The fleet's ledger."""
        return Ledger.connect(self.server.url.get_secret_value())

    def submit(self, jobs: int, *, seed: int = 1, job_seconds: float = JOB_SECONDS) -> None:
        """Queue the night's run: mined questions about applejack's own code, and BAD_SHARE of bad ones.

        A request that is never answered ends with its job after `job_seconds`: the cause is "timeout".
        """
        bad = bad_prompts(max(LEAST_BAD, round(jobs * BAD_SHARE)))
        asked = [*mine([ROOT / "worker"], count=jobs - len(bad), seed=seed), *bad]
        prompts = [prompt for _, prompt in sorted(enumerate(asked), key=lambda pair: (pair[0] * 7919) % jobs)]
        spec = Spec(
            run_id=RUN,
            workspace=str(ROOT / "worker"),
            model=MODEL,
            limits=Limits(requests=6, tool_calls=8, seconds=job_seconds, request_seconds=2 * job_seconds),
            dataset_format="seed-text",
            train=False,
        )
        enqueue.submit(self.ledger, Settings(redis_url=self.server.url), spec, prompts)

    def pass_until(self, ended: Callable[[], bool], *, patience: float, tell: Callable[[str], object] = print) -> float:
        """Let the night happen until `ended`; returns its seconds. Raises TimeoutError after `patience` seconds."""
        started, third = time.monotonic(), self.macs[2]
        while not ended():
            if time.monotonic() - started > patience:
                raise TimeoutError(f"the night has not ended within {patience:g} s: {status(self.ledger, RUN)}")
            counts = self.ledger.jobs.counts(RUN)
            share = (counts[JobState.GENERATED] + counts[JobState.FAILED]) / sum(counts.values())
            if third.server and DIES_AT <= share < BACK_AT:
                tell(f"{third.name}: its model server dies")
                third.kill_server()
            elif not third.server and share >= BACK_AT:
                tell(f"{third.name}: its model server is there again")
                third.start_server()
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - started

    def is_over(self) -> bool:
        """Whether the run has ended."""
        return status(self.ledger, RUN).stage in {"done", "failed"}


@contextmanager
def night(
    folder: Path, *, concurrency: int = 4, gpu_host: bool = True, stalls_every: int = STALLS_EVERY
) -> Iterator[Night]:
    """Start Redis, four Macs and a curate worker; nothing is left afterwards.

    Without a `gpu_host` the first Mac curates too, which saves a process.
    """
    with ExitStack() as stack:
        server = stack.enter_context(Server.start(folder))
        macs = [
            Mac("mac-one", folder, ANSWER_SECONDS),
            Mac("mac-two", folder, ANSWER_SECONDS * SLOW, stalls_every=stalls_every),
            Mac("mac-three", folder, ANSWER_SECONDS),
            Mac("mac-four", folder, ANSWER_SECONDS, serves=WRONG_MODEL),
        ]
        made = Night(server, folder, macs)
        for mac in macs:
            stack.callback(mac.kill_server)
            mac.start_server()
            env = {
                "APPLEJACK_ENDPOINT": f"http://127.0.0.1:{mac.port}/v1",
                "APPLEJACK_CONCURRENCY": str(concurrency),
                "APPLEJACK_HEALTH_CHECK_SECONDS": "2",
                "APPLEJACK_LOG_FORMAT": "json",
            }
            queues = QUEUE_GENERATE if gpu_host or mac is not macs[0] else f"{QUEUE_GENERATE},{QUEUE_CURATE}"
            mac.worker = start_worker(stack, made, queues, mac.name, env, concurrency=concurrency)
        workers = [mac.worker for mac in macs if mac.worker]
        if gpu_host:
            workers.append(start_worker(stack, made, QUEUE_CURATE, "gpu-host", {}, concurrency=1))
        for worker in workers:
            worker.wait_ready(START_SECONDS)
        yield made


def start_worker(
    stack: ExitStack, made: Night, queues: str, name: str, env: dict[str, str], *, concurrency: int
) -> WorkerProcess:
    """Start a worker that ends with the night."""
    folder = made.folder / name
    folder.mkdir(exist_ok=True)
    worker = start_worker_process(
        queues, name, url=made.server.url, folder=folder, env=env, concurrency=concurrency, wait=False
    )
    stack.callback(worker.child.kill)
    return worker
