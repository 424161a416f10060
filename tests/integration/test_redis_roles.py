"""A Redis user for each role, on a real server: a whole run is denied nothing, and a stolen password does little."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from config.errors import StoreDeniedError
from config.ledger import Ledger
from config.process import free_port, start_child
from config.records import Prompt, Spec, Trajectory
from config.settings import Settings
from config.topology import Stage, run_key
from producer import enqueue
from producer.mining.mine import mine
from producer.run_status import status
from producer.stack.redis_server import ping, short_lived_client
from tests.support.fleet import until
from tests.support.role_redis import ROLES, RoleRedis, role_redis
from tests.support.tiny_student import make_tiny_student
from tests.support.workers import ROOT, start_worker_process

TRAINER = """import json, pathlib, sys
pathlib.Path(json.load(open(sys.argv[-1]))["out"], "model.gguf").write_text("x")
"""
RUN = "stolen"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoleRedis]:
    with role_redis(tmp_path_factory.mktemp("roles")) as running:
        yield running


@pytest.mark.timeout(400)
def test_a_whole_run_under_the_users_of_its_roles_is_denied_nothing(server: RoleRedis, tmp_path: Path) -> None:
    """Fails without wake.lua: curation waits for ever, because the generate worker may not start it."""
    server.forget()
    producer = server.url("producer")
    flower = start_child(
        "flower", [sys.executable, "-m", "producer.flower", "--port", str(free_port())], log=tmp_path / "flower.log",
        env={**os.environ, "APPLEJACK_REDIS_URL": producer.get_secret_value(), "APPLEJACK_DIR": str(tmp_path)},
        cwd=tmp_path,
    )  # fmt: skip
    (tmp_path / "train.py").write_text(TRAINER)
    trainer = shlex.join([sys.executable, str(tmp_path / "train.py")])
    workers, env = [], {"APPLEJACK_TRAINERS": trainer}
    for role in ("generate", "curate", "train"):
        (tmp_path / role).mkdir()
        folder = tmp_path / role
        workers.append(start_worker_process(role, role, url=server.url(role), folder=folder, env=env, wait=False))
    ledger = Ledger.connect(producer.get_secret_value())
    try:
        spec = Spec(run_id="r", workspace=str(ROOT / "config"), teacher="scripted", dataset_format="turns",
                    student=str(make_tiny_student(tmp_path / "student")), max_seq_length=4096,
                    trainer=f"command:{trainer}")  # fmt: skip
        enqueue.submit(ledger, Settings(redis_url=producer), spec, mine([ROOT / "config"], count=8, seed=1))

        def ended() -> bool:
            run = status(ledger, "r")
            assert server.denied() == set()
            assert run.stage != "failed", run.error
            return run.stage == "done"

        until(ended, "the run ends", seconds=300)
    finally:
        for child in (flower, *(worker.child for worker in workers)):
            child.stop()
    assert server.denied() == set()


@pytest.fixture(scope="module")
def run(server: RoleRedis) -> Ledger:
    """A run with a finished job, as its producer sees it."""
    ledger = Ledger.connect(server.url("producer").get_secret_value())
    spec = Spec(run_id=RUN, workspace="/", teacher="scripted", dataset_format="seed-text", train=False)
    ledger.create(spec, [Prompt(prompt="one"), Prompt(prompt="two")])
    worker = Ledger.connect(server.url("generate").get_secret_value())
    first = worker.jobs.ids(RUN)[0]
    worker.jobs.begin(RUN, first, worker="w", lease_seconds=60, delivery_limit=3)
    done = Trajectory(run_id=RUN, job_id=first, attempt=1, prompt="one", outcome="completed", answer="yes")
    assert worker.jobs.finish(done, worker="w") == "stored"
    return ledger


def key(part: str) -> str:
    return run_key(RUN, part)


@pytest.mark.parametrize(
    "command",
    [
        ("HSET", key("run"), "control", "cancelled"),  # cancels a run
        ("HSET", key("run"), "spec", "{}"),  # changes what it asks for
        ("SREM", "applejack:active", RUN),  # ends it
        ("ZREM", "applejack:runs", RUN),  # hides it
        ("DEL", key("run")),
        ("HSET", key("prompts"), "x", "{}"),  # changes its prompts
        ("HSET", key("stage:curate"), "state", "ready"),  # starts a curation
        ("HSET", key("stage:train"), "state", "ready"),  # starts a training
        ("BRPOP", "train", "1"),  # takes the messages of other workers
        ("LPUSH", "train", "{}"),
        ("SET", key("trajectory:JOB:1"), "x"),  # changes a finished trajectory
        ("DEL", key("trajectory:JOB:1")),
        ("UNLINK", key("trajectory:JOB:1")),
        ("EXPIRE", key("trajectory:JOB:1"), "1"),
        ("RENAME", key("trajectory:JOB:1"), key("trajectory:JOB:2")),
        ("COPY", key("prompts"), key("refused")),
        ("HSET", key("files:dataset"), "manifest", "{}"),
        ("HSET", key("files:adapter"), "manifest", "{}"),
        ("HSET", key("verdicts"), "x", "{}"),
        ("HSET", "applejack:controls", "train@gpu", "paused"),  # holds another worker back
        ("GETDEL", "applejack:login:x"),  # logs in to Flower
        ("SET", "applejack:login:x", ""),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("CONFIG", "GET", "*"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("EVAL", "return 1", "0"),
        ("FUNCTION", "LIST"),
        ("MONITOR",),
        ("SHUTDOWN",),
        ("ACL", "LIST"),  # the hashes of the passwords
        ("ACL", "GETUSER", "train"),
        ("ACL", "SETUSER", "generate", "+@all"),
        ("CLIENT", "LIST"),
        ("CLIENT", "KILL", "TYPE", "normal"),
    ],
    ids=" ".join,
)
def test_the_password_of_a_generate_worker_cannot(server: RoleRedis, run: Ledger, command: tuple[str, ...]) -> None:
    """Fails with the user applejack, a fleet's only user before: most of these succeed."""
    job = run.jobs.ids(RUN)[0]
    words = [word.replace("JOB", job) for word in command]
    with short_lived_client(server.url("generate"), 5) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*words)


