"""Records what a real model server streams, for tests/data/served:

    python -m benchmarks.record_served PROMPTS.jsonl WORKSPACE --url http://127.0.0.1:8701/v1 --temperature 0.7 --out F

The agent loop of a generation job talks to the server through a proxy that keeps each request and each response body.
Conversations are appended to F.
"""

import argparse
import asyncio
import http.client
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from config.errors import FailureKind
from config.prompts import load
from config.records import JsonObject, Limits, Pin, Prompt, Sampling, Spec
from tests.support.http_server import QuietHandler, serving
from tests.support.served_answers import Conversation, Result, Stream
from worker.generate.agent import converse, endpoint_teacher
from worker.tools import toolset
from worker.tools.patterns import RefusedError
from worker.tools.toolset import ToolFunction
from worker.tools.workspace import Workspace

TOOLS = ("grep", "count")  # those that the demo trains its student with
REQUEST_SECONDS = 120.0


def main() -> None:
    """Record a conversation for each prompt."""
    parser = argparse.ArgumentParser(description="Record the streams of a real model server.")
    parser.add_argument("prompts", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    with asked.out.open("a", encoding="utf-8") as out, ThreadPoolExecutor(asked.at_once) as pool:
        for conversation in pool.map(lambda prompt: record(prompt, asked), load(asked.prompts).prompts):
            if conversation is None:
                print("left out: the client gave up", flush=True)
                continue
            out.write(conversation.line + "\n")
            out.flush()
            print(len(conversation.streams), [stream.finish_reason for stream in conversation.streams], flush=True)


def record(prompt: Prompt, asked: argparse.Namespace) -> Conversation | None:
    """One conversation with the server at `asked.url`; None if a request or the conversation timed out."""
    exchanges: list[tuple[JsonObject, bytes]] = []
    results: list[Result] = []
    spec = Spec(run_id="recording", limits=Limits(max_tokens=asked.max_tokens, requests=6, tool_calls=8, seconds=600))
    workspace = Workspace(asked.workspace.resolve(), Pin(origin=asked.workspace.name))
    with recording(asked.url, exchanges) as url:
        said = asyncio.run(
            converse(
                prompt.prompt,
                system_prompt=spec.system_prompt,
                teacher=endpoint_teacher(
                    url,
                    model="default_model",
                    sampling=Sampling(temperature=asked.temperature, top_p=None),
                    request_seconds=REQUEST_SECONDS,
                ),
                limits=spec.limits,
                schemas=toolset.schemas(TOOLS),
                tools=noted(toolset.build(workspace, names=TOOLS, allow_commands=()), results),
            )
        )
    if said.error and said.error.kind in {FailureKind.TIMEOUT, FailureKind.ENDPOINT_WEDGED}:
        return None
    sent = [list(request["messages"]) for request, _ in exchanges]  # type: ignore[arg-type]
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(sent))
    return Conversation(
        prompt=prompt.prompt,
        category=prompt.category,
        code=asked.workspace.name,
        temperature=asked.temperature,
        max_tokens=asked.max_tokens,
        requests=[later[len(earlier) :] for earlier, later in pairwise([[], *sent])],
        streams=[Stream.of(body) for _, body in exchanges],
        results=results,
    )


def noted(tools: Mapping[str, ToolFunction], results: list[Result]) -> Mapping[str, ToolFunction]:
    """The same tools; each result is appended to `results`."""

    def wrapped(name: str, tool: ToolFunction) -> ToolFunction:
        def run(arguments: JsonObject) -> str:
            try:
                content = tool(arguments)
            except RefusedError as refused:
                results.append(Result(name, arguments, str(refused), refused=True))
                raise
            results.append(Result(name, arguments, content, refused=False))
            return content

        return run

    return {name: wrapped(name, tool) for name, tool in tools.items()}


@contextmanager
def recording(url: str, exchanges: list[tuple[JsonObject, bytes]]) -> Iterator[str]:
    """The base URL of a proxy for the server at `url`, which appends (request, response body) to `exchanges`."""
    address = urlsplit(url)

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=REQUEST_SECONDS)
            connection.request("POST", self.path, request, {"Content-Type": "application/json"})
            response = connection.getresponse()
            body = response.read()
            connection.close()
            exchanges.append((json.loads(request), body))
            self.send_response(response.status)
            self.send_header("Content-Type", str(response.headers["Content-Type"]))
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as base:
        yield base


if __name__ == "__main__":
    main()
