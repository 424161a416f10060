"""A fleet to be disturbed: a broker, workers behind a proxy each and their model servers, and a hand for faults.

The file is long because it holds one short method for each kind of fault.
"""

import heapq
import itertools
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis
from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.store import decode
from config.topology import QUEUE_CURATE, QUEUE_GENERATE, RECONCILER
from producer.stack.redis_server import Server
from tests.support.chaos.append_only import AppendOnly
from tests.support.chaos.faults import Fault, Kind, between
from tests.support.chaos.node import Node, port_of
from tests.support.chaos.person import Person
from tests.support.chaos.recovery import Recovery
from tests.support.proxy import Proxy
from tests.support.workers import SCRIPTED_MODEL, WorkerProcess, start_worker_process

LEASE = 2.0  # seconds
AWAY = (0.3, 2.0)  # seconds until a killed worker is started again
PROBE = 2.0  # seconds a model server may take for a token
WEDGED = (1.5 * PROBE, 4.5 * PROBE)  # its worker ends it with SIGTERM, and 5 s later with SIGKILL: either may end it
ASLEEP = (1.5 * LEASE, 3 * LEASE)
OFFLINE = (0.3, 2.5 * LEASE)
BROKER_DOWN = (0.2, 3.0)
ANSWER_SECONDS = 0.1  # of a model server, in calm weather too
HELD = (0.3, 4.0)  # of a run or a worker, until a person lets it go on
NOTICED = (0.3, 4.0)  # until a person recovers a run that was lost
UNWRITTEN = 1.0  # seconds that a power cut takes from an append-only file of appendfsync everysec


