"""Answers of a hostile or broken endpoint: the right failure kind, in bounded memory."""

import gzip
import json
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

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
    teacher = teacher_of(spec, Settings(endpoint=sys.argv[1]))
    rest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    job = {"job_id": "j", "attempt": 1, "workspace": None, "teacher": teacher, "worker": "w"}
    made = run_rollout(Prompt(prompt="q"), spec=spec, **job)
    health = health_check(sys.argv[1], model="default_model", api_key=None, seconds=10)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rest) >> (20 if sys.platform == "darwin" else 10)
    print(json.dumps([made.failure.kind if made.failure else None, health.answers, more]))
"""

Send = Callable[[socket.socket], None]


@contextmanager
def serving(send: Send) -> Iterator[str]:
    """An endpoint that answers every request with `send`."""

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            send(connection)

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


BOMB = gzip.compress(bytes(400 * MB), 9)
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


@pytest.mark.parametrize("name", ATTACKS)
def test_memory_is_bounded_and_the_failure_named(name: str) -> None:
    send, kind = ATTACKS[name]
    with serving(send) as url:
        code = textwrap.dedent(CHILD)
        done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert done.returncode == 0, done.stderr
    seen, answers, more = json.loads(done.stdout.splitlines()[-1])
    assert (seen, answers) == (kind, False)
    assert more < MOST_MB
