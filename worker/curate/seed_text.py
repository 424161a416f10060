"""`--format seed-text`: the seed pipeline's exact training text, ChatML with calls in fenced JSON. Needs no tokenizer.

<|im_start|>system
...<|im_end|>
<|im_start|>user
the question<|im_end|>
<|im_start|>assistant
I'll use the grep tool.

```json
{
  "name": "grep",
  "arguments": {...}
}
```<|im_end|>
<|im_start|>user
Tool result: ...<|im_end|>
<|im_start|>assistant
the answer<|im_end|>
"""

import json
import random
from collections.abc import Iterator
from typing import TypeVar

from config.errors import CurationError
from config.records import Spec, ToolCall, Trajectory
from worker.curate.chat import taught

Row = TypeVar("Row")
SHUFFLE_SEED = 42  # as in the seed pipeline
TRAIN_SHARE = 0.9
DEFAULT_SYSTEM_LINE: str = Spec.model_fields["system_prompt"].default  # the default of a run


def system_line(trajectory: Trajectory) -> str:
    """The recorded system message, else the default."""
    return trajectory.system_prompt or DEFAULT_SYSTEM_LINE


def render(trajectory: Trajectory, system_line: str) -> str:
    """The conversation as text: closed turns joined by newlines, without a newline at the end.

    Each call is a separate assistant turn, followed by a user turn with its result. Raises CurationError for a call
    without a result.
    """
    turns = [("system", system_line), *_turns(trajectory)]
    return "\n".join(f"<|im_start|>{role}\n{content}<|im_end|>" for role, content in turns)


def split(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return (train, valid): rows in file order are shuffled with the seed pipeline's seed; the first 90% are train."""
    shuffled = list(rows)
    random.Random(SHUFFLE_SEED).shuffle(shuffled)  # noqa: S311 - needs to be reproducible, not secret
    cut = int(len(shuffled) * TRAIN_SHARE)
    return shuffled[:cut], shuffled[cut:]


def _turns(trajectory: Trajectory) -> Iterator[tuple[str, str]]:
    results = {m.tool_call_id: m.content for m in trajectory.messages if m.role == "tool"}
    for message in taught(trajectory):
        if message.role == "tool":
            continue
        for call in message.tool_calls:
            result = results.get(call.id)
            if result is None:
                raise CurationError(f"job {trajectory.job_id!r}: call {call.id!r} has no result to render")
            yield "assistant", _call_text(call)
            yield "user", f"Tool result: {result}"
        if not message.tool_calls:
            yield message.role, message.content or ""


def _call_text(call: ToolCall) -> str:
    fenced = json.dumps({"name": call.name, "arguments": call.arguments}, indent=2)
    return f"I'll use the {call.name} tool.\n\n```json\n{fenced}\n```"