@dataclass
class Fleet:
    """Made by `fleet`; `inject` returns at once but for the broker's own downtime, `tend` does what is due."""

    server: Server
    folder: Path
    job_seconds: float
    concurrency: int
    done: Counter[Kind] = field(default_factory=Counter)
    """faults by kind, as they were really done"""
    ended: list[str] = field(default_factory=list)
    """workers that nobody killed and that ended all the same, with their last lines"""
    nodes: list[Node] = field(default_factory=list)
    suspended: list[psutil.Process] = field(default_factory=list)
    """model servers"""
    _began: AppendOnly | None = None
    """the broker's file when the run had been submitted"""
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        # no retries: an answer that says the server is away is what the caller wants to know
        self.client = redis.Redis.from_url(self.server.url.get_secret_value(), retry=None, socket_timeout=5)
        self.person = Person(Ledger(self.client), Recovery(self.server.url, self.folder))

    def begin(self, run_id: str, submit: Callable[[], object]) -> None:
        """Submit a run. Its faults begin: an older snapshot is not older than this."""
        self.person.recovery.run_id, self.person.recovery.submit = run_id, submit
        submit()
        self._began = AppendOnly.now(self.folder)

    def start(self, node_name: str, proxy: Proxy) -> WorkerProcess:
        """A worker that generates and curates, with a model server, its ledger and broker behind the proxy."""
        url = self.server.url.get_secret_value()
        env = {
            "APPLEJACK_DIR": str(self.folder / node_name),  # a Mac of its own
            "APPLEJACK_LOCK_DIR": str(self.folder / node_name / "locks"),
            "APPLEJACK_LEASE_SECONDS": str(LEASE),
            "APPLEJACK_SERVE": SCRIPTED_MODEL,
            "APPLEJACK_HEALTH_CHECK_SECONDS": "0.5",
            "APPLEJACK_HEALTH_CHECK_TIMEOUT": str(PROBE),
            "TEST_ANSWER_SECONDS": str(ANSWER_SECONDS),
            "TEST_JOB_SECONDS": str(self.job_seconds),
            "APPLEJACK_CONCURRENCY": str(self.concurrency),
            "APPLEJACK_LOG_FORMAT": "json",
        }
        return start_worker_process(
            f"{QUEUE_GENERATE},{QUEUE_CURATE}",
            node_name,
            url=SecretStr(url.replace(f":{port_of(self.server.url)}/", f":{proxy.port}/")),
            folder=self.folder,
            env=env,
            app="tests.support.planted.unhurried",
            concurrency=self.concurrency,
            wait=False,
        )

    def inject(self, fault: Fault) -> bool:
        """Do it; False when there is nothing now that it could be done to."""
        match fault.kind:
            case Kind.KILL_BROKER | Kind.POWER_CUT | Kind.OLDER_SNAPSHOT:
                self._down(fault)
            case Kind.FLUSH_ALL:
                self.client.flushall()
                self.person.recovery.lose(between(NOTICED, fault.share))
            case Kind.FLUSH_QUEUE:
                self.client.delete(QUEUE_GENERATE)
            case Kind.FLUSH_UNACKED:
                self.client.delete("unacked", "unacked_index")
            case Kind.CANCEL_RUN | Kind.PAUSE_RUN:
                seconds = between(HELD, fault.share)
                if not self.person.hold_run(seconds, cancel=fault.kind is Kind.CANCEL_RUN):
                    return False
            case Kind.KILL_SERVER | Kind.SUSPEND_SERVER:
                if not self._disturb_server(fault):
                    return False
            case _:
                node = self._target(fault)
                if node is None:
                    return False
                self._disturb(node, fault)
        self.done[fault.kind] += 1
        return True

    def kill(self, worker: str) -> bool:
        """SIGKILL the worker of that Celery name, and start it again after a moment; False when it does not run."""
        for node in self.nodes:
            if node.process.name == worker and node.lives:
                self._kill(node, 0.0)
                self.done[Kind.KILL_WORKER] += 1
                return True
        return False

    def tend(self) -> None:
        """Start, wake and reconnect what is due; notice, and start again, what ended by itself."""
        for node in self.nodes:
            code = node.process.child.exit_code
            if code is not None and not node.killed:
                self.ended.append(f"{node.name} ended by itself ({code}): {node.process.child.log_tail(3)[-2000:]}")
                self._kill(node, 0.0)
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()
        self.person.look()
        self.person.recovery.look([node.disk / "journal" for node in self.nodes])

    def end(self) -> None:
        """Kill every worker, with which its model server ends; one that is suspended has to wake for it."""
        self.person.recovery.stop()
        for node in self.nodes:
            node.process.child.kill()
        for server in list(self.suspended):
            self._wake_server(server)

    def calm(self) -> None:
        """Wait until everything is back."""
        while self._due or self.person.held or self.person.recovery.pending:
            self.tend()
            time.sleep(0.05)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), action))

    def _target(self, fault: Fault) -> Node | None:
        if fault.kind is Kind.KILL_RECONCILER:
            elected = decode(self.client.get(RECONCILER))
            return next((node for node in self.nodes if node.process.name == elected and node.lives), None)
        network = fault.kind in {Kind.CUT_NETWORK, Kind.STALL_NETWORK, Kind.LOSE_NETWORK}
        return next((node for node in self._turned(fault) if node.lives and (node.connected or not network)), None)

    def _turned(self, fault: Fault) -> list[Node]:
        """The workers, from the fault's target on."""
        return [self.nodes[(fault.target + step) % len(self.nodes)] for step in range(len(self.nodes))]

    def _disturb(self, node: Node, fault: Fault) -> None:
        match fault.kind:
            case Kind.KILL_WORKER | Kind.KILL_RECONCILER:
                self._kill(node, fault.share)
            case Kind.LOSE_DISK:
                self._kill(node, fault.share, new_disk=True)
                shutil.rmtree(node.disk / "journal", ignore_errors=True)  # no recovery reads it now
            case Kind.SUSPEND_WORKER:
                node.process.suspend()
                node.awake = False
                self._later(between(ASLEEP, fault.share), lambda: self._wake(node))
            case Kind.PAUSE_WORKER:
                self.person.hold_worker(node.process.name, between(HELD, fault.share))
            case Kind.CUT_NETWORK:
                node.proxy.cut()
                self._offline(node, fault)
            case Kind.STALL_NETWORK | Kind.LOSE_NETWORK:
                node.proxy.stall()
                self._offline(node, fault)

    def _disturb_server(self, fault: Fault) -> bool:
        found = (node.model_server for node in self._turned(fault) if node.lives)
        server = next((server for server in found if server), None)
        if server is None:
            return False
        try:
            if fault.kind is Kind.KILL_SERVER:
                server.kill()
            else:
                server.suspend()
                self.suspended.append(server)
                self._later(between(WEDGED, fault.share), lambda: self._wake_server(server))
        except psutil.NoSuchProcess:  # it ended by itself just now
            return False
        return True

    def _wake_server(self, server: psutil.Process) -> None:
        self.suspended.remove(server)
        with suppress(psutil.NoSuchProcess):
            server.resume()

    def _kill(self, node: Node, share: float, *, new_disk: bool = False) -> None:
        node.killed = True
        node.process.kill()
        node.process.child.kill()  # closes its pipe
        self._later(between(AWAY, share), lambda: self._start_again(node, new_disk=new_disk))

    def _start_again(self, node: Node, *, new_disk: bool = False) -> None:
        if new_disk:
            shutil.rmtree(node.disk, ignore_errors=True)
        node.process = self.start(node.name, node.proxy)
        node.killed = False

    def _wake(self, node: Node) -> None:
        node.awake = True
        node.process.resume()

    def _offline(self, node: Node, fault: Fault) -> None:
        node.connected = False

        def back() -> None:
            if fault.kind is Kind.LOSE_NETWORK:
                node.proxy.cut()
            node.proxy.resume()
            node.connected = True

        self._later(between(OFFLINE, fault.share), back)

    def _down(self, fault: Fault) -> None:
        before = AppendOnly.now(self.folder)
        if fault.kind is Kind.POWER_CUT:
            time.sleep(UNWRITTEN * fault.share)
        self.server.child.kill()
        match fault.kind:
            case Kind.POWER_CUT:
                before.restore()
                self.person.recovery.power_cut()
            case Kind.OLDER_SNAPSHOT if self._began:
                before.between(self._began, seed=fault.target).restore()
                self.person.recovery.lose(between(NOTICED, fault.share))
        self._later(between(BROKER_DOWN, fault.share), self.server.revive)


@contextmanager
def fleet(folder: Path, *, workers: int, job_seconds: float = 0.5, concurrency: int = 2) -> Iterator[Fleet]:
    """A fleet in a folder; nothing of it is left afterwards."""
    with ExitStack() as stack:
        made = Fleet(stack.enter_context(Server.start(folder)), folder, job_seconds, concurrency)
        stack.callback(made.client.close)
        stack.callback(made.end)
        for number in range(1, workers + 1):
            proxy = stack.enter_context(Proxy(port_of(made.server.url)))
            name = f"mac{number}"
            made.nodes.append(Node(name, folder / name, proxy, made.start(name, proxy)))
        for node in made.nodes:
            node.process.wait_ready(seconds=600)
        yield made
