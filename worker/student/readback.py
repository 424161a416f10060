"""Whether the server's tool parser reads back what a student's template writes: the doctor's hardest samples.

mlx_lm infers the parser from the template's text, and a wrong guess shows only when a served student calls a tool.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from config.records import JsonObject
from config.traps import CannotLookError, Trap
from worker.curate.tokenizer import RenderError, Student

CHILD = "worker.student.parser_child"
SECONDS = 240  # imports mlx_lm and loads a tokenizer on a busy machine
PARSER_REMEDY = (
    'name the parser of the template\'s notation as "tool_parser_type" in tokenizer_config.json: json_tools for '
    "<tool_call>{json}</tool_call>, qwen3_coder for <function=...>, fenced_json for a json fence"
)


@dataclass(frozen=True)
class Sample:
    """One assistant turn; `calls` is what must be read back."""

    what: str
    content: str
    calls: tuple[JsonObject, ...]


def call(**arguments: object) -> JsonObject:
    """A call of the doctor's tool."""
    return {"name": "look_up", "arguments": cast(JsonObject, arguments)}


SAMPLES = (
    Sample("an answer without a call", "There are twelve of them.", ()),
    Sample("a plain call", "", (call(pattern="class"),)),
    Sample("a call behind a sentence", "I look first.", (call(pattern="class"),)),
    Sample("a number", "", (call(pattern="class", limit=7),)),
    Sample("nested arguments", "", (call(pattern="a", options={"deep": {"list": [1, "two", {"x": True}]}}),)),
    Sample("letters of other scripts", "", (call(pattern="Größe 数 🍎 \u2028"),)),
    Sample("newlines", "", (call(pattern="first\n  second\n\nfourth"),)),
    Sample("quotes and backslashes", "", (call(pattern='say "it\'s" \\d+ \\"'),)),
    Sample("angle brackets and braces", "", (call(pattern="<b>{x}</b> & [y]"),)),
    Sample("two calls in one turn", "", (call(pattern="one"), call(pattern="two"))),
)


def faults(student: Student, tool: JsonObject, samples: Sequence[Sample] = SAMPLES) -> Iterator[Trap]:
    """What the server would read otherwise than the template wrote it."""
    said: list[tuple[Sample, str]] = []
    for sample in samples:
        try:
            said.append((sample, words(student, tool, sample)))
        except RenderError as error:
            yield Trap(
                "template_refuses", "error", f"{sample.what}: {error}", "correct the template, or take a bundled one"
            )
    parser, read = ask(student, tool, [text for _, text in said])
    if parser is None:
        yield Trap("no_tool_parser", "error", "mlx_lm's server infers no tool parser from this template", PARSER_REMEDY)
        return
    wrong = [(sample, seen) for (sample, _), seen in zip(said, read, strict=True) if differs(sample, seen)]
    if wrong:
        sample, seen = wrong[0]
        yield Trap(
            "tool_parser",
            "error",
            f"the server's parser {parser!r} misreads {len(wrong)} of {len(said)} turns of this template "
            f"({', '.join(one.what for one, _ in wrong)}): it made {told(seen)} of "
            f"{json.dumps(sample.calls, ensure_ascii=False)}",
            PARSER_REMEDY,
        )


def words(student: Student, tool: JsonObject, sample: Sample) -> str:
    """What the student would say: the turn as rendered, from the generation prompt to the stop token."""
    question: JsonObject = {"role": "user", "content": "How many are there?"}
    turn: JsonObject = {"role": "assistant", "content": sample.content}
    if sample.calls:
        turn["tool_calls"] = [
            {"id": f"probe{number:05d}", "type": "function", "function": made}
            for number, made in enumerate(sample.calls)
        ]
    prompt = student.render([question], [tool], prompt=True)
    through = student.render([question, turn], [tool])
    if not through.startswith(prompt):
        raise CannotLookError("the turn as trained does not begin with the prompt as served, see the finding `loss`")
    behind = through[len(prompt) :]
    for stop in sorted(student.eos_texts):
        behind = behind.partition(stop)[0]
    return behind


def ask(student: Student, tool: JsonObject, said: list[str]) -> tuple[str | None, list[JsonObject]]:
    """The parser's name, and what it reads in each text, by mlx_lm itself in a process of its own."""
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
        answer = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise CannotLookError(f"mlx_lm has not answered within {SECONDS} s") from None
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CannotLookError(f"mlx_lm cannot load this tokenizer: {last}") from None
    return answer["parser"], answer["read"]


def differs(sample: Sample, seen: JsonObject) -> bool:
    """Whether the calls read are not the calls written."""
    return bool(seen["error"]) or seen["calls"] != list(sample.calls)


def told(seen: JsonObject) -> str:
    """What was read, in words."""
    return str(seen["error"]) or json.dumps(seen["calls"], ensure_ascii=False)
