"""Redis reaches its maxmemory: one that evicts gets no run, one that refuses writes loses nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.records import JobState, JsonObject, Trajectory
from producer.stack.redis_server import Server
from tests.support.fleet import PROBE, QUICK, RUN, all_terminal, jobs_requests, prompts, question, submit, told, until
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint
from tests.support.workers import ROOT, start_worker_process

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server.start(tmp_path / "server") as started:
        yield started


@pytest.fixture
def client(server: Server) -> redis.Redis:
    return ledger_client(server.url.get_secret_value())


def applejack_submit(server: Server, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "p.jsonl").write_text("".join(f'{{"prompt": "q{n}", "requires_tools": false}}\n' for n in range(20)))
    command = [sys.executable, "-c", "from producer.cli import main; main()", "submit", "p.jsonl", "--run", RUN]
    command += ["--no-train", "--format", "seed-text", "--teacher", "scripted", *options]
    env = {**os.environ, "APPLEJACK_REDIS_URL": server.url.get_secret_value(), "PYTHONPATH": str(ROOT)}
    env["APPLEJACK_DIR"] = str(folder)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_redis_that_evicts_gets_no_run(server: Server, client: redis.Redis, tmp_path: Path, policy: str) -> None:
    """Fails without require_no_eviction in producer/commands/submit.py."""
    ledger = Ledger(client)
    client.config_set("maxmemory-policy", policy)
    client.config_set("maxmemory", "8mb")
    done = applejack_submit(server, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"maxmemory-policy of Redis is {policy!r}" in done.stderr
    assert "CONFIG SET maxmemory-policy noeviction" in done.stderr
    assert ledger.run_ids() == []
    if policy == "volatile-ttl":
        client.config_set("maxmemory", "0")  # it cannot evict without a limit; `doctor` warns
        assert applejack_submit(server, tmp_path).returncode == 0
    else:
        assert applejack_submit(server, tmp_path, "--force").returncode == 0
    assert ledger.run_ids() == [RUN]


def test_a_submit_to_a_full_redis_is_one_line_and_leaves_nothing_half_made(
    server: Server, client: redis.Redis, tmp_path: Path
) -> None:
    ledger = Ledger(client)
    client.config_set("maxmemory", "100kb")
    done = applejack_submit(server, tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Redis is out of memory; nothing was stored" in done.stderr
    assert "raise maxmemory or archive runs" in done.stderr
    assert (ledger.run_ids(), client.llen("generate")) == ([], 0)
    client.config_set("maxmemory", "0")
    assert applejack_submit(server, tmp_path).returncode == 0
    assert ledger.jobs.counts(RUN)[JobState.QUEUED] == client.llen("generate") == 20


def test_a_full_redis_takes_what_is_finished_and_the_rest_goes_on_when_there_is_room(
    server: Server, client: redis.Redis, tmp_path: Path
) -> None:
    """Fails where finish.lua writes before its SREM: a script that frees memory first is not refused."""
    ledger, filled = Ledger(client), list[object]()

    def reply(body: JsonObject) -> Reply:
        if question(body) == PROBE:
            return Reply(text="hello")
        if not filled:
            filled.append(client.config_set("maxmemory", "100kb"))  # less than is in use
        return Reply(text=f"answer to {question(body)}")

    with ScriptedEndpoint(reply) as endpoint:
        jobs = submit(ledger, server.url, prompts(4))
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        worker = start_worker_process("generate", "w", url=server.url, folder=tmp_path, env=env, wait=False)
        try:
            journal = tmp_path / "journal" / RUN / "w@test.jsonl"
            until(lambda: journal.is_file() and journal.read_text().endswith("\n"), "a trajectory")
            until(lambda: "heartbeat.missed" in worker.child.log.read_text(), "Redis is full")
            until(lambda: ledger.jobs.counts(RUN)[JobState.RUNNING] == 0, "what is finished is stored")
            stored = ledger.jobs.counts(RUN)[JobState.GENERATED]
            assert stored == len(journal.read_text().splitlines()) < 4
            client.config_set("maxmemory", 0)
            counts = all_terminal(ledger)
        finally:
            worker.child.kill()
        assert counts[JobState.GENERATED] == 4
        assert sorted(jobs_requests(endpoint)) == [f"question {number}" for number in range(1, 5)]  # each once
    written = {made["job_id"]: made for made in map(json.loads, journal.read_text().splitlines())}
    for job in jobs:
        assert told(ledger, job)[-1] == "generated"
        assert Trajectory.model_validate(written[job]) == ledger.jobs.trajectory(RUN, job, 1)
