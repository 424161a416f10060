"""Why the loss proof rejects a trajectory: compares the texts whose tokens differ, and names what the template does."""

from collections.abc import Iterator, Sequence

from config.records import JsonObject, Trajectory
from worker.curate.chat import chat_messages
from worker.curate.render import Rendered, Span, own_tokens
from worker.student.tokenizer import RenderError, Student

SHOWN = 40  # characters of a quoted text
REASONING = "<think>"


def causes(trajectory: Trajectory, rendered: Rendered, student: Student) -> dict[str, str]:
    """Each distinct cause with its first evidence; empty if the template does what the proof wants."""
    messages = chat_messages(trajectory)
    found: dict[str, str] = {}
    for span in rendered.spans:
        for cause, evidence in _of_turn(span, messages, trajectory.tools, rendered, student):
            found.setdefault(cause, evidence)
    return found


def _of_turn(
    span: Span, messages: Sequence[JsonObject], tools: Sequence[JsonObject], rendered: Rendered, student: Student
) -> Iterator[tuple[str, str]]:
    offset = len(span.prompt_ids)
    if span.through_ids[:offset] != span.prompt_ids or len(span.through_ids) <= offset:
        yield _prefix(span, messages, tools, student)
        return
    turn = own_tokens(span.through_ids[offset:], student)
    text = span.through[len(span.prompt) :]
    if turn[-1] not in student.eos_ids:
        stops = " or ".join(sorted(map(repr, student.eos_texts)))
        yield f"the template ends an assistant's turn without the stop token {stops}", repr(text[-SHOWN:])
    elif not rendered.text_ids and student.decode(span.through_ids[offset + len(turn) :]).strip():
        yield "a stop token stands inside an assistant's turn", repr(text[-SHOWN:])
    elif rendered.text_ids and rendered.text_ids[: offset + len(turn)] != (*span.prompt_ids, *turn):
        yield _renders_differently(messages, span.turn.index, span.through, str(rendered.rows[0]["text"]))


def _prefix(
    span: Span, messages: Sequence[JsonObject], tools: Sequence[JsonObject], student: Student
) -> tuple[str, str]:
    """Why the training prefix of a turn is not the prompt that the server renders before it."""
    prompt, through, index = span.prompt, span.through, span.turn.index
    if through == prompt:
        return "the template leaves out an assistant's turn", repr(str(messages[index]["content"])[:SHOWN])
    if through.startswith(prompt):
        return (
            "the beginning of an assistant's turn merges into other tokens with the end of the generation prompt",
            f"{through[len(prompt) :][:SHOWN]!r} after {prompt[-SHOWN:]!r}",
        )
    before = student.render(messages[:index], tools)  # the template has rendered it with a generation prompt
    if through.startswith(before):
        asked, written = prompt.removeprefix(before), through[len(before) :]
        return (
            "the template's generation prompt is not how it begins an assistant's turn",
            f"{asked[-SHOWN:]!r}, but {written[: max(SHOWN, len(asked))]!r}",
        )
    return _earlier(span, messages, tools, student)


def _earlier(
    span: Span, messages: Sequence[JsonObject], tools: Sequence[JsonObject], student: Student
) -> tuple[str, str]:
    """Which message before a turn is rendered differently because of later ones: the first of them."""
    blamed, alone = span.turn.index, span.prompt
    for number in range(span.turn.index, 0, -1):
        try:
            shorter = student.render(messages[:number], tools)
        except RenderError:  # some templates refuse a conversation without a question
            break
        if span.through.startswith(shorter):
            break
        blamed, alone = number - 1, shorter
    return _renders_differently(messages, blamed, alone, span.through)


def _renders_differently(messages: Sequence[JsonObject], number: int, alone: str, followed: str) -> tuple[str, str]:
    """`alone` is the conversation up to the message `number`; `followed` has later messages, too."""
    place = next((n for n, (a, b) in enumerate(zip(alone, followed, strict=False)) if a != b), len(alone))
    reasons = REASONING in str(messages[number]["content"])
    subject = "the reasoning of earlier turns" if reasons else f"a message of the role {messages[number]['role']!r}"
    return (
        f"the template renders {subject} differently once a later message follows",
        f"{alone[place:][:SHOWN]!r} becomes {followed[place:][:SHOWN]!r}",
    )
