"""The model server of one Mac in the replayed night: the scripted teacher over HTTP, slow or with the wrong model.

    python -P -m tests.support.night.endpoint --port N --seconds S [--serves MODEL] [--stalls-every K]

It answers rightly, with tools, except to the BAD prompts: each of them goes wrong in its own way, as such prompts do.
One in K requests of jobs is never answered, as on a machine that swaps.
"""

import argparse
import itertools
import json
import threading
from dataclasses import replace

from config.records import DEFAULT_MODEL, Prompt
from tests.support.planted.scripted_server import Request, reply
from tests.support.scripted_endpoint import Call, Reply, ScriptedEndpoint, fails

MODEL = "teacher-30b"
LOOPS, INVENTS, CUT, HANGS = (
    "Summarise every file of this code base.",
    "Which parts of this code will age badly?",
    "Write the whole documentation of this code.",
    "Wait until the code has changed, then say what is new.",
)
BAD = (LOOPS, INVENTS, CUT, HANGS)
HANG_SECONDS = 3_600.0  # longer than any limit


def bad_prompts(count: int) -> list[Prompt]:
    """Prompts that no model answers well; each is distinct."""
    return [Prompt(prompt=f"{BAD[at % len(BAD)]} ({at + 1})", category="open") for at in range(count)]


class NightServer(ScriptedEndpoint):
    """Keeps no request."""

    def __init__(self, *, port: int, seconds: float, serves: str, stalls_every: int) -> None:
        super().__init__((), models=(serves,), port=port)
        self.seconds, self.serves, self.stalls_every = seconds, serves, stalls_every
        self._numbers = itertools.count(1)

    def next_reply(self, raw: bytes, _: dict[str, str]) -> Reply:
        """The next turn, or a refusal of another model than the one it serves."""
        asked = json.loads(raw).get("model")
        if asked not in {self.serves, DEFAULT_MODEL}:
            return fails(404, f"model {asked!r} does not exist; this server has {self.serves!r}")
        request = Request.model_validate_json(raw)
        good = reply(request)
        if not request.tools:  # a health check
            return good
        stalled = self.stalls_every and next(self._numbers) % self.stalls_every == 0
        if bad := bad_reply(request):  # its job ends with its own cause, whichever machine has it
            return replace(bad, stall=self.seconds)
        return replace(good, stall=HANG_SECONDS if stalled else self.seconds)


def bad_reply(request: Request) -> Reply | None:
    """What a model does with a bad prompt; None for every other prompt."""
    asked = next(said.content or "" for said in request.messages if said.role == "user")
    made = sum(len(said.tool_calls) for said in request.messages)
    if asked.startswith(LOOPS):
        return Reply(calls=(Call("list_dir", json.dumps({"path": "."}), f"call_{made + 1}"),))
    if asked.startswith(INVENTS):
        return Reply(text="The module `legacy.py` and its function `old_api` will age badly.")
    if asked.startswith(CUT):
        return Reply(text="# Documentation\n\nThis code base consists of", finish_reason="length")
    if asked.startswith(HANGS):
        return Reply(text="Nothing is new.", pause=HANG_SECONDS)
    return None


def main() -> None:
    """Serve until a signal ends this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=0.0, help="of each answer")
    parser.add_argument("--serves", default=MODEL)
    parser.add_argument("--stalls-every", type=int, default=0, help="0: never")
    given = parser.parse_args()
    with NightServer(port=given.port, seconds=given.seconds, serves=given.serves, stalls_every=given.stalls_every):
        reply(Request(messages=()))  # what it has to import is imported before the first job comes
        threading.Event().wait()


if __name__ == "__main__":
    main()
