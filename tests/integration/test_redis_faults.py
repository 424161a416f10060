"""Redis goes away, fills up or refuses the password: workers wait and go on, and all that is told done is stored."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from config.errors import StoreError, StoreUnavailableError
from config.ledger import Ledger
from config.records import JobState, JsonObject, Spec, StageState, TrainProgress, Trajectory
from config.settings import Settings
from config.topology import Stage
from producer import enqueue
from producer.stack.redis_server import Server, short_lived_client
from tests.support.fleet import QUICK, RUN, all_terminal, answering, prompts, submit, told, until
from tests.support.scripted_endpoint import ScriptedEndpoint
from tests.support.workers import WorkerProcess, start_worker_process
from worker.fleet.leases import Leases
from worker.fleet.redis_outage import retry_while_unavailable
from worker.stage_runner import StageRunner
from worker.stages.context import StageContext
from worker.stages.work import WORK, report

ROOT = Path(__file__).resolve().parents[2]
CODE = str(ROOT / "config" / "ledger")  # with a workspace a job asks the ledger once more, before its first request
JOBS = 16
OUTAGE = 11.0  # seconds: longer than a socket's timeout, a refused client's retries and five leases
SPEC = Spec(run_id=RUN, dataset_format="seed-text", train=False)

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of this test's own, to be broken."""
    with Server.start(tmp_path / "server") as started:
        yield started


@pytest.fixture
def store(server: Server) -> Ledger:
    return Ledger.connect(server.url.get_secret_value())


@pytest.fixture
def workers(server: Server, tmp_path: Path) -> Iterator[list[WorkerProcess]]:
    """Two generate workers on it, over an endpoint that takes half a second."""
    with ScriptedEndpoint(answering(0.5)) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        started = [
            start_worker_process("generate", name, url=server.url, folder=tmp_path, env=env, wait=False)
            for name in ("one", "two")
        ]
        yield started
        for worker in started:
            worker.child.kill()


def in_mid_run(store: Ledger, server: Server) -> tuple[str, ...]:
    jobs = submit(store, server.url, prompts(JOBS), workspace=CODE)
    until(lambda: store.jobs.counts(RUN)[JobState.GENERATED] >= 4, "in mid-run")
    assert store.jobs.counts(RUN)[JobState.QUEUED] >= 4
    return jobs


def all_generated_and_stored(store: Ledger, jobs: tuple[str, ...], workers: list[WorkerProcess]) -> None:
    counts = all_terminal(store)
    assert (counts[JobState.GENERATED], counts[JobState.FAILED]) == (JOBS, 0), store.jobs.failure_counts(RUN)
    assert all(store.jobs.trajectory(RUN, job, 1) for job in jobs)
    assert all(told(store, job)[-1] == "generated" and told(store, job).count("generated") == 1 for job in jobs)
    assert [worker.child.exit_code for worker in workers] == [None, None]  # they waited, nobody started them again


def test_a_server_killed_and_started_again_loses_no_job(
    server: Server, store: Ledger, workers: list[WorkerProcess]
) -> None:
    """Fails without `appendonly yes` in producer/stack/redis_server.py."""
    jobs = in_mid_run(store, server)
    server.child.send(signal.SIGKILL)
    until(lambda: server.child.exit_code is not None, "the server died")
    time.sleep(OUTAGE)
    assert server.revive()
    back = time.monotonic()
    done = store.jobs.counts(RUN)[JobState.GENERATED]
    until(lambda: store.jobs.counts(RUN)[JobState.GENERATED] > done + 2, "going on")
    print(f"jobs finish again {time.monotonic() - back:.1f} s after the restart")
    all_generated_and_stored(store, jobs, workers)


