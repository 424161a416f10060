"""A router loses its table: connections go silent for ever and no side is told. The worker consumes again by itself."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.records import JobState
from producer.stack.redis_server import Server
from tests.support.chaos.node import port_of
from tests.support.fleet import QUICK, RUN, all_terminal, answering, prompts, submit, told, until
from tests.support.proxy import Proxy
from tests.support.scripted_endpoint import ScriptedEndpoint
from tests.support.workers import WorkerProcess, start_worker_process

JOBS = 16
IN_HAND = 2  # jobs at most that a worker begins although its consumer hears nothing any more
BACK_SECONDS = 45.0  # 30 to 32 seen: 20 until a health check finds out, 10 for each silent connection a job then meets

pytestmark = pytest.mark.timeout(150)


@dataclass(frozen=True)
class Mac:
    """One worker behind one router, with a broker of its own."""

    ledger: Ledger
    router: Proxy
    worker: WorkerProcess

    def begun(self) -> int:
        """Times a job was begun."""
        return sum(told(self.ledger, job).count("started") for job in self.ledger.jobs.ids(RUN))


@contextmanager
def mac(folder: Path, endpoint: str, *, app: str) -> Iterator[Mac]:
    with Server.start(folder) as server, Proxy(port_of(server.url)) as router, ExitStack() as stack:
        url = server.url.get_secret_value()
        ledger = Ledger.connect(url)
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint}
        url_there = SecretStr(url.replace(f":{port_of(server.url)}/", f":{router.port}/"))
        worker = start_worker_process("generate", "w", url=url_there, folder=folder, env=env, app=app, wait=False)
        stack.callback(worker.child.kill)
        submit(ledger, server.url, prompts(JOBS))
        yield Mac(ledger, router, worker)


def test_a_worker_whose_connections_went_silent_consumes_again(tmp_path: Path) -> None:
    """Fails without socket_timeout and health_check_interval in config/broker.py, as the planted worker does."""
    with ScriptedEndpoint(answering(0.5)) as endpoint, ExitStack() as stack:
        apps = ("worker.app", "tests.support.planted.no_health_check")
        macs = [stack.enter_context(mac(tmp_path / app, endpoint.base_url, app=app)) for app in apps]
        for one in macs:
            until(lambda one=one: one.begun() >= 4, "under way")  # type: ignore[misc]
            one.router.stall()
        time.sleep(1)  # the router starts anew
        for one in macs:
            one.router.forget()
            one.router.resume()
        silent = time.monotonic()
        guarded, planted = macs
        before = [one.begun() for one in macs]
        until(lambda: guarded.begun() > before[0] + IN_HAND, "consumes again", seconds=BACK_SECONDS)
        took = time.monotonic() - silent
        assert all_terminal(guarded.ledger)[JobState.GENERATED] == JOBS
        print(f"consumed again after {took:.1f} s, all done after {time.monotonic() - silent:.1f} s")
        assert guarded.ledger.counters(RUN)[1] == {"w@test|generated": JOBS}
        events = [told(guarded.ledger, job) for job in guarded.ledger.jobs.ids(RUN)]
        assert [one.count("generated") for one in events] == [1] * JOBS
        assert planted.begun() <= before[1] + IN_HAND
