"""A real webhook in a thread, which answers as told and records what it receives."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from config.records import JsonObject
from tests.support.http_server import QuietHandler, serving

SECRET = "T00/B00/xyzzySECRET"  # the path of its URL


@dataclass
class Webhook:
    """Its URL, the statuses that it answers with (200 after the last one), and what was posted to it."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    received: list[JsonObject] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def texts(self) -> list[str]:
        return [str(body["text"]) for body in self.received]


@contextmanager
def webhook(*statuses: int, seconds: float = 0.0, **headers: str) -> Iterator[Webhook]:
    """A webhook that takes `seconds` for each answer and sends these headers."""
    hook = Webhook(statuses=list(statuses))

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path.endswith(SECRET)
            hook.received.append(json.loads(body))
            hook.headers.append(dict(self.headers.items()))
            time.sleep(seconds)
            self.send_response(hook.statuses.pop(0) if hook.statuses else 200)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    with serving(Handler) as url:
        hook.url = f"{url}/{SECRET}"
        yield hook