def test_an_outage_longer_than_every_timeout_fails_no_job(
    server: Server, store: Ledger, workers: list[WorkerProcess]
) -> None:
    """A server that hangs instead of refusing: the client's retries, patience and the leases all serve here."""
    jobs = in_mid_run(store, server)
    server.child.send(signal.SIGSTOP)
    time.sleep(OUTAGE)
    server.child.send(signal.SIGCONT)
    back = time.monotonic()
    done = store.jobs.counts(RUN)[JobState.GENERATED]
    until(lambda: store.jobs.counts(RUN)[JobState.GENERATED] > done + 2, "going on")
    print(f"jobs finish again {time.monotonic() - back:.1f} s after an outage of {OUTAGE:g} s")
    all_generated_and_stored(store, jobs, workers)


def fill_memory(client: redis.Redis) -> None:
    client.config_set("maxmemory", "100kb")


def fill_disk(client: redis.Redis) -> None:
    """A snapshot that fails is how a server learns of a full disk: from then on it refuses every write."""
    client.config_set("save", "3600 1")
    client.bgsave()
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "a failed snapshot", seconds=10)


@pytest.mark.parametrize(
    ("fill", "refusal"),
    [
        (fill_memory, "memory"),  # refuses what needs room: leases and heartbeats too
        (fill_disk, "MISCONF"),  # refuses every write, taking a message from a queue among them
    ],
)
def test_a_full_server_stops_work_and_room_lets_it_go_on(
    fill: Callable[[redis.Redis], None],
    refusal: str,
    server: Server,
    store: Ledger,
    workers: list[WorkerProcess],
) -> None:
    """Fails without config/result_backend.py: each result that could not be stored costs a slot for ever."""
    (server.folder / "redis" / "dump.rdb").mkdir()  # a snapshot cannot take its place
    jobs = in_mid_run(store, server)
    with short_lived_client(server.url, seconds=5) as client:
        fill(client)
        with pytest.raises(redis.ResponseError, match=refusal):
            client.set("x", "y")
        time.sleep(4)
        counts = store.jobs.counts(RUN)
        assert counts[JobState.FAILED] == 0
        assert counts[JobState.GENERATED] < JOBS
        client.config_set("maxmemory", "0")
        client.config_set("save", "")
    back = time.monotonic()
    until(lambda: store.jobs.counts(RUN)[JobState.GENERATED] > counts[JobState.GENERATED] + 2, "going on")
    print(f"jobs finish again {time.monotonic() - back:.1f} s after there was room")
    all_generated_and_stored(store, jobs, workers)


def test_a_worker_that_comes_to_a_full_server_waits_for_room(server: Server, store: Ledger, tmp_path: Path) -> None:
    """Fails without broker_channel_error_retry in config/broker.py: the worker ends."""
    submit(store, server.url, prompts(3))
    with ScriptedEndpoint(answering()) as endpoint, short_lived_client(server.url, seconds=5) as client:
        fill_memory(client)
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        worker = start_worker_process("generate", "w", url=server.url, folder=tmp_path, env=env, wait=False)
        try:
            until(lambda: "not allowed when used memory" in worker.child.log.read_text(), "refused")
            time.sleep(3)
            assert worker.child.exit_code is None
            server_has_room(server)
            assert all_terminal(store)[JobState.GENERATED] == 3
        finally:
            worker.child.kill()


def test_waiting_asks_again_and_raises_what_waiting_does_not_mend() -> None:
    """Fails without the retry in worker/fleet/redis_outage.py, and when it waits for what will not change."""
    answers: list[Exception | str] = [
        StoreUnavailableError("away"),
        StoreUnavailableError("full"),
        "here",
        StoreError("lost"),
    ]

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retry_while_unavailable(ask) == "here"
    with pytest.raises(StoreError, match="lost"):
        retry_while_unavailable(ask)


