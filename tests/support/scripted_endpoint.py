"""An OpenAI-compatible server that says what a test tells it to, over real HTTP.

with ScriptedEndpoint([calls(call("grep", pattern="x")), says("done")]) as endpoint:
    ...  # endpoint.base_url is ".../v1"; endpoint.requests holds every request's body as it came over the wire

A request that asks for a stream gets one, ended as mlx_lm does it by closing the connection; others get plain JSON.
A script is a sequence of replies, one a request, or a function of the request for endless or concurrent ones.
Several in a row can be mixed: stalls, dropped connections, error statuses, wrong models, broken calls.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from config.records import JsonObject
from tests.support.event_stream import events


@dataclass(frozen=True)
class Call:
    """One tool call as it goes over the wire: `arguments` is text, so that it can be broken."""

    name: str
    arguments: str
    id: str | None = None
    """None: a fresh one; "" or a repeated one as small local servers send it"""


@dataclass(frozen=True)
class Reply:
    """One answer; the faults come first when several are set: stall, drop, status, half."""

    text: str | None = None
    calls: tuple[Call, ...] = ()
    finish_reason: str | None = None
    """None: tool_calls when there are calls, else stop"""
    model: str | None = None
    """None: the model asked for"""
    stall: float = 0.0
    """seconds of silence before anything else happens"""
    drop: bool = False
    """close the connection without a byte"""
    half: bool = False
    """close the connection in the middle of the body"""
    pause: float = 0.0
    """seconds of silence in the middle of the body"""
    plain: bool = False
    """answer in one piece of JSON even where a stream is asked for"""
    status: int = 200
    body: str | None = None
    """sent as it is instead of a completion"""
    stream: str | None = None
    """sent as it is instead of the events of a stream"""


AS_IT_IS = Reply()
Script = Sequence[Reply] | Callable[[JsonObject], Reply]


def call(name: str, **arguments: object) -> Call:
    """A well-formed call."""
    return Call(name, json.dumps(arguments))


def says(text: str) -> Reply:
    """A final answer."""
    return Reply(text=text)


def calls(*asked: Call, text: str | None = None) -> Reply:
    """One turn with one or more calls, and maybe text beside them."""
    return Reply(text=text, calls=asked)


def cut(text: str) -> Reply:
    """An answer that max_tokens ended."""
    return Reply(text=text, finish_reason="length")


def stalls(seconds: float, then: Reply | None = None) -> Reply:
    """Silence on an open connection; it ends early when the server is closed."""
    return replace(then or says("late"), stall=seconds)


def drops() -> Reply:
    """A connection closed without a reply."""
    return Reply(drop=True)


def fails(status: int, error: str) -> Reply:
    """An error status with mlx_lm's kind of body."""
    return Reply(status=status, body=json.dumps({"error": error}))


@dataclass
class ScriptedEndpoint:
    """Serves on a free loopback port between `with` and its end."""

    script: Script
    models: Sequence[str] = ("default_model",)
    port: int = 0
    """0: any free one"""
    raw_requests: list[bytes] = field(default_factory=list)
    """bodies of /chat/completions as they came"""
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def requests(self) -> list[JsonObject]:
        """The same, parsed."""
        return [json.loads(raw) for raw in self.raw_requests]

    @property
    def base_url(self) -> str:
        """What a client is given."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def next_reply(self, raw: bytes, headers: dict[str, str]) -> Reply:
        """Record a request and choose its reply; past the end of the script a 500 says so."""
        with self._lock:
            number = len(self.raw_requests)
            self.raw_requests.append(raw)
            self.headers.append(headers)
        if callable(self.script):
            return self.script(json.loads(raw))
        if number >= len(self.script):
            return fails(500, f"the script has {len(self.script)} replies, this is request {number + 1}")
        return self.script[number]

    def wait(self, seconds: float) -> None:
        """Stall, but not beyond the end of the test."""
        self._closing.wait(seconds)

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self._server.daemon_threads = False  # server_close then waits for them, so none outlives its test
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def completion(reply: Reply, asked: JsonObject, number: int) -> JsonObject:
    """The chat.completion object of a reply."""
    made: list[JsonObject] = [
        {
            "id": f"call-{number}-{place}" if one.id is None else one.id,
            "type": "function",
            "function": {"name": one.name, "arguments": one.arguments},
        }
        for place, one in enumerate(reply.calls)
    ]
    message: JsonObject = {"role": "assistant", "content": reply.text}
    if made:
        message["tool_calls"] = list(made)
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": reply.model or asked.get("model") or "default_model",
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": reply.finish_reason or ("tool_calls" if made else "stop"),
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def _handler(endpoint: ScriptedEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30  # a client that connects and says nothing must not hold the test

        def do_GET(self) -> None:
            if self.path.rstrip("/") == "/v1/models":
                listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in endpoint.models]}
                self.answer(200, json.dumps(listed))
            elif self.path == "/health":
                self.answer(200, '{"status": "ok"}')
            else:
                self.answer(404, '{"error": "not found"}')

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path != "/v1/chat/completions":
                self.answer(404, '{"error": "not found"}')
                return
            reply = endpoint.next_reply(raw, {name.lower(): value for name, value in self.headers.items()})
            if reply.stall:
                endpoint.wait(reply.stall)
            if reply.drop:
                self.close_connection = True
                return
            if reply.body is not None:
                self.answer(reply.status, reply.body, reply)
                return
            asked = json.loads(raw)
            whole = completion(reply, asked, len(endpoint.raw_requests))
            if not asked.get("stream") or reply.plain:
                self.answer(reply.status, json.dumps(whole), reply)
            elif reply.stream is not None:
                self.send([reply.stream.encode()], {"Content-Type": "text/event-stream"}, reply)
            else:
                self.send(list(events(whole, asked)), {"Content-Type": "text/event-stream"}, reply)

        def answer(self, status: int, body: str, reply: Reply = AS_IT_IS) -> None:
            data = body.encode()
            headers = {"Content-Type": "application/json", "Content-Length": str(len(data))}
            middle = len(data) // 2
            self.send([data[:middle], data[middle:]], headers, replace(reply, status=status))

        def send(self, body: Sequence[bytes], headers: dict[str, str], reply: Reply) -> None:
            try:
                self.send_response(reply.status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                middle = (len(body) + 1) // 2
                self.wfile.write(b"".join(body[:middle]))
                if reply.pause:
                    endpoint.wait(reply.pause)
                if not reply.half:
                    self.wfile.write(b"".join(body[middle:]))
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client gave up, which some tests want

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
