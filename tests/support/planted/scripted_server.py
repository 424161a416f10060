"""A model server in a worker's hands that is the scripted teacher: mlx_lm's server without mlx and without a model.

    python -P -m tests.support.planted.scripted_server --port N   (the other options of mlx_lm's server mean nothing)

A real process with a real port, so that a worker supervises it as its own. The same conversation gets the same answer,
ids included. Only a job's question takes TEST_ANSWER_SECONDS.
"""

import argparse
import json
import os
import signal
import threading
import time
from collections.abc import Sequence

from pydantic import BaseModel

from tests.support.scripted_endpoint import Call, Reply, ScriptedEndpoint
from worker.generate.scripted_plans import Result

SECONDS = float(os.environ.get("TEST_ANSWER_SECONDS", "0"))
KILLED_BY = os.environ.get("TEST_KILLED_BY", "")  # a question
LOAD_SECONDS = float(os.environ.get("TEST_LOAD_SECONDS", "0"))  # until the first token


class _Function(BaseModel):
    name: str


class _Asked(BaseModel):
    id: str


class _Said(BaseModel):
    role: str
    content: str | None = None
    tool_calls: Sequence[_Asked] = ()
    tool_call_id: str | None = None


class _Tool(BaseModel):
    function: _Function


class Request(BaseModel):
    """The body of a chat completion, as far as it is read."""

    messages: Sequence[_Said]
    tools: Sequence[_Tool] = ()


class ScriptedServer(ScriptedEndpoint):
    """Keeps no request: it may serve for hours."""

    def next_reply(self, raw: bytes, _: dict[str, str]) -> Reply:
        print("POST /v1/chat/completions")  # a server at work writes of it, or it would pass for wedged
        return reply(Request.model_validate_json(raw))


def reply(request: Request) -> Reply:
    """What the scripted teacher says next in this conversation."""
    from worker.generate.scripted_teacher import next_step  # a second of imports

    prompt = next((said.content or "" for said in request.messages if said.role == "user"), "")
    if KILLED_BY and prompt == KILLED_BY:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
    if not request.tools:
        return Reply(text="Hello.")
    step = next_step(prompt, results(request.messages))
    if isinstance(step, str):
        return Reply(text=step, stall=SECONDS)
    made = sum(len(said.tool_calls) for said in request.messages)
    calls = [Call(call.name, json.dumps(call.arguments), f"call_{made + at}") for at, call in enumerate(step, 1)]
    return Reply(calls=tuple(calls), stall=SECONDS)


def results(messages: Sequence[_Said]) -> list[tuple[Result, ...]]:
    """What was answered to the calls of each turn, by their ids."""
    answered = {said.tool_call_id: result(said.content or "") for said in messages if said.role == "tool"}
    return [tuple(answered[call.id] for call in said.tool_calls) for said in messages if said.tool_calls]


def result(content: str) -> Result:
    """A tool's words as they come over the wire, where an error is a JSON object that says so."""
    if content.startswith('{"error":'):
        return Result(str(json.loads(content)["error"]), is_error=True)
    return Result(content)


def main() -> None:
    """Serve until a signal ends this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asked, _ = parser.parse_known_args()
    time.sleep(LOAD_SECONDS)
    with ScriptedServer((), port=asked.port):
        reply(Request(messages=()))  # what it has to import is imported before the first job comes
        threading.Event().wait()


if __name__ == "__main__":
    main()