def test_an_outage_during_a_stage_does_not_fail_the_run(
    server: Server, store: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without StoreUnavailableError in StageRunner._attempt (the run fails) and in worker/stages/work.py's
    report."""
    (job,) = store.create(SPEC, prompts(1)).job_ids
    store.jobs.begin(RUN, job, worker="w", lease_seconds=30, delivery_limit=4)
    store.jobs.finish(Trajectory(run_id=RUN, job_id=job, prompt="q", outcome="completed"), worker="w")
    tries: list[str] = []
    progress = TrainProgress(iteration=1, iterations=2)

    def work(context: StageContext) -> JsonObject:
        tries.append("begun")
        with short_lived_client(server.url, seconds=5) as client:
            if len(tries) == 1:
                fill_memory(client)
                report(context, progress)  # a line of progress is not worth a training
                tries.append("reported")
                threading.Timer(1.5, server_has_room, [server]).start()
            context.ledger.stages.report(RUN, Stage.TRAIN, progress)
        return {"kept": 1}

    monkeypatch.setitem(WORK, Stage.CURATE, work)
    StageRunner(store, Leases(store.fleet, lease_seconds=30), Settings(dir=tmp_path), "w").run(RUN, Stage.CURATE)
    assert tries[:2] == ["begun", "reported"]
    assert tries.count("begun") > 1
    assert store.stages.view(RUN, Stage.CURATE).state is StageState.DONE
    assert len(store.stages.progress(RUN, Stage.TRAIN)) == 1


def server_has_room(server: Server) -> None:
    with short_lived_client(server.url, seconds=5) as client:
        client.config_set("maxmemory", "0")


def test_a_submit_refused_for_memory_queues_nothing_and_the_same_again_queues_all(
    server: Server, store: Ledger
) -> None:
    """Fails without create.lua being the last write of Ledger.create: half a run would be seen."""
    asked = prompts(50)
    with short_lived_client(server.url, seconds=5) as client:
        client.config_set("maxmemory", "100kb")
        with pytest.raises(StoreError, match="out of memory; nothing was stored"):
            enqueue.submit(store, Settings(redis_url=server.url), SPEC, asked)
        client.config_set("maxmemory", "0")
        assert store.run_ids() == []
        assert client.llen("generate") == 0
        assert enqueue.submit(store, Settings(redis_url=server.url), SPEC, asked) == (True, 50)
        assert client.llen("generate") == 50


def test_a_run_that_is_stored_and_could_not_be_queued_is_queued_by_its_workers(
    server: Server, store: Ledger, tmp_path: Path
) -> None:
    """Fails without the translation in dispatch.send (a traceback, after minutes), and without Reconciler.resend."""
    settings = Settings(redis_url=server.url)
    created = store.create(SPEC, prompts(3))
    with short_lived_client(server.url, seconds=5) as client:
        client.config_set("maxmemory", "100kb")
        started = time.monotonic()
        with pytest.raises(StoreError, match="workers will queue the missing jobs"):
            enqueue.enqueue(settings, SPEC, created.job_ids, prompts(3))
        assert time.monotonic() - started < 15
        client.config_set("maxmemory", "0")
        assert enqueue.submit(store, settings, SPEC, prompts(3)) == (False, 3)
    with ScriptedEndpoint(answering()) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        worker = start_worker_process("generate", "w", url=server.url, folder=tmp_path, env=env, wait=False)
        try:
            assert all_terminal(store)[JobState.GENERATED] == 3
        finally:
            worker.child.kill()


def test_a_wrong_password_is_one_clear_line_and_changes_nothing(server: Server, store: Ledger, tmp_path: Path) -> None:
    """Fails without AuthenticationError in config/ledger/store.py's redis_errors."""
    (tmp_path / "p.jsonl").write_text('{"prompt": "question 1", "requires_tools": false}\n')
    password = server.url.get_secret_value().partition(":")[2].partition(":")[2].partition("@")[0]
    wrong = server.url.get_secret_value().replace(password, "not-it")
    env = {**os.environ, "APPLEJACK_REDIS_URL": wrong, "PYTHONPATH": str(ROOT), "APPLEJACK_DIR": str(tmp_path)}
    command = [sys.executable, "-c", "from producer.cli import main; main()", "submit", "p.jsonl", "--run", "r"]
    command += ["--no-train", "--format", "seed-text"]
    started = time.monotonic()
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert time.monotonic() - started < 8  # nothing is tried again that cannot succeed
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "rejected the password" in ended.stderr
    assert "APPLEJACK_REDIS_URL" in ended.stderr
    assert "not-it" not in ended.stderr
    assert store.run_ids() == []
