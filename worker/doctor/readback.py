"""Whether the server's tool parser reads back what a student's template writes, in the tokens the student would say.

mlx_lm infers the parser from the template's text, and a wrong guess shows only when a served student calls a tool.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from config.diagnostics import CannotCheckError, Diagnosis
from config.records import JsonObject
from worker.doctor.conversations import Conversation, Sample
from worker.student.tokenizer import Student

CHILD = "worker.doctor.parser_child"
SECONDS = 240  # imports mlx_lm and loads a tokenizer on a busy machine
PARSER_REMEDY = (
    'name the parser of the template\'s notation as "tool_parser_type" in tokenizer_config.json: json_tools for '
    "<tool_call>{json}</tool_call>, qwen3_coder for <function=...>, fenced_json for a json fence"
)


@dataclass(frozen=True)
class Answer:
    """What mlx_lm made of the turns."""

    refused: str
    """why it does not load the tokenizer, "" when it does"""
    parser: str | None
    read: list[JsonObject]
    """for each turn {"calls": [{"name", "arguments"}], "error"}"""


def faults(student: Student, tool: JsonObject, conversations: Sequence[Conversation]) -> Iterator[Diagnosis]:
    """What the server would read otherwise than the template wrote it."""
    said = [(one.sample, ids) for one in conversations if (ids := words(student, one)) is not None]
    if not said:
        raise CannotCheckError("no turn as trained begins with the prompt as served, see the finding `loss`")
    answer = ask(student, tool, [ids for _, ids in said])
    if answer.refused:
        yield Diagnosis("mlx_refuses", "error", f"mlx_lm cannot load this tokenizer: {answer.refused}", PARSER_REMEDY)
        return
    if answer.parser is None:
        yield Diagnosis(
            "no_tool_parser", "error", "mlx_lm's server infers no tool parser from this template", PARSER_REMEDY
        )
        return
    wrong = [(sample, seen) for (sample, _), seen in zip(said, answer.read, strict=True) if differs(sample, seen)]
    if wrong:
        sample, seen = wrong[0]
        yield Diagnosis(
            "tool_parser",
            "error",
            f"the server's parser {answer.parser!r} misreads {len(wrong)} of {len(said)} turns of this template "
            f"({', '.join(one.what for one, _ in wrong)}): it made {describe(seen)} of "
            f"{json.dumps(sample.calls, ensure_ascii=False)}",
            PARSER_REMEDY,
        )


def words(student: Student, conversation: Conversation) -> tuple[int, ...] | None:
    """The tokens the student would say, from the generation prompt to the stop token; None behind another prompt."""
    span = conversation.turns.spans[0]
    start = len(span.prompt_ids)
    if span.through_ids[:start] != span.prompt_ids:
        return None
    turn = span.through_ids[start:]
    return turn[: next((place for place, token in enumerate(turn) if token in student.eos_ids), len(turn))]


def ask(student: Student, tool: JsonObject, said: list[tuple[int, ...]]) -> Answer:
    """What mlx_lm itself reads in each turn, in a process of its own; CannotCheckError when it gives no answer."""
    question = json.dumps({"directory": str(student.directory.resolve()), "tools": [tool], "said": said})
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", CHILD],
            input=question,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
        return Answer(**json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        raise CannotCheckError(f"mlx_lm has not answered within {SECONDS} s") from None
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CannotCheckError(f"mlx_lm cannot be asked: {last}") from None


def differs(sample: Sample, seen: JsonObject) -> bool:
    """Whether the calls read are not the calls written."""
    return bool(seen["error"]) or seen["calls"] != list(sample.calls)


def describe(seen: JsonObject) -> str:
    """What was read, in words."""
    return str(seen["error"]) or json.dumps(seen["calls"], ensure_ascii=False)
