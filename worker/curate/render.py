"""Renders a trajectory as dataset rows, with the token ids that the trainer will compute.

`text`   one `{"text"}` row: the whole conversation in the student's template, ending with the stop token.
`turns`  one `{"messages", "tools"}` row per assistant turn, the last message. A failed call's turn is context only.

Each row also has a `job_id`. mlx_lm ignores unknown keys.
"""

import json
from collections import Counter
from dataclasses import dataclass

from config.records import JsonObject, Trajectory
from worker.curate.chat import Turn, chat_messages, turns
from worker.student.tokenizer import RenderError, Student


@dataclass(frozen=True)
class Span:
    """One assistant turn of the conversation, as text and tokens."""

    turn: Turn
    prompt: str
    """text that the server renders before the turn, including the generation prompt"""
    through: str
    """the conversation up to and including the turn"""
    prompt_ids: tuple[int, ...]
    through_ids: tuple[int, ...]


@dataclass(frozen=True)
class Rendered:
    """The rows and tokens of one trajectory."""

    rows: tuple[JsonObject, ...]
    lengths: tuple[int, ...]
    """tokens per row as the trainer counts them"""
    spans: tuple[Span, ...]
    text_ids: tuple[int, ...] = ()
    """`text` only: token ids as in mlx_lm's TextDataset"""


def render_text(trajectory: Trajectory, student: Student) -> Rendered:
    """The `text` row of a trajectory; raises RenderError."""
    messages = chat_messages(trajectory)
    spans = _spans(messages, trajectory.tools, turns(trajectory), student)
    ends = bool(spans) and spans[-1].turn.index == len(messages) - 1  # the last span then covers all messages
    text = closed(spans[-1].through if ends else student.render(messages, trajectory.tools), student)
    ids = tuple(student.text_ids(text))
    return Rendered(rows=({"text": text, "job_id": trajectory.job_id},), lengths=(len(ids),), spans=spans, text_ids=ids)


def render_turns(trajectory: Trajectory, student: Student) -> Rendered:
    """The `turns` rows of a trajectory, one per assistant turn that was not retried; raises RenderError."""
    messages = chat_messages(trajectory)
    spans = _spans(messages, trajectory.tools, tuple(t for t in turns(trajectory) if not t.was_retried), student)
    tools: JsonObject = {"tools": list(trajectory.tools)} if trajectory.tools else {}
    shared: JsonObject = {**tools, "job_id": trajectory.job_id}
    rows: tuple[JsonObject, ...] = tuple({"messages": list(messages[: s.turn.index + 1]), **shared} for s in spans)
    return Rendered(rows=rows, lengths=tuple(len(s.through_ids) for s in spans), spans=spans)


def closed(text: str, student: Student) -> str:
    """Strip white space after the last stop token; otherwise the trainer would add a second stop token."""
    stripped = text.rstrip()
    return stripped if any(stripped.endswith(stop) for stop in student.eos_texts) else text


def own_tokens(ids: tuple[int, ...], student: Student) -> tuple[int, ...]:
    """A turn's tokens up to its first stop token. A template may add white space after it."""
    for position, token in enumerate(ids):
        if token in student.eos_ids:
            return ids[: position + 1]
    return ids


def row_bytes(row: JsonObject) -> bytes:
    """The row as one line of JSON."""
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _require_calls(message: JsonObject, text: str) -> None:
    """Raises RenderError if the template leaves out a call: some write only the first of parallel calls."""
    calls = message.get("tool_calls")
    names = Counter(str(call["function"]["name"]) for call in calls) if isinstance(calls, list) else Counter[str]()  # type: ignore[call-overload, index]
    for name, count in names.items():
        if text.count(name) < count:
            raise RenderError(
                f"the student's chat template writes {text.count(name)} of {count} calls of {name!r} in one turn"
            )


def _spans(
    messages: list[JsonObject], tools: tuple[JsonObject, ...], learnt: tuple[Turn, ...], student: Student
) -> tuple[Span, ...]:
    prompts = student.render_each([messages[: turn.index] for turn in learnt], tools, prompt=True)
    throughs = student.render_each([messages[: turn.index + 1] for turn in learnt], tools)
    for turn, prompt, through in zip(learnt, prompts, throughs, strict=True):
        if through.startswith(prompt):  # the loss proof finds those that do not
            _require_calls(messages[turn.index], through[len(prompt) :])
    ids = [tuple(row) for row in student.ids([*prompts, *throughs])]
    return tuple(
        Span(turn=turn, prompt=prompt, through=through, prompt_ids=before, through_ids=after)
        for turn, prompt, through, before, after in zip(
            learnt, prompts, throughs, ids[: len(learnt)], ids[len(learnt) :], strict=True
        )
    )
