"""What mlx_lm's server would make of a student's words, in a process of its own, for it imports mlx.

    python -P -m worker.student.parser_child < {"directory": ..., "tools": [...], "said": [text, ...]}

The last line on stdout: {"parser": name or null, "read": [{"calls": [{"name", "arguments"}], "error": ""}, ...]},
made by the server's own tokenizer loader, text state machine and tool parser.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from mlx_lm.generate import TextStateMachine, make_text_state_machine
from mlx_lm.utils import load_tokenizer
from pydantic import JsonValue

from config.records import JsonObject
from worker.student import fenced_json

PIECE = 3  # characters the state machine gets at a time, about a token


def tool_blocks(tokenizer: object, said: str) -> list[str]:
    """What stands between the parser's start and end, as the server collects it; an unclosed block counts too."""
    state = make_text_state_machine(tokenizer).make_state("normal")  # type: ignore[no-untyped-call]
    blocks: list[str] = []
    text, before = "", "normal"
    for start in range(0, len(said), PIECE):
        state, segments = TextStateMachine.split(state, said[start : start + PIECE])  # type: ignore[no-untyped-call]
        for current, clean in segments:
            if current == "tool":
                text += clean
            elif before == "tool":
                blocks.append(text)
                text = ""
            before = current
    return [*blocks, text] if before == "tool" and text else blocks


def read_back(
    parse: Callable[..., JsonObject | list[JsonObject]], blocks: list[str], tools: list[JsonObject]
) -> JsonObject:
    """The calls the server would answer with; `error` when its parser raises, and the server drops the call."""
    calls: list[JsonValue] = []
    try:
        for block in blocks:
            parsed = parse(block, tools)
            for call in parsed if isinstance(parsed, list) else [parsed]:
                calls.append({"name": call["name"], "arguments": call["arguments"]})
    except Exception as error:  # noqa: BLE001 - whatever a parser raises is the answer
        return {"calls": calls, "error": f"{type(error).__name__}: {error}"}
    return {"calls": calls, "error": ""}


def main() -> None:
    """Answer the one question on stdin."""
    asked = json.loads(sys.stdin.read())
    fenced_json.register()
    tokenizer = load_tokenizer(Path(asked["directory"]))  # type: ignore[no-untyped-call]
    parse = tokenizer.tool_parser
    read = [read_back(parse, tool_blocks(tokenizer, said), asked["tools"]) for said in asked["said"]] if parse else []
    print(json.dumps({"parser": parse.__module__.rpartition(".")[2] if parse else None, "read": read}))


if __name__ == "__main__":
    main()
