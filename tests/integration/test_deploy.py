"""The deployed Redis and a worker, started as launchd does: they work, and Redis denies what no run needs."""

import os
import plistlib
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import redis
from pydantic import SecretStr

from config.ledger import Ledger
from config.process import free_port, start_child
from config.records import Prompt, Spec
from config.settings import Settings
from producer import enqueue
from producer.deploy.env_file import values
from producer.deploy.install import install
from producer.deploy.plan import Request, plan
from producer.mining.mine import mine
from producer.run_status import status
from producer.stack.redis_binary import find_binary
from producer.stack.redis_server import ping, short_lived_client
from tests.support.fleet import until
from tests.support.tiny_student import make_tiny_student
from tests.support.workers import ROOT, start_worker_process

SOURCE = {"PYTHONPATH": str(ROOT)}  # this checkout, whatever the environment has installed
ADMIN = "user admin on >admin ~* &* +@all\n"  # used by the test to read the log of denied commands


@dataclass(frozen=True)
class Deployed:
    """A Redis that redis-start.sh has started."""

    url: SecretStr
    admin: SecretStr
    password: str
    pid: int


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    shutil.copytree(ROOT / "config" / "deploy", folder / "deploy")
    with (folder / "deploy" / "users.acl").open("a") as users:
        users.write(ADMIN)
    (folder / "bin").mkdir()
    (folder / "bin" / "redis-server").symlink_to(find_binary().path)
    (folder / "data").mkdir()
    password, port = secrets.token_hex(24), free_port()
    env = {**os.environ, "REDIS_PASSWORD": password, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    command = ["sh", str(folder / "deploy" / "redis-start.sh"), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--dir", str(folder / "data")]
    child = start_child("redis", command, log=folder / "redis.log", env=env, cwd=folder)
    url = SecretStr(f"redis://applejack:{password}@127.0.0.1:{port}/0")
    deadline = time.monotonic() + 20
    try:
        while not ping(url):
            assert child.exit_code is None, child.log_tail()
            assert time.monotonic() < deadline, child.log_tail()
            time.sleep(0.1)
        [server] = psutil.Process(child.process.pid).children()
        yield Deployed(url, SecretStr(f"redis://admin:admin@127.0.0.1:{port}/0"), password, server.pid)
    finally:
        child.stop()


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),  # deletes everything
        ("CONFIG", "GET", "*"),  # and its SET, which writes files
        ("KEYS", "*"),  # blocks the server
        ("MONITOR",),  # reads everything
        ("SCRIPT", "FLUSH"),
        ("ACL", "LIST"),
        ("SHUTDOWN",),
    ],
)
def test_commands_that_no_worker_needs_are_denied(deployed: Deployed, command: tuple[str, ...]) -> None:
    with short_lived_client(deployed.url, 5) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)


def test_login_requires_the_password(deployed: Deployed) -> None:
    address = deployed.url.get_secret_value().rpartition("@")[2]
    for wrong_url in (
        f"redis://{address}",
        f"redis://applejack:wrong@{address}",
        f"redis://:{deployed.password}@{address}",
    ):
        assert not ping(SecretStr(wrong_url))


def test_password_is_not_in_the_arguments(deployed: Deployed) -> None:
    assert deployed.password not in " ".join(psutil.Process(deployed.pid).cmdline())


def test_redis_persists_writes_and_does_not_evict(deployed: Deployed) -> None:
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
    with short_lived_client(deployed.admin, 5) as client:
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


@pytest.mark.timeout(240)
def test_no_command_of_a_whole_run_is_denied(deployed: Deployed, tmp_path: Path) -> None:
    with short_lived_client(deployed.admin, 5) as client:
        client.acl_log_reset()
    flower = start_child(
        "flower", [sys.executable, "-m", "producer.flower", "--port", str(free_port())], log=tmp_path / "flower.log",
        env={**os.environ, "APPLEJACK_REDIS_URL": deployed.url.get_secret_value(), "APPLEJACK_DIR": str(tmp_path)},
        cwd=tmp_path,
    )  # fmt: skip
    workers = [start_worker_process(role, role, url=deployed.url, folder=tmp_path) for role in ("generate", "curate")]
    ledger = Ledger.connect(deployed.url.get_secret_value())
    try:
        submit(ledger, deployed.url, make_tiny_student(tmp_path / "student"), mine([ROOT / "config"], count=12, seed=1))
        wait_done(ledger, deployed)
        resubmitted = ledger.jobs.resubmit("r", list(ledger.verdicts("r"))[:2], train=False, evaluate=False)
        assert resubmitted == 2
        wait_done(ledger, deployed)
    finally:
        for child in (flower, *(worker.child for worker in workers)):
            child.stop()
    assert denied(deployed) == set()


def test_installed_services_run_as_launchd_starts_them(tmp_path: Path) -> None:
    """Redis and a worker, from their property lists alone: no HOME, no PATH, no variable of this process."""
    settings = Settings(dir=tmp_path / "data", drain_seconds=5)
    env_file = tmp_path / ".config" / "applejack" / "env"
    port = free_port()
    children = []
    try:
        for role in ("redis", "curate"):
            made = plan(Request(role, settings, "launchd", home=tmp_path))
            install(made, force=False)
            ours = (env_file, env_file.parent / "redis" / "redis.conf", env_file.parent / "curate.env")
            for file in filter(Path.exists, ours):
                file.write_text(file.read_text().replace("6379", str(port)))
            job = plistlib.loads(made.files[-1].path.read_bytes())
            children.append(
                start_child(role, job["ProgramArguments"], log=Path(job["StandardOutPath"]),
                            env=job["EnvironmentVariables"] | SOURCE, cwd=Path(job["WorkingDirectory"]))
            )  # fmt: skip
            if role == "redis":
                until(lambda: ping(SecretStr(values(env_file)["APPLEJACK_REDIS_URL"])), "Redis answers")
        ledger = Ledger.connect(values(env_file)["APPLEJACK_REDIS_URL"])
        [view] = until(ledger.fleet.workers, "the worker sends a heartbeat")
        assert view.name.startswith("curate@")
        assert children[1].stop(30) == 0, children[1].log_tail()
    finally:
        for child in children:
            child.stop()


def submit(ledger: Ledger, url: SecretStr, student: Path, prompts: list[Prompt]) -> None:
    spec = Spec(run_id="r", workspace=str(ROOT / "config"), teacher="scripted", student=str(student),
                dataset_format="turns", max_seq_length=4096, train=False)  # fmt: skip
    enqueue.submit(ledger, Settings(redis_url=url), spec, prompts)


def denied(deployed: Deployed) -> set[str]:
    """Commands denied since the log was reset, with their user."""
    with short_lived_client(deployed.admin, 5) as client:
        return {f"{entry['object']} ({entry['username']})" for entry in client.acl_log()}


def wait_done(ledger: Ledger, deployed: Deployed, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while (run := status(ledger, "r")).stage != "done":
        assert run.stage != "failed", run.error
        assert denied(deployed) == set()
        assert time.monotonic() < deadline, run
        time.sleep(0.2)
