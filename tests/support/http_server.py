"""A small HTTP server in a thread, for what a test's own handler answers."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler:
    """Before BaseHTTPRequestHandler among the bases: writes no log."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """The base URL, ending in /v1, between `with` and its end."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, _running(server):
        yield f"http://127.0.0.1:{server.server_port}/v1"


@contextmanager
def _running(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


NOT_FOUND = (404, '{"detail": "Not Found"}')
Pages = Mapping[str, tuple[int, str]]


@contextmanager
def pages(
    answers: Pages, *, server: str = "uvicorn", other: tuple[int, str] = NOT_FOUND, host: str = ""
) -> Iterator[str]:
    """A server with one answer for each path, whatever the method; its root address."""

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        server_version, sys_version = server, ""

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answers.get(self.path, other)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            self.do_GET()

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    with Server((host or "127.0.0.1", 0), Handler) as http, _running(http):
        yield f"http://{f'[{host}]' if host else '127.0.0.1'}:{http.server_port}"


def listing(*ids: str, **fields: object) -> tuple[int, str]:
    return 200, json.dumps({"object": "list", "data": [{"id": name, "object": "model", **fields} for name in ids]})
