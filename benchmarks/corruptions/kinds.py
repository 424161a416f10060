"""What a kind of corruption is, and the edits that several kinds share. `KINDS` is filled by the other files."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.corruptions.phrases import facts_of, listed, number_of, pair, state
from benchmarks.corruptions.pinned_code import Code, Version
from config.questions.wording import Question, parse
from config.records import JsonObject, Message, ToolCall, Trajectory
from worker.tools.patterns import RefusedError

Plant = Callable[[Trajectory, Code, random.Random], Trajectory | None]
"""Returns the broken trajectory, or None if the fault cannot be planted in this one."""

ANSWERED = ("plain", "parallel", "prose")
UNSUPPORTED = "unsupported_claim"
WRONG = "wrong_answer"
REPLAY = "replay_mismatch"
LISTS = ("subclasses", "importers", "parameters", "contents", "folder_files")
"""categories that ask for every item"""


@dataclass(frozen=True)
class Kind:
    """One kind of corruption."""

    name: str
    reasons: frozenset[str]
    """every reason that names it truly"""
    plant: Plant
    sets: tuple[str, ...]
    """sound sets that it is planted in"""
    needs_expect: bool = False
    """nothing but `expect` contradicts it, so that it is not planted without"""


KINDS: dict[str, Kind] = {}


def kind(
    name: str, *reasons: str, sets: tuple[str, ...] = ANSWERED, needs_expect: bool = False
) -> Callable[[Plant], Plant]:
    """Register a plant under its name."""

    def register(plant: Plant) -> Plant:
        assert name not in KINDS, name
        KINDS[name] = Kind(name, frozenset(reasons), plant, sets, needs_expect)
        return plant

    return register


def asked(t: Trajectory) -> Question:
    """The question; of the category "" if it has no wording of ours."""
    return parse(t.prompt) or Question("", {})


def change(t: Trajectory, **fields: object) -> Trajectory:
    """A copy with changed fields."""
    return t.model_copy(update=fields)


def edit(t: Trajectory, index: int, **fields: object) -> Trajectory:
    """A copy with one message changed."""
    messages = list(t.messages)
    messages[index] = messages[index].model_copy(update=fields)
    return change(t, messages=tuple(messages))


def answered(t: Trajectory, text: str | None) -> Trajectory | None:
    """A copy with another answer; None if it is the same one."""
    return edit(t, len(t.messages) - 1, content=text) if text and text != t.answer else None


def inserted(t: Trajectory, index: int, *messages: Message) -> Trajectory:
    """A copy with more messages, and a finish reason for each assistant turn among them."""
    told = [*t.messages[:index], *messages, *t.messages[index:]]
    reasons = ("tool_calls" if m.tool_calls else "stop" for m in told if m.role == "assistant")
    return change(t, messages=tuple(told), finish_reasons=tuple(reasons))


def results(t: Trajectory) -> list[int]:
    """Indexes of the results of calls that succeeded."""
    return [i for i, m in enumerate(t.messages) if m.role == "tool" and not m.is_error]


def evidence(t: Trajectory) -> str:
    """The text of every good result."""
    return "\n".join(t.messages[i].content or "" for i in results(t))


def result_of(t: Trajectory, tool: str) -> int | None:
    """Index of the first good result of a tool."""
    return next((i for i in results(t) if t.messages[i].name == tool), None)


def swap(text: str, old: str, new: str) -> str:
    """The text with every whole `old` replaced."""
    return re.sub(rf"(?<![\w./]){re.escape(old)}(?![\w/]|\.\w)", lambda _: new, text)


def says(text: str, item: str) -> bool:
    """Whether an item is in the text as a whole name, path or number."""
    return swap(text, item, "\0") != text


def absent(pool: Sequence[str], text: str, rng: random.Random) -> str:
    """One of the pool that is not in the text; the pool is far larger than the text."""
    while says(text, item := rng.choice(pool)):
        pass
    return item


def items(t: Trajectory) -> list[str]:
    """The expected items, if the question asks for every one."""
    return facts_of(t.expect) if t.category in LISTS else []


def tell(t: Trajectory, expect: JsonObject, rng: random.Random) -> Trajectory | None:
    """A copy whose answer gives other facts for the same question."""
    question = asked(t)
    if question.category == "both_defined":
        paths = facts_of(expect)
        first = evidence(t).partition(":")[0]
        return answered(t, pair(question, *(paths if paths[0] == first else paths[::-1]), rng)) if paths else None
    return answered(t, state(question, expect, rng)) if question.category else None


def tell_items(t: Trajectory, names: Sequence[str], rng: random.Random) -> Trajectory | None:
    """A copy whose answer gives other items for the same question."""
    question = asked(t)
    return answered(t, listed(question, list(names), rng)) if question.category and names else None


def tell_number(t: Trajectory, number: int, rng: random.Random) -> Trajectory | None:
    """A copy whose answer gives another number."""
    return tell(t, {"number": number}, rng) if number_of(t.expect) is not None and t.tool_calls else None


def called(t: Trajectory, code: Version, arguments: Mapping[str, JsonObject]) -> Trajectory:
    """A copy whose calls have other arguments, by id, with the real results of this version of the code."""
    messages = []
    for message in t.messages:
        calls = tuple(c.model_copy(update={"arguments": arguments.get(c.id, c.arguments)}) for c in message.tool_calls)
        messages.append(message.model_copy(update={"tool_calls": calls}))
    by_id = {call.id: call for message in messages for call in message.tool_calls}
    for index, message in enumerate(messages):
        if message.role == "tool" and (call := by_id.get(message.tool_call_id or "")):
            content, failed = run(code, call.name, call.arguments)
            messages[index] = message.model_copy(update={"name": call.name, "content": content, "is_error": failed})
    return change(t, messages=tuple(messages))


def run(code: Version, tool: str, arguments: JsonObject | str) -> tuple[str, bool]:
    """The result of a call, and whether it failed."""
    try:
        return code.tools[tool](dict(arguments)), False  # type: ignore[arg-type]
    except RefusedError as error:
        return str(error), True


def single_call(t: Trajectory, code: Version, tool: str, arguments: JsonObject) -> Trajectory | None:
    """A copy in which this call is the only one; None if it fails."""
    if len(t.tool_calls) != 1:
        return None
    content, failed = run(code, tool, arguments)
    call = t.tool_calls[0].model_copy(update={"name": tool, "arguments": arguments})
    place = next(i for i, m in enumerate(t.messages) if m.tool_calls)
    made = edit(edit(t, place, tool_calls=(call,)), place + 1, name=tool, content=content, is_error=failed)
    return None if failed else made


def one_more_call(t: Trajectory, code: Code, tool: str, arguments: JsonObject) -> Trajectory:
    """A copy with one more real call before the answer."""
    content, failed = run(code.pinned, tool, arguments)
    call = ToolCall(id="call-more", name=tool, arguments=arguments)
    result = Message(role="tool", tool_call_id=call.id, name=tool, content=content, is_error=failed)
    return inserted(t, len(t.messages) - 1, Message(role="assistant", content="", tool_calls=(call,)), result)
