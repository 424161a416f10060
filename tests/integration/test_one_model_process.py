"""One model process per device: a worker's server makes room for training and evaluation, and returns."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from config.ledger import Ledger
from config.ledger.jobs import Claim as JobClaim
from config.records import JobState, JsonObject, Limits, Prompt, Spec, TrainProgress
from config.settings import Settings
from producer.overview.workers import device_line
from producer.run_status import device_rows
from producer.stack.local_stack import Stack
from tests.support.fleet import QUICK, RUN, all_terminal, prompts, submit, told, until
from tests.support.tiny_adapter import make_tiny_adapter
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set
from tests.support.workers import SCRIPTED_MODEL
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.device.device_lock import Claim
from worker.doctor.host_checks import SERVING, TRAINING, Process, of_kind
from worker.endpoint import model_server
from worker.endpoint.supervisor import EndpointSupervisor
from worker.evaluate.evaluator import evaluate
from worker.fleet.leases import Leases
from worker.job_runner import JobRunner
from worker.train.trainer import train

SERVER = "tests.support.planted.scripted_server"  # after python -P -m

pytestmark = pytest.mark.timeout(240)


def started_as(process: Process) -> str:
    """What a process, or its watchdog, was told to run: distinct for each start of a server."""
    return " ".join(process.command).rpartition(" -m ")[2]


@contextmanager
def sampled() -> Iterator[list[list[str]]]:
    """The model processes below this test, looked at again and again: one list of their command lines a look."""
    looks: list[list[str]] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            found = []
            for child in psutil.Process(os.getpid()).children(recursive=True):
                try:
                    found.append(Process(child.pid, child.ppid(), tuple(child.cmdline())))
                except psutil.Error:
                    continue
            looks.append([started_as(process) for process in of_kind(found, SERVING | TRAINING)])

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        ended.set()
        thread.join()


def test_serving_training_and_evaluation_of_a_stack_follow_each_other(tmp_path: Path) -> None:
    """Fails without DeviceTurn.take in ServedModel (three models at once), without EndpointSupervisor._make_room (the
    training waits for ever), and with APPLEJACK_SERVE for every worker of the stack (two servers)."""
    student = make_tiny_student(tmp_path / "student")
    adapter, dataset = make_tiny_adapter(tmp_path / "adapter", strength=1), make_training_set(tmp_path / "dataset")
    seen: list[list[JsonObject]] = []
    with sampled() as looks, Stack(Settings(dir=tmp_path, serve=str(student)), generate=2, env=QUICK) as stack:
        stack.wait_ready()
        url = stack.running.redis_url
        assert url is not None
        ledger = Ledger.connect(url.get_secret_value())
        both = [stack.urls["model"]] * 2
        until(lambda: endpoints(ledger) == both, "two workers of one server")
        submit(ledger, url, prompts(6), limits=Limits(seconds=60, max_tokens=20, requests=2), model=str(student))

        def progress(_: TrainProgress) -> None:
            seen.append(device_rows(ledger.fleet.workers()))

        rates: JsonObject = {"iters": 4, "batch_size": 2, "steps_per_report": 1, "grad_checkpoint": False}
        train(
            dataset, student=student, out=tmp_path / "out", overrides=rates, on_progress=progress,
            cancelled=lambda: False, run_id="night-1",
        )  # fmt: skip
        evaluate(
            [Prompt(prompt="What is a queue?", requires_tools=False)],
            spec=Spec(run_id="night-1", evaluate_limits=Limits(requests=2, max_tokens=6, seconds=60)),
            student=student, adapter=adapter, workspace_for=lambda _: None, out=tmp_path / "report",
            on_progress=lambda *_: None, worker="test",
        )  # fmt: skip
        all_terminal(ledger)
        until(lambda: endpoints(ledger) == both, "the server is back")
    assert max(map(len, looks)) == 1, next(look for look in looks if len(look) > 1)
    order = [command for (command,) in filter(None, looks)]
    kinds = [command.partition(" ")[0].rpartition(".")[2] for command in dict.fromkeys(order)]
    assert kinds == ["serve_child", "child", "serve_child", "serve_child"]  # teacher, training, base, adapter
    assert order[-1] == order[0]  # and the teacher's server is back, not before
    (row,) = seen[-1]
    host = row["host"]
    assert device_line(row) == (
        f"device {row['device']} of {host}: training of night-1; waiting: model server (generate1)"
    )


def files_of_children() -> set[str]:
    children = psutil.Process(os.getpid()).children(recursive=True)
    return {file.path for child in children if SERVER in child.cmdline()[:4] for file in child.open_files()}


def endpoints(ledger: Ledger) -> list[object]:
    """The endpoints of the generate workers that take jobs."""
    fields = [view.fields for view in ledger.fleet.workers()]
    return [field["endpoint"] for field in fields if field["endpoint"] and not field["paused"]]


@pytest.mark.parametrize(
    ("answer_seconds", "drain_seconds", "state"),
    [(1, 30, JobState.GENERATED), (60, 0.5, JobState.QUEUED)],
    ids=["a short job ends first", "a long one is released"],
)
def test_jobs_in_flight_when_the_server_makes_room(
    answer_seconds: float, drain_seconds: float, state: JobState,
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The first fails without the wait in EndpointSupervisor._make_room, the second without its limit."""
    monkeypatch.setattr(model_server, "CHILD", SERVER)
    monkeypatch.setenv("TEST_ANSWER_SECONDS", str(answer_seconds))
    chosen = Settings(dir=tmp_path, serve=SCRIPTED_MODEL, health_check_seconds=0.2, drain_seconds=drain_seconds)
    paused: list[str] = []
    supervisor = EndpointSupervisor(chosen, pause=paused.append, resume=lambda: None)
    leases = Leases(ledger.fleet, lease_seconds=60)
    jobs = JobRunner(ledger, leases, chosen, "w", ConcurrencyLimiter(most=4), supervisor=supervisor)
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").touch()
    spec = Spec(run_id=RUN, dataset_format="seed-text", train=False, workspace=str(code))
    (job,) = ledger.create(spec, [Prompt(prompt="How many files are there?")]).job_ids
    supervisor.start()
    try:
        until(lambda: not supervisor.circuit_breaker.reason, "serves", seconds=30)
        running = threading.Thread(target=jobs.run, args=(RUN, job))
        running.start()
        until(supervisor._busy, "the job uses the server")
        (claim,) = chosen.lock_dir.glob("*.1")
        assert str(claim) in files_of_children()  # so that the device stays in use if this worker is killed
        training = Claim("training", "night-1")
        until(lambda: training.ahead() == [], "the device is free", seconds=30)
        assert supervisor.served is not None
        assert supervisor.served.server is None
        running.join(30)
        assert paused[-1] == "the model server makes room for training of night-1"
        assert ledger.jobs.counts(RUN)[state] == 1
        if state is JobState.QUEUED:
            assert told(ledger, job) == ["started", "handed_back"]
            begun = ledger.jobs.begin(RUN, job, worker="w", lease_seconds=9, delivery_limit=1)
            assert isinstance(begun, JobClaim)
            assert begun.deliveries == 1  # no attempt was used up
        training.release()
        until(lambda: not supervisor.circuit_breaker.reason, "serves again", seconds=30)
    finally:
        supervisor.stop()
