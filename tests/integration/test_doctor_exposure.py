"""The doctor finds a Flower without a login, and no fault in applejack's own."""

import sys
import time
from pathlib import Path

from pydantic import SecretStr

from config.process import free_port, start_child
from producer.doctor.exposure import serves_pages
from tests.support.flower_site import flower_env, flower_site
from tests.support.http_server import pages


def test_another_program_on_the_port_is_not_a_flower() -> None:
    with pages({"/workers": (200, "<title>Workers</title>")}) as url:
        assert not serves_pages(int(url.rstrip("/").rpartition(":")[2]))


def test_a_flower_started_by_hand_is_open_and_applejacks_own_is_not(tmp_path: Path, redis_url: SecretStr) -> None:
    port = free_port()
    assert not serves_pages(port)  # nothing listens
    command = [sys.executable, "-m", "celery", "flower", f"--port={port}", "--address=127.0.0.1"]
    env = flower_env(tmp_path, redis_url, CELERY_BROKER_URL=redis_url.get_secret_value())
    child = start_child("flower", command, log=tmp_path / "open.log", env=env, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while not serves_pages(port):
            assert child.exit_code is None, child.log_tail()
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        child.kill()
    with flower_site(tmp_path / "own", redis_url) as own:
        assert own.get("/workers")[0] == 401
        assert not serves_pages(int(own.url.rpartition(":")[2]))
