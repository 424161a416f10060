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
from config.records import Limits, Spec, Verdict
from config.settings import Settings
from config.topology import Stage
from producer import enqueue
from producer.mining.mine import mine
from producer.run_status import status
from producer.stack.redis_server import short_lived_client
from tests.support.fleet import until
from tests.support.role_redis import RoleRedis, role_redis
from tests.support.tiny_student import make_tiny_student
from tests.support.workers import ROOT, start_worker_process

TRAINER = "import json, pathlib, sys; pathlib.Path(json.load(open(sys.argv[-1]))['out'], 'model.gguf').write_text('x')"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoleRedis]:
    with role_redis(tmp_path_factory.mktemp("roles")) as running:
        yield running


@pytest.mark.timeout(240)
def test_a_whole_run_under_the_users_of_its_roles_is_denied_nothing(server: RoleRedis, tmp_path: Path) -> None:
    """Fails without wake.lua: curation waits for ever, because the generate worker may not start it."""
    server.forget()
    producer = server.url("producer")
    flower = start_child(
        "flower", [sys.executable, "-m", "producer.flower", "--port", str(free_port())], log=tmp_path / "flower.log",
        env={**os.environ, "APPLEJACK_REDIS_URL": producer.get_secret_value(), "APPLEJACK_DIR": str(tmp_path)},
        cwd=tmp_path,
    )  # fmt: skip
    trainer = shlex.join([sys.executable, "-c", TRAINER])
    workers, env = [], {"APPLEJACK_ALLOW_TRAINER": trainer}
    for role in ("generate", "curate", "train"):
        (tmp_path / role).mkdir()
        folder = tmp_path / role
        workers.append(start_worker_process(role, role, url=server.url(role), folder=folder, env=env, wait=False))
    ledger = Ledger.connect(producer.get_secret_value())
    try:
        spec = Spec(run_id="r", workspace=str(ROOT / "config"), teacher="scripted", dataset_format="turns",
                    student=str(make_tiny_student(tmp_path / "student")), max_seq_length=4096, trainer=trainer)  # fmt: skip
        enqueue.submit(ledger, Settings(redis_url=producer), spec, mine([ROOT / "config"], count=8, seed=1))

        def ended() -> bool:
            run = status(ledger, "r")
            assert server.denied() == set()
            assert run.stage != "failed", run.error
            return run.stage == "done"

        until(ended, "the run ends", seconds=150)
    finally:
        for child in (flower, *(worker.child for worker in workers)):
            child.stop()
    assert server.denied() == set()