@pytest.mark.parametrize(
    "attack",
    [
        lambda stolen: stolen.controls.cancel(RUN),
        lambda stolen: stolen.controls.pause(RUN),
        lambda stolen: stolen.stages.reopen(RUN, Stage.TRAIN),
        lambda stolen: stolen.jobs.resubmit(RUN, stolen.jobs.ids(RUN)[:1], train=True, evaluate=True),
        lambda stolen: stolen.remove(RUN),
    ],
    ids=["cancel", "pause", "reopen", "resubmit", "remove"],
)
def test_the_scripts_of_other_roles_change_nothing(
    server: RoleRedis, run: Ledger, attack: Callable[[Ledger], object]
) -> None:
    """Denied before the first of their commands, so that none leaves a run half changed."""
    admin = short_lived_client(server.url("admin"), 5)
    with admin as client:
        before = {name: client.dump(name) for name in client.keys(f"{key('*')}")}
        with pytest.raises(StoreDeniedError, match=r"the user 'generate' may not run .*needs the user producer"):
            attack(Ledger.connect(server.url("generate").get_secret_value()))
        assert {name: client.dump(name) for name in client.keys(f"{key('*')}")} == before


def test_a_script_of_ones_own_has_no_more_rights(server: RoleRedis, run: Ledger) -> None:
    with short_lived_client(server.url("generate"), 5) as client:
        sha = client.script_load("return redis.call('HSET', ARGV[1], 'spec', '{}')")
        with pytest.raises(redis.ResponseError, match="ACL failure in script"):
            client.evalsha(sha, 0, key("run"))
    assert run.run(RUN).spec.run_id == RUN


@pytest.mark.parametrize(
    ("user", "commands"),
    [
        ("curate", [("HSET", key("run"), "spec", "{}"), ("HSET", key("stage:train"), "state", "ready"),
                    ("HSET", key("files:adapter"), "manifest", "{}"), ("SET", key("trajectory:x:1"), "x")]),
        ("train", [("HSET", key("run"), "spec", "{}"), ("HSET", key("stage:curate"), "state", "ready"),
                   ("HSET", key("files:dataset"), "manifest", "{}"), ("HSET", key("verdicts"), "x", "{}")]),
        ("monitor", [("HSET", key("run"), "spec", "{}"), ("LPUSH", "generate", "{}"), ("SCAN", "0"),
                     ("PUBLISH", "/0.celery.pidbox", "{}"), ("SET", "applejack:login:x", "")]),
        ("producer", [("BRPOP", "generate", "1"), ("FLUSHALL",), ("ACL", "LIST"), ("CONFIG", "GET", "*")]),
    ],
)  # fmt: skip
def test_the_other_roles_have_their_limits_too(server: RoleRedis, user: str, commands: list[tuple[str, ...]]) -> None:
    with short_lived_client(server.url(user), 5) as client:
        for command in commands:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


def test_a_monitor_reads_a_run_and_its_queues(server: RoleRedis, run: Ledger) -> None:
    server.forget()
    monitor = Ledger.connect(server.url("monitor").get_secret_value())
    assert status(monitor, RUN).run_id == RUN
    assert set(monitor.server.queues()) == {"generate", "curate", "train"}
    assert server.denied() == set()


def test_a_worker_with_the_wrong_user_says_so_before_it_takes_a_job(server: RoleRedis, tmp_path: Path) -> None:
    """Fails without require_rights in worker/app.py: the worker starts, and reconnects for ever."""
    worker = start_worker_process("train", "w", url=server.url("generate"), folder=tmp_path, wait=False)
    try:
        until(lambda: worker.child.exit_code is not None, "the worker ends")
        assert worker.child.exit_code == 2
        said = (tmp_path / "w.log").read_text()
        assert "a worker of the queue 'train' cannot use this Redis user: User generate has no permissions" in said
    finally:
        worker.child.kill()


def test_a_user_without_a_password_does_not_exist(tmp_path: Path) -> None:
    """A fleet of before, with the one password of applejack, goes on; nobody else can log in."""
    with role_redis(tmp_path, users=("applejack",)) as running:
        assert ping(running.url("applejack"))
        for user in ROLES:
            assert not ping(SecretStr(f"redis://{user}:@127.0.0.1:{running.port}/0"))
            assert not ping(SecretStr(f"redis://{user}:{running.passwords['applejack']}@127.0.0.1:{running.port}/0"))
