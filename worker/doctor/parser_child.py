"""What mlx_lm's server would make of a student's words, in a process of its own, for it imports mlx.

    python -P -m worker.doctor.parser_child < {"directory": ..., "tools": [...], "said": [[token id, ...], ...]}

The last line on stdout: {"refused": "", "parser": name or null, "read": [{"calls": [{"name", "arguments"}], "error":
""}, ...]}, made by the server's own tokenizer loader, detokenizer, text state machine and tool parser; `refused` is
why mlx_lm does not load the tokenizer.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from mlx_lm.generate import TextStateMachine, make_text_state_machine
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import load_tokenizer
from pydantic import JsonValue

from config.records import JsonObject
from worker.student import fenced_json


def tool_blocks(tokenizer: TokenizerWrapper, said: list[int]) -> list[str]:
    """What stands between the parser's start and end, as the server collects it; an unclosed block counts too."""
    state = make_text_state_machine(tokenizer).make_state("normal")  # type: ignore[no-untyped-call]
    detokenizer = tokenizer.detokenizer  # a new one each time
    blocks: list[str] = []
    text, before = "", "normal"
    for token in said:
        detokenizer.add_token(token)
        state, segments = TextStateMachine.split(state, detokenizer.last_segment)  # type: ignore[no-untyped-call]
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


def answer(directory: Path, tools: list[JsonObject], said: list[list[int]]) -> JsonObject:
    """What is printed."""
    try:
        tokenizer = load_tokenizer(directory)  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - whatever it is, a server would not start either
        refused = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return {"refused": refused, "parser": None, "read": []}
    if not (parse := tokenizer.tool_parser):
        return {"refused": "", "parser": None, "read": []}
    read: list[JsonValue] = [read_back(parse, tool_blocks(tokenizer, ids), tools) for ids in said]
    return {"refused": "", "parser": parse.__module__.rpartition(".")[2], "read": read}


def main() -> None:
    """Answer the one question on stdin."""
    asked = json.loads(sys.stdin.read())
    fenced_json.register()
    print(json.dumps(answer(Path(asked["directory"]), asked["tools"], asked["said"])))


if __name__ == "__main__":
    main()
