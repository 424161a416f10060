"""Serves the review page to a browser on this machine and saves the marks that it sends.

The server listens on 127.0.0.1 only. Its address contains a random token, so that other users of the machine and other
pages in the browser cannot read the trajectories or write marks. A request for another host name is refused, which
protects from DNS rebinding. Nothing is logged, because request lines contain the token.
"""

import json
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copyfileobj
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from config.address import http_parts, is_loopback
from config.errors import UsageError
from worker.curate.jsonlines import first_error
from worker.curate.review.desk import Desk, Entry

HOST = "127.0.0.1"
MAX_BODY = 64 << 10  # bytes; a note has at most 4000 characters
TOKEN_BYTES = 24


@contextmanager
def serving(page: Path, desk: Desk, *, port: int = 0) -> Iterator[str]:
    """Serve `page` and the marks of `desk` in a thread; yields the URL. Raises UsageError if the port is taken."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    handler = type("Handler", (MarkingHandler,), {"page": page, "desk": desk, "token": token})
    try:
        server = MarkingServer((HOST, port), handler)
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}; choose another --port or omit it") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/{token}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class MarkingServer(ThreadingHTTPServer):
    """Handles each request in a thread."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Print no traceback for a connection that the browser closed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class RefusedError(Exception):
    """A request that is not answered; the arguments are the status and the reason."""


class MarkingHandler(BaseHTTPRequestHandler):
    """GET TOKEN/ is the page, GET TOKEN/marks the person's marks, POST TOKEN/marks saves one."""

    page: ClassVar[Path]
    desk: ClassVar[Desk]
    token: ClassVar[str]
    timeout = 10.0  # seconds without data; a stalled client must not hold a thread
    server_version, sys_version = "applejack", ""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: request lines contain the token."""

    def do_GET(self) -> None:
        """Send the page or the marks."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Save a mark."""
        self._answer(self._post)

    def _answer(self, act: Callable[[str], None]) -> None:
        try:
            act(self._place())
        except RefusedError as refused:
            status, reason = refused.args
            self._send(status, {"error": reason})
        except UsageError as error:  # the file is damaged or cannot be written; the page shows the reason
            self._send(HTTPStatus.CONFLICT, {"error": str(error)})

    def _place(self) -> str:
        """The path below the token. Raises RefusedError for another host or token."""
        host = http_parts(f"http://{self.headers.get('Host', '')}")
        if host is None or not is_loopback(host.hostname):
            raise RefusedError(HTTPStatus.FORBIDDEN, "this host name is not served")
        _, token, *rest = f"{urlsplit(self.path).path}/".split("/", 2)
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "the address has no valid token; use the one in the terminal")
        return rest[0].strip("/")

    def _get(self, place: str) -> None:
        if place == "marks":
            self._send(HTTPStatus.OK, {"marks": self.desk.marks()})
        elif place == "":
            self._head(HTTPStatus.OK, "text/html; charset=utf-8", self.page.stat().st_size)
            with self.page.open("rb") as source:
                copyfileobj(source, self.wfile)
        else:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such page")

    def _post(self, place: str) -> None:
        if place != "marks":
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such page")
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.headers.get("Host"):
            raise RefusedError(HTTPStatus.FORBIDDEN, "marks are accepted from this page only")
        if self.headers.get_content_type() != "application/json":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a mark is JSON")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a mark has at most {MAX_BODY} bytes")
        try:
            self.desk.save(Entry.model_validate_json(self.rfile.read(int(length))))
        except ValidationError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, first_error(error)) from error
        except IndexError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "there is no example with this number") from error
        self._send(HTTPStatus.OK, {"saved": True})

    def _send(self, status: HTTPStatus, content: object) -> None:
        body = json.dumps(content).encode()
        self._head(status, "application/json", len(body))
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, length: int) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(length),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Content-Security-Policy": "frame-ancestors 'none'",  # a page cannot name it for itself; the rest it does
        }.items():
            self.send_header(name, value)
        self.end_headers()
