"""Checks that the server's tool parser reads the calls that a student's template writes, token for token.

mlx_lm infers the parser from the template's text. A wrong guess shows only when a served student calls a tool.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from config.diagnostics import CannotCheckError, Diagnosis
from config.environment import outside_environment
from config.records import JsonObject
from worker.doctor.conversations import Conversation, Sample
from worker.student.tokenizer import Student

CHILD = "worker.doctor.parser_child"
SECONDS = 240  # enough to import mlx_lm and load a tokenizer on a busy machine
PARSER_REMEDY = (
    'set the parser of the template\'s notation as "tool_parser_type" in tokenizer_config.json: json_tools for '
    "<tool_call>{json}</tool_call>, qwen3_coder for <function=...>, fenced_json for a json fence"
)


@dataclass(frozen=True)
class Answer:
    """The calls that mlx_lm read from the turns."""

    refused: str
    """why it cannot load the tokenizer; "" if it can"""
    parser: str | None
    read: list[JsonObject]
    """per turn {"calls": [{"name", "arguments"}], "error"}"""


def faults(student: Student, tool: JsonObject, conversations: Sequence[Conversation]) -> Iterator[Diagnosis]:
    """Turns whose calls the server would read differently from how the template wrote them."""
    turns = [
        (conversation.sample, ids)
        for conversation in conversations
        if (ids := turn_tokens(student, conversation)) is not None
    ]
    if not turns:
        raise CannotCheckError("no turn as trained begins with the prompt as served; see the finding `loss`")
    answer = parse(student, tool, [ids for _, ids in turns])
    if answer.refused:
        yield Diagnosis("mlx_refuses", "error", f"mlx_lm cannot load this tokenizer: {answer.refused}", PARSER_REMEDY)
        return
    if answer.parser is None:
        yield Diagnosis(
            "no_tool_parser", "error", "mlx_lm's server infers no tool parser from this template", PARSER_REMEDY
        )
        return
    wrong = [(sample, read) for (sample, _), read in zip(turns, answer.read, strict=True) if differs(sample, read)]
    if wrong:
        sample, read = wrong[0]
        yield Diagnosis(
            "tool_parser",
            "error",
            f"the server's parser {answer.parser!r} misreads {len(wrong)} of {len(turns)} turns of this template "
            f"({', '.join(misread.what for misread, _ in wrong)}): it read {describe(read)} instead of "
            f"{json.dumps(sample.calls, ensure_ascii=False)}",
            PARSER_REMEDY,
        )


def turn_tokens(student: Student, conversation: Conversation) -> tuple[int, ...] | None:
    """The tokens that the student would generate up to the stop token. None if the turn continues another prompt."""
    span = conversation.turns.spans[0]
    start = len(span.prompt_ids)
    if span.through_ids[:start] != span.prompt_ids:
        return None
    turn = span.through_ids[start:]
    return turn[: next((place for place, token in enumerate(turn) if token in student.eos_ids), len(turn))]


def parse(student: Student, tool: JsonObject, turns: list[tuple[int, ...]]) -> Answer:
    """Let mlx_lm parse each turn, in a separate process. Raises CannotCheckError if that fails."""
    request = json.dumps({"directory": str(student.directory.resolve()), "tools": [tool], "turns": turns})
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", CHILD],
            input=request,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=outside_environment() | {"HF_HUB_OFFLINE": "1"},
        )
        return Answer(**json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        raise CannotCheckError(f"mlx_lm did not finish within {SECONDS} s") from None
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise CannotCheckError(f"mlx_lm failed: {last}") from None


def differs(sample: Sample, read: JsonObject) -> bool:
    """Whether the calls that were read differ from those that were written."""
    return bool(read["error"]) or read["calls"] != list(sample.calls)


def describe(read: JsonObject) -> str:
    """The error, or the calls that were read."""
    return str(read["error"]) or json.dumps(read["calls"], ensure_ascii=False)
