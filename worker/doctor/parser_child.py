"""Parses a student's turns as mlx_lm's server would. Runs in its own process because it imports mlx.

    python -P -m worker.doctor.parser_child < {"directory": ..., "tools": [...], "turns": [[token id, ...]]}

The last line on stdout: {"refused": "", "parser": name or null, "read": [{"calls": [{"name", "arguments"}], "error":
""}, ...]}. It comes from the server's own tokenizer loader, detokenizer, text state machine and tool parser. `refused`
is the reason why mlx_lm cannot load the tokenizer.
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


def tool_blocks(tokenizer: TokenizerWrapper, turn: list[int]) -> list[str]:
    """The text between the parser's start and end tags, as the server collects it. An unclosed block counts too."""
    state = make_text_state_machine(tokenizer).make_state("normal")  # type: ignore[no-untyped-call]
    detokenizer = tokenizer.detokenizer  # the property returns a new one each time
    blocks: list[str] = []
    text, before = "", "normal"
    for token in turn:
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
    """The calls that the server would return. `error` is set if its parser raises; the server then drops the call."""
    calls: list[JsonValue] = []
    try:
        for block in blocks:
            parsed = parse(block, tools)
            for call in parsed if isinstance(parsed, list) else [parsed]:
                calls.append({"name": call["name"], "arguments": call["arguments"]})
    except Exception as error:  # noqa: BLE001 - any exception of a parser is the result
        return {"calls": calls, "error": f"{type(error).__name__}: {error}"}
    return {"calls": calls, "error": ""}


def answer(directory: Path, tools: list[JsonObject], turns: list[list[int]]) -> JsonObject:
    """The object to print."""
    try:
        tokenizer = load_tokenizer(directory)  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - with any exception a server would not start either
        refused = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return {"refused": refused, "parser": None, "read": []}
    if not (parse := tokenizer.tool_parser):
        return {"refused": "", "parser": None, "read": []}
    read: list[JsonValue] = [read_back(parse, tool_blocks(tokenizer, turn), tools) for turn in turns]
    return {"refused": "", "parser": parse.__module__.rpartition(".")[2], "read": read}


def main() -> None:
    """Read the request from stdin and print the result."""
    request = json.loads(sys.stdin.read())
    fenced_json.register()
    print(json.dumps(answer(Path(request["directory"]), request["tools"], request["turns"])))  # noqa: T201 - read by the parent


if __name__ == "__main__":
    main()
