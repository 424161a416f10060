"""A trajectory as the rows of a dataset, with the token ids the trainer will make of them.

`text`   one `{"text"}` row: the whole conversation as the student's template writes it, ending at the stop token.
`turns`  one `{"messages", "tools"}` row per assistant turn, that turn last; a turn whose call failed is context only.

Each row holds its `job_id` too. mlx_lm ignores keys that it does not know.
"""

import json
from dataclasses import dataclass

from config.records import JsonObject, Trajectory
from worker.curate.chat import Turn, chat_messages, turns
from worker.student.tokenizer import Student


@dataclass(frozen=True)
class Span:
    """One assistant turn inside the conversation, in text and in tokens."""

    turn: Turn
    prompt: str
    """what the server renders before the turn, generation prompt included"""
    through: str
    """the conversation up to and with the turn"""
    prompt_ids: tuple[int, ...]
    through_ids: tuple[int, ...]


@dataclass(frozen=True)
class Rendered:
    """One trajectory, rendered."""

    rows: tuple[JsonObject, ...]
    lengths: tuple[int, ...]
    """tokens per row as the trainer counts them"""
    spans: tuple[Span, ...]
    text_ids: tuple[int, ...] = ()
    """`text` only: the row as mlx_lm's TextDataset encodes it"""


def render_text(trajectory: Trajectory, student: Student) -> Rendered:
    """The `text` row of a trajectory; raises RenderError."""
    messages = chat_messages(trajectory)
    spans = _spans(messages, trajectory.tools, turns(trajectory), student)
    ends = bool(spans) and spans[-1].turn.index == len(messages) - 1  # then that turn's text is the whole one
    text = closed(spans[-1].through if ends else student.render(messages, trajectory.tools), student)
    ids = tuple(student.text_ids(text))
    return Rendered(rows=({"text": text, "job_id": trajectory.job_id},), lengths=(len(ids),), spans=spans, text_ids=ids)


def render_turns(trajectory: Trajectory, student: Student) -> Rendered:
    """The `turns` rows of a trajectory, one per assistant turn that is worth learning; raises RenderError."""
    messages = chat_messages(trajectory)
    spans = _spans(messages, trajectory.tools, tuple(t for t in turns(trajectory) if not t.was_retried), student)
    tools: JsonObject = {"tools": list(trajectory.tools)} if trajectory.tools else {}
    beside: JsonObject = {**tools, "job_id": trajectory.job_id}
    rows: tuple[JsonObject, ...] = tuple({"messages": list(messages[: s.turn.index + 1]), **beside} for s in spans)
    return Rendered(rows=rows, lengths=tuple(len(s.through_ids) for s in spans), spans=spans)


def closed(text: str, student: Student) -> str:
    """The text without white space behind its last stop token: the trainer would add a second stop token to it."""
    stripped = text.rstrip()
    return stripped if any(stripped.endswith(stop) for stop in student.eos_texts) else text


def row_bytes(row: JsonObject) -> bytes:
    """A row as a line of JSON."""
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _spans(
    messages: list[JsonObject], tools: tuple[JsonObject, ...], learnt: tuple[Turn, ...], student: Student
) -> tuple[Span, ...]:
    prompts = student.render_each([messages[: turn.index] for turn in learnt], tools, prompt=True)
    throughs = student.render_each([messages[: turn.index + 1] for turn in learnt], tools)
    ids = [tuple(row) for row in student.ids([*prompts, *throughs])]
    return tuple(
        Span(turn=turn, prompt=prompt, through=through, prompt_ids=before, through_ids=after)
        for turn, prompt, through, before, after in zip(
            learnt, prompts, throughs, ids[: len(learnt)], ids[len(learnt) :], strict=True
        )
    )
