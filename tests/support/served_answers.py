"""Streams of a real model server, byte for byte, and their replay: tests/data/served/README.md describes the corpus.

One line of the corpus is one conversation: the question, each request's new messages, each stream, and the results of
the calls. `benchmarks/record_served.py` writes it.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Self

from config.records import JsonObject
from tests.support.http_server import QuietHandler, serving
from worker.tools.patterns import RefusedError
from worker.tools.toolset import ToolFunction

SERVED = Path(__file__).parents[1] / "data" / "served"
CONVERSATIONS = SERVED / "conversations.jsonl"
TOOLS = SERVED / "tools.json"
END = b"\n\n"
DONE = "data: [DONE]"


@dataclass(frozen=True)
class Stream:
    """One streamed response. `frame` holds the fields that are the same in each of its chunks."""

    frame: JsonObject
    events: list[str | list[object]]
    """a comment or [DONE] as it came; a chunk as [finish_reason, delta]; another chunk as [its other fields]"""

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """The compact form of a response body. Raises ValueError if the body cannot be rebuilt from it."""
        frame: JsonObject = {}
        events: list[str | list[object]] = []
        for event in raw.removesuffix(END).decode().split("\n\n"):
            if not event.startswith("data: {"):
                events.append(event)
                continue
            chunk = json.loads(event.removeprefix("data: "))
            frame = frame or {key: value for key, value in chunk.items() if key != "choices"}
            choices = chunk["choices"]
            if choices:
                events.append([choices[0]["finish_reason"], choices[0]["delta"]])
            else:
                events.append([{key: value for key, value in chunk.items() if frame.get(key) != value}])
        stream = cls(frame, events)
        if stream.raw != raw:
            raise ValueError(f"cannot be rebuilt: {raw!r}")
        return stream

    @property
    def raw(self) -> bytes:
        """The body as the server sent it."""
        return b"".join(self._event(event).encode() + END for event in self.events)

    def _event(self, event: str | list[object]) -> str:
        if isinstance(event, str):
            return event
        more: object = event[0]
        if len(event) == 2:
            more = {"choices": [{"index": 0, "finish_reason": event[0], "delta": event[1]}]}
        assert isinstance(more, dict)
        return f"data: {json.dumps({**self.frame, **more})}"

    @property
    def finish_reason(self) -> str:
        """Why the answer ended; "" if the server closed the connection before it did."""
        reasons = [event[0] for event in self.events if isinstance(event, list) and len(event) == 2 and event[0]]
        return str(reasons[-1]) if reasons else ""

    @property
    def deltas(self) -> list[JsonObject]:
        """The delta of each chunk."""
        return [event[1] for event in self.events if isinstance(event, list) and len(event) == 2]  # type: ignore[misc]


@dataclass(frozen=True)
class Result:
    """What a tool returned for a call."""

    name: str
    arguments: JsonObject
    content: str
    refused: bool


@dataclass(frozen=True)
class Conversation:
    """A recorded conversation."""

    prompt: str
    category: str
    code: str
    temperature: float
    max_tokens: int
    requests: list[list[JsonObject]]
    """the messages of each request that are not in the one before"""
    streams: list[Stream]
    results: list[Result]

    @classmethod
    def parse(cls, line: str) -> Self:
        """One line of the corpus."""
        fields = json.loads(line)
        streams = [Stream(**stream) for stream in fields.pop("streams")]
        results = [Result(**result) for result in fields.pop("results")]
        return cls(**fields, streams=streams, results=results)

    @property
    def line(self) -> str:
        """The same as a line of the corpus, without its end."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    def tools(self, schemas: Sequence[JsonObject]) -> Mapping[str, ToolFunction]:
        """Tools that return what the real ones returned when this was recorded."""
        return {str(schema["function"]["name"]): self._tool(schema) for schema in schemas}  # type: ignore[call-overload, index]

    def _tool(self, schema: JsonObject) -> ToolFunction:
        name = schema["function"]["name"]  # type: ignore[call-overload, index]

        def run(arguments: JsonObject) -> str:
            [result] = {
                (one.content, one.refused) for one in self.results if (one.name, one.arguments) == (name, arguments)
            }
            if result[1]:
                raise RefusedError(result[0])
            return result[0]

        return run


def recorded() -> list[Conversation]:
    """The corpus."""
    return [Conversation.parse(line) for line in CONVERSATIONS.read_text(encoding="utf-8").splitlines()]


def tools() -> list[JsonObject]:
    """The tool schemas of every recorded request."""
    schemas: list[JsonObject] = json.loads(TOOLS.read_text(encoding="utf-8"))
    return schemas


@contextmanager
def replaying(streams: Sequence[bytes], requests: list[JsonObject]) -> Iterator[str]:
    """The base URL of a server that answers with these bodies in turn and appends each request's body to `requests`."""
    left, lock = list(streams), threading.Lock()

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                requests.append(body)
                stream = left.pop(0) if left else None
            self.send_response(200 if stream else 500)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(stream or b"")

    with serving(Handler) as url:
        yield url
