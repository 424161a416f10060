"""`--serve`: the mlx_lm server is its worker's child: watched, started again when it dies or hangs, never orphaned."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.records import JobState, Limits, Sampling
from tests.integration.conftest import StartWorker
from tests.support.fleet import QUICK, RUN, all_terminal, paused, prompts, submit, until, worker_view
from tests.support.tiny_student import make_tiny_student
from tests.support.workers import WorkerProcess

JOBS = 12
SERVER = "worker.endpoint.serve_child"  # after python -P -m
PROBE = 5.0  # seconds; 15 by default
FOUND_SECONDS = PROBE + 10  # a beat and a busy machine; with the defaults a wedged server is found within 30 s
SHORT = Limits(seconds=60, request_seconds=40, max_tokens=400, requests=2)

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def serving(start_worker: StartWorker, tmp_path: Path) -> Callable[[], WorkerProcess]:
    """A worker that serves the tiny student; its words are nonsense, which is all the same here."""
    student = make_tiny_student(tmp_path / "student")

    def start() -> WorkerProcess:
        return start_worker(
            "generate",
            "w",
            env={**QUICK, "APPLEJACK_SERVE": str(student), "APPLEJACK_HEALTH_CHECK_TIMEOUT": str(PROBE)},
            wait=False,
        )

    return start


def submitted(ledger: Ledger, url: SecretStr) -> tuple[str, ...]:
    return submit(ledger, url, prompts(JOBS), limits=SHORT, sampling=Sampling(temperature=1.0))


def server_of(ledger: Ledger) -> psutil.Process | None:
    """The model server's process, a child of the watchdog that the worker started."""
    view = worker_view(ledger, "w@test")
    if view is None:
        return None
    worker = psutil.Process(int(str(view.fields["pid"])))
    return next((child for child in worker.children(recursive=True) if SERVER in child.cmdline()[:4]), None)


def consuming(ledger: Ledger) -> bool:
    return worker_view(ledger, "w@test") is not None and not paused(ledger, "w@test")


def finished(ledger: Ledger) -> int:
    counts = ledger.jobs.counts(RUN)
    return counts[JobState.GENERATED] + counts[JobState.FAILED]


def none_lost(ledger: Ledger, jobs: tuple[str, ...]) -> None:
    """Every job has its trajectory, and the server's troubles were charged to none of them."""
    all_terminal(ledger, seconds=90)
    trajectories = [ledger.jobs.trajectory(RUN, job, 1) for job in jobs]
    assert all(trajectories)
    assert not [
        kind for kind in ledger.jobs.failure_counts(RUN) if kind.value.startswith("endpoint") or kind == "internal"
    ]


def test_a_served_model_is_awaited_restarted_when_killed_and_dies_with_its_worker(
    ledger: Ledger, redis_url: SecretStr, serving: Callable[[], WorkerProcess]
) -> None:
    """Fails without trip() in EndpointSupervisor.start (jobs begin too early) and without EndpointSupervisor._tend
    (no server comes back)."""
    jobs = submitted(ledger, redis_url)
    worker = serving()
    reason = until(lambda: paused(ledger, "w@test"), "paused until its server speaks")
    assert "starting the server of" in reason
    assert ledger.jobs.counts(RUN)[JobState.QUEUED] == JOBS
    until(lambda: finished(ledger) >= 2, "first jobs", seconds=90)
    first = server_of(ledger)
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    killed = time.monotonic()
    reason = until(lambda: paused(ledger, "w@test"), "paused by the server's death", seconds=15)
    until(lambda: "model_server.lost" in worker.child.log.read_text(), "told in the log", seconds=15)
    assert "last log line:" in worker.child.log.read_text()
    until(lambda: consuming(ledger), "back", seconds=60)
    print(f"a killed server was replaced after {time.monotonic() - killed:.1f} s")
    none_lost(ledger, jobs)
    second = server_of(ledger)
    assert second is not None
    assert second.pid != first.pid
    worker.kill()
    until(
        lambda: not second.is_running() or second.status() == psutil.STATUS_ZOMBIE, "died with its worker", seconds=10
    )


def test_a_wedged_server_is_found_by_its_silence_and_its_jobs_go_on(
    ledger: Ledger, redis_url: SecretStr, serving: Callable[[], WorkerProcess]
) -> None:
    """Fails without `health.wedged` in EndpointSupervisor._restart_if_unhealthy: TCP accepts, and every job waits until
    its own timeout."""
    worker = serving()
    until(lambda: consuming(ledger), "serving", seconds=90)
    jobs = submitted(ledger, redis_url)
    until(lambda: finished(ledger) >= 1, "first job", seconds=60)
    wedged = server_of(ledger)
    assert wedged is not None
    wedged.suspend()
    stopped = time.monotonic()
    reason = until(lambda: paused(ledger, "w@test"), "found", seconds=FOUND_SECONDS)
    print(f"a wedged server was found after {time.monotonic() - stopped:.1f} s: {reason}")
    assert "is wedged" in reason
    assert "last log line:" in reason
    until(lambda: consuming(ledger), "back", seconds=60)
    print(f"and replaced after {time.monotonic() - stopped:.1f} s")
    none_lost(ledger, jobs)
    assert worker.child.exit_code is None
