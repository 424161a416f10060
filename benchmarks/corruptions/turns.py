"""Faults of the conversation: system prompts, turns that nobody asked for, ids and results of parallel calls, cuts."""

# ruff: noqa: ARG001, D103 - every plant has the same signature, and the name of its kind describes it
import random

from benchmarks.corruptions.kinds import (
    REPLAY,
    UNSUPPORTED,
    WRONG,
    answered,
    asked,
    change,
    edit,
    evidence,
    inserted,
    kind,
    run,
)
from benchmarks.corruptions.phrases import choose, facts_of
from benchmarks.corruptions.pinned_code import Code
from config.records import JsonObject, Message, ToolCall, Trajectory

MALFORMED = "malformed"
MARKUP = "chat_markup"
UNPAIRED = "unpaired_result"
NULL = "null_result"
SPLICED = (MALFORMED, MARKUP)
"""a conversation that is not the job's"""


@kind("system prompt of another run in one trajectory", MALFORMED)
def other_system(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return change(t, system_prompt=choose("system two", rng))


@kind("system prompt again as a user turn", *SPLICED)
def system_turn(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    place = rng.choice((0, 1, len(t.messages) - 1))
    return inserted(t, place, Message(role="user", content=choose("system two", rng)))


@kind("system prompt before the question", *SPLICED)
def system_before(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return edit(t, 0, content=f"{choose('system two', rng)}\n\n{t.prompt}")


@kind("text around the question", *SPLICED)
def around(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return edit(t, 0, content=choose(rng.choice(("extra before", "extra after")), rng, prompt=t.prompt))


@kind("user turn that was not asked, with an answer", *SPLICED, WRONG)
def second_question(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    turn = Message(role="user", content=choose("asked again", rng))
    return inserted(t, len(t.messages), turn, Message(role="assistant", content=choose("second answer", rng)))


@kind("user turn that was not asked, before the answer", *SPLICED)
def interrupted(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if not t.tool_calls:
        return None
    return inserted(t, len(t.messages) - 1, Message(role="user", content=choose("asked again", rng)))


@kind("conversation of another job before this one", *SPLICED)
def joined(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    question = Message(role="user", content=f"What is {rng.randrange(12, 99)} plus 7?")
    return inserted(t, 0, question, Message(role="assistant", content="That is more than 18."))


def _three(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    """The conversation with three calls of one tool in its first turn, all with real and distinct results."""
    if len(t.messages) < 4 or len(t.messages[1].tool_calls) != 2 or not evidence(t):
        return None
    first = t.messages[1].tool_calls[0]
    names = [n for n in rng.sample(code.names, 6) if len(n) > 5]
    wanted: list[tuple[str, JsonObject]] = [(first.name, dict(first.arguments))]  # type: ignore[arg-type]
    if first.name == "count":
        wanted += [("count", {"pattern": name}) for name in names[:2]]
    elif first.name == "grep":
        wanted += [("grep", {"pattern": f"(class|def) {name}[(:]"}) for name in names[:2]]
    if len(wanted) != 3:
        return None
    made = [run(code.pinned, *call)[0] for call in wanted]
    if len(set(made)) != 3:
        return None
    calls = tuple(ToolCall(id=f"call-{i:03d}", name=n, arguments=a) for i, (n, a) in enumerate(wanted, 1))
    told = [
        Message(role="tool", tool_call_id=call.id, name=call.name, content=text)
        for call, text in zip(calls, made, strict=True)
    ]
    turn = t.messages[1].model_copy(update={"tool_calls": calls})
    rest = t.messages[4:]
    return change(t, messages=(t.messages[0], turn, *told, *rest)) if asked(t).category != "both_defined" else None


@kind("three parallel results of one tool rotated", UNPAIRED, REPLAY, sets=("parallel",))
def rotated(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    made = _three(t, code, rng)
    if made is None:
        return None
    texts = [made.messages[i].content for i in (2, 3, 4)]
    for place, text in zip((2, 3, 4), (texts[1], texts[2], texts[0]), strict=True):
        made = edit(made, place, content=text)
    return made


@kind("results of two parallel counts swapped", UNPAIRED, REPLAY, UNSUPPORTED, sets=("parallel",))
def swapped_counts(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if [call.name for call in t.tool_calls] != ["count", "count"]:
        return None
    first, second = t.messages[2].content, t.messages[3].content
    return edit(edit(t, 2, content=second), 3, content=first) if first != second else None


@kind("one result for two parallel calls", UNPAIRED, REPLAY, UNSUPPORTED, sets=("parallel",))
def same_result(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if len({call.name for call in t.tool_calls}) != 1 or len(t.messages) < 5:
        return None
    first, second = t.messages[2].content, t.messages[3].content
    return edit(t, 3, content=first) if first != second and len(t.tool_calls) == 2 else None


@kind("both parallel results under one id", UNPAIRED, NULL, sets=("parallel",))
def one_id(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return edit(t, 3, tool_call_id=t.messages[2].tool_call_id) if len(t.messages[1].tool_calls) == 2 else None


@kind("two of three parallel calls with one id", UNPAIRED, MALFORMED, sets=("parallel",))
def reused_id(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    made = _three(t, code, rng)
    if made is None:
        return None
    calls = made.messages[1].tool_calls
    twice = (*calls[:2], calls[2].model_copy(update={"id": calls[0].id}))
    return edit(edit(made, 1, tool_calls=twice), 4, tool_call_id=calls[0].id)


@kind("one of two parallel results lost", NULL, sets=("parallel",))
def lost(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if len(t.messages[1].tool_calls) != 2:
        return None
    return change(t, messages=tuple(m for i, m in enumerate(t.messages) if i != 3))


@kind("finish reason length in a middle turn", "truncated")
def cut_middle(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return change(t, finish_reasons=("length", *t.finish_reasons[1:])) if len(t.finish_reasons) > 1 else None


@kind("half a sentence at the end, finish reason stop", "truncated")
def half_sentence(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    if not t.tool_calls or not t.answer.endswith((".", "`")):
        return None
    return answered(t, t.answer.removesuffix(".") + "." + choose("half sentence", rng))


@kind("answer cut inside its last name", "truncated", WRONG, UNSUPPORTED)
def cut_name(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    facts = [f for f in facts_of(t.expect) if len(f) > 7 and f in t.answer]
    if not facts or not t.tool_calls or t.category == "docstring":
        return None
    last = max(facts, key=t.answer.rfind)
    return answered(t, t.answer[: t.answer.rfind(last) + len(last) // 2])


@kind("answer only announces another call", "leaked_tool_call", "empty_answer", WRONG, UNSUPPORTED)
def announced(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    return answered(t, choose("announced", rng)) if t.tool_calls else None


@kind("thoughts in tags before the answer", MARKUP)
def thought(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    open_, close = rng.choice((("<think>", "</think>"), ("<thinking>", "</thinking>"), ("", "</think>")))
    return answered(t, f"{open_}\n{choose('think', rng)}\n{close}\n\n{t.answer}")


@kind("thoughts in tags beside a call", MARKUP)
def thought_beside(t: Trajectory, code: Code, rng: random.Random) -> Trajectory | None:
    text = f"<think>\n{choose('think', rng)}\n</think>"
    return edit(t, 1, content=text) if t.tool_calls else None
