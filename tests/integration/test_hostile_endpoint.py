"""Answers of a hostile or broken endpoint: the right failure kind, in bounded memory."""

import gzip
import json
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.support.workers import ROOT

MOST_MB = 256  # above the memory at rest
OK = b"HTTP/1.1 200 OK\r\n"
STREAM = OK + b"Content-Type: text/event-stream\r\nConnection: close\r\n\r\n"
JSON = OK + b"Content-Type: application/json\r\nConnection: close\r\n"
MB = 1 << 20
CHILD = """
    import json, resource, sys
    from config.records import Limits, Prompt, Spec
    from config.settings import Settings
    from config.endpoint.health import health_check
    from worker.generate.job import teacher_of
    from worker.generate.rollout import run_rollout
    spec = Spec(run_id="r", limits=Limits(seconds=40, request_seconds=10))
    seen = {}
    rest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, url in json.loads(sys.argv[1]).items():
        job = {"job_id": "j", "attempt": 1, "workspace": None, "worker": "w"}
        made = run_rollout(Prompt(prompt="q"), spec=spec, teacher=teacher_of(spec, Settings(endpoint=url)), **job)
        health = health_check(url, model="default_model", api_key=None, seconds=10)
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rest) >> (20 if sys.platform == "darwin" else 10)
        seen[name] = [made.failure.kind if made.failure else None, health.answers, more]
    print(json.dumps(seen))
"""

Send = Callable[[socket.socket], None]


@contextmanager
def serving(send: Send) -> Iterator[str]:
    """An endpoint that answers every request with `send`."""

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            send(connection)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            while connection.recv(65_536):  # closing with bytes unread would reset the connection
                pass

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def sends(*parts: bytes) -> Send:
    return lambda connection: [connection.sendall(part) for part in parts] and None


def endless(first: bytes, part: bytes) -> Send:
    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(part)

    return send


BOMB = gzip.compress(bytes(400 * MB), 1)
DEEP = b"[" * 200_000
ATTACKS = {
    "a compressed bomb": (sends(JSON + b"Content-Encoding: gzip\r\n\r\n", BOMB), "endpoint_error"),
    "a compressed stream": (sends(STREAM[:-2] + b"Content-Encoding: gzip\r\n\r\n", BOMB), "endpoint_error"),
    "deep JSON in a stream": (sends(STREAM, b"data: " + DEEP + b"\n\n"), "endpoint_error"),
    "deep JSON": (sends(JSON + b"\r\n", DEEP), "endpoint_error"),
    "one chunk of 50 MB": (sends(STREAM, b"data: " + b"x" * (50 * MB)), "endpoint_error"),
    "an endless body": (endless(JSON + b"\r\n", b"x" * MB), "endpoint_error"),
    "endless events": (endless(STREAM, b": keepalive\n" * 10_000), "endpoint_error"),
    "endless headers": (endless(OK, b"X-More: " + b"x" * 1000 + b"\r\n"), "endpoint_unreachable"),
}


def test_memory_is_bounded_and_the_failure_named() -> None:
    """One process meets all of them, so that its highest memory use is that of the worst."""
    with ExitStack() as stack:
        urls = {name: stack.enter_context(serving(send)) for name, (send, _) in ATTACKS.items()}
        command = [sys.executable, "-c", textwrap.dedent(CHILD), json.dumps(urls)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=110)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert {name: tuple(found[:2]) for name, found in seen.items()} == {
        name: (kind, False) for name, (_, kind) in ATTACKS.items()
    }
    assert max(more for *_, more in seen.values()) < MOST_MB
