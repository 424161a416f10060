"""Faults to plant in sound trajectories. `KINDS` maps a name to (expected reason, fault).

A fault takes a trajectory, a random generator and the other sound trajectories. It returns the broken trajectory, or
None if the fault cannot be planted, for example because there is no tool call.
"""

# ruff: noqa: ARG001, ARG005, D103 - every fault has the same signature, and its name in KINDS describes it
import random
import re
from collections.abc import Callable, Mapping, Sequence

from config.errors import FailureKind, RejectionReason
from config.records import Failure, JsonObject, Message, ToolCall, Trajectory

Fault = Callable[[Trajectory, random.Random, Sequence[Trajectory]], Trajectory | None]
R = RejectionReason


def change(trajectory: Trajectory, **fields: object) -> Trajectory:
    """A copy with changed fields."""
    return trajectory.model_copy(update=fields)


def with_messages(trajectory: Trajectory, messages: Sequence[Message]) -> Trajectory:
    """A copy with other messages."""
    return change(trajectory, messages=tuple(messages))


def tool_places(trajectory: Trajectory, *, errors: bool = False) -> list[int]:
    """Indexes of the results; those of failed calls only with `errors`."""
    return [i for i, m in enumerate(trajectory.messages) if m.role == "tool" and (errors or not m.is_error)]


def edit(trajectory: Trajectory, index: int, **fields: object) -> Trajectory:
    """A copy with one message changed."""
    messages = list(trajectory.messages)
    messages[index] = messages[index].model_copy(update=fields)
    return with_messages(trajectory, messages)


def last_result(**fields: object) -> Fault:
    """Change the last good result."""

    def fault(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
        places = tool_places(t)
        return edit(t, places[-1], **fields) if places else None

    return fault


def answer(make: Callable[[str], str], *, tools: bool | None = None) -> Fault:
    """Rewrite the answer. `tools`: only in conversations with tool calls, or without."""

    def fault(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
        if tools is not None and bool(t.tool_calls) != tools:
            return None
        return edit(t, len(t.messages) - 1, content=make(t.answer))

    return fault


def missing_result(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    places = tool_places(t)
    return with_messages(t, [m for i, m in enumerate(t.messages) if i != rng.choice(places[:1])]) if places else None


def every_result_missing(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    return with_messages(t, [m for m in t.messages if m.role != "tool"]) if t.tool_calls else None


def unknown_id(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    places = tool_places(t)
    return edit(t, places[0], tool_call_id="call-999") if places else None


def answered_twice(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    places = tool_places(t)
    if not places:
        return None
    messages = list(t.messages)
    messages.insert(places[0] + 1, messages[places[0]])
    return with_messages(t, messages)


def one_id_for_two(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    ids = [call.id for call in t.tool_calls]
    if len(ids) < 2:
        return None
    text = t.model_dump_json().replace(f'"{ids[1]}"', f'"{ids[0]}"')
    return Trajectory.model_validate_json(text)


def swapped_parallel(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    for index, message in enumerate(t.messages):
        if len(message.tool_calls) == 2:
            first, second = t.messages[index + 1], t.messages[index + 2]
            if first.content == second.content:
                return None
            moved = edit(t, index + 1, content=second.content)
            return edit(moved, index + 2, content=first.content)
    return None


def swapped_turns(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    places = tool_places(t)
    if len(places) < 2 or t.messages[places[0]].content == t.messages[places[1]].content:
        return None
    moved = edit(t, places[0], content=t.messages[places[1]].content)
    return edit(moved, places[1], content=t.messages[places[0]].content)


def borrowed_result(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    """Use a result of the same tool from another conversation."""
    places = tool_places(t)
    if not places:
        return None
    mine = t.messages[places[-1]]
    candidates = [
        m
        for other in rng.sample(list(others), min(60, len(others)))
        for m in other.messages
        if m.role == "tool" and m.name == mine.name and m.content != mine.content and not m.is_error
    ]
    return edit(t, places[-1], content=rng.choice(candidates).content) if candidates else None


def wrong_tool_name(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    places = tool_places(t)
    if not places:
        return None
    return edit(t, places[0], name="list_dir" if t.messages[places[0]].name != "list_dir" else "grep")


def result_first(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    places = tool_places(t, errors=True)
    if not places:
        return None
    messages = list(t.messages)
    result = messages.pop(places[0])
    messages.insert(1, result)
    return with_messages(t, messages)


def cut_result(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    """Cut off the part of the last result that the answer needs."""
    places = tool_places(t)
    if not places:
        return None
    content = t.messages[places[-1]].content or ""
    needed = [content.find(w) for w in re.findall(r"[\w./]{3,}", t.answer) if content.find(w) > 0]
    if not needed or "\n" not in content:
        return None
    return edit(t, places[-1], content=content[: max(needed)].rstrip())


def torn_line(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    """Cut off a grep result inside a path."""
    places = [i for i in tool_places(t) if t.messages[i].name == "grep" and "\n" in (t.messages[i].content or "")]
    if not places:
        return None
    content = t.messages[places[0]].content or ""
    return edit(t, places[0], content=content[: content.rindex("\n") + 5])


def phantom(*, result: bool) -> Fault:
    """A result logged as a call, without a result or with the same one again."""

    def fault(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
        places = tool_places(t)
        if not places:
            return None
        messages, real = list(t.messages), t.messages[places[-1]]
        ghost = [
            Message(
                role="assistant", content="", tool_calls=(ToolCall(id="ghost", name=real.name or "", arguments={}),)
            )
        ]
        if result:
            ghost.append(real.model_copy(update={"tool_call_id": "ghost"}))
        messages[places[-1] + 1 : places[-1] + 1] = ghost
        return with_messages(t, messages)

    return fault


def ignored_error(text: str) -> Fault:
    """The last call failed, but the answer is unchanged."""
    return last_result(content=text, is_error=True)


def from_memory(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    return with_messages(t, [t.messages[0], t.messages[-1]]) if t.tool_calls else None


def in_first_turn(text: str) -> Fault:
    """Put text before the first call."""

    def fault(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
        return edit(t, 1, content=text) if t.tool_calls else None

    return fault


def in_question(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    text = f"{t.prompt} <|im_end|>"
    return change(edit(t, 0, content=text), prompt=text)


def in_arguments(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    for index, message in enumerate(t.messages):
        for call in message.tool_calls:
            arguments = {**call.arguments, "path": "src<|im_start|>"} if isinstance(call.arguments, dict) else {}
            return edit(
                t, index, tool_calls=(call.model_copy(update={"arguments": arguments}), *message.tool_calls[1:])
            )
    return None


def markup_in_result(text: str) -> Fault:
    """Append markup to the last result."""

    def fault(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
        places = tool_places(t)
        return edit(t, places[-1], content=f"{t.messages[places[-1]].content}{text}") if places else None

    return fault


def split_markup(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    places = tool_places(t, errors=True)
    if not places or places[-1] + 1 != len(t.messages) - 1:
        return None
    first = edit(t, places[-1], content=f"{t.messages[places[-1]].content}<|im_")
    return edit(first, len(t.messages) - 1, content=f"end|>{t.answer}")


def cut_by_length(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    return change(t, finish_reasons=(*t.finish_reasons[:-1], "length"))


def no_last_message(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    return with_messages(t, t.messages[:-1])


def open_call(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    call = ToolCall(id="open", name="grep", arguments={"pattern": "zzz"})
    return edit(t, len(t.messages) - 1, tool_calls=(call,))


def again(*, times: int, respell: bool = False, alternate: bool = False) -> Fault:
    """Loop: repeat the last call, or alternate the last two, with the same results."""

    def fault(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
        pairs = [(i, t.messages[i], t.messages[i + 1]) for i in tool_pairs(t)]
        if len(pairs) < (2 if alternate else 1):
            return None
        cycle = pairs[-2:] if alternate else pairs[-1:]
        messages = list(t.messages[:-1])
        for turn in range(times):
            for _, calling, result in cycle:
                call = calling.tool_calls[0]
                arguments = _respelt(call.arguments) if respell else call.arguments
                key = f"{call.id}-{turn}"
                messages.append(
                    calling.model_copy(update={"tool_calls": (ToolCall(id=key, name=call.name, arguments=arguments),)})
                )
                messages.append(result.model_copy(update={"tool_call_id": key}))
        return with_messages(t, [*messages, t.messages[-1]])

    return fault


def tool_pairs(t: Trajectory) -> list[int]:
    """Indexes of assistant turns with a single successful call."""
    return [
        i
        for i, m in enumerate(t.messages[:-1])
        if len(m.tool_calls) == 1 and t.messages[i + 1].role == "tool" and not t.messages[i + 1].is_error
    ]


def _respelt(arguments: JsonObject | str) -> JsonObject | str:
    if not isinstance(arguments, dict):
        return arguments
    path = arguments.get("path")
    return {**arguments, "path": f"./{path}/" if isinstance(path, str) and path != "." else "."}


def many_calls(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    if not t.tool_calls:
        return None
    messages = list(t.messages[:-1])
    for number in range(12):
        call = ToolCall(id=f"more-{number}", name="count", arguments={"pattern": f"word{number}"})
        messages.append(Message(role="assistant", content="", tool_calls=(call,)))
        result = f"{number} matching lines in {number} of 214 files"
        messages.append(Message(role="tool", tool_call_id=call.id, name="count", content=result))
    return with_messages(t, [*messages, t.messages[-1]])


def emptied(text: str) -> Fault:
    """Replace every result by `text`, and leave the answer unchanged."""

    def fault(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
        asserted = re.search(r"\w+[./_]\w+|`|[A-Z]\w+[A-Z]|\d+ (?:files|lines)", _fresh(t))
        denies = re.search(r"not defined|no class", t.answer)
        if not tool_places(t) or denies or not asserted:
            return None
        return with_messages(t, [m.model_copy(update={"content": text}) if m.role == "tool" else m for m in t.messages])

    return fault


def _fresh(t: Trajectory) -> str:
    """The words of the answer that are not in the question."""
    words = set(re.findall(r"[\w./]+", t.prompt))
    return " ".join(word for word in re.findall(r"`?[\w./]+", t.answer) if word.strip("`") not in words)


def invented_file(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    if not tool_places(t):
        return None
    return edit(t, len(t.messages) - 1, content=f"{t.answer} See also src/plugins/shadow_registry.py.")


def wrong_count(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    if not tool_places(t):
        return None
    return edit(t, len(t.messages) - 1, content=f"{t.answer} There are {rng.randrange(700, 900)} files like this.")


def invented_symbols(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    if not tool_places(t):
        return None
    text = "The classes are `ShadowBroker`, `PhantomConsumer` and `GhostBackend`."
    return edit(t, len(t.messages) - 1, content=text)


def failed(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    return change(t, outcome="failed", failure=Failure(kind=FailureKind.TIMEOUT, message="180 s are over"))


def first_call(**fields: object) -> Fault:
    """Change the first successful call."""

    def fault(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
        for index in tool_pairs(t)[:1]:
            call = t.messages[index].tool_calls[0].model_copy(update=fields)
            return edit(t, index, tool_calls=(call,))
        return None

    return fault


def other_question(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    return edit(t, 0, content="How is the weather in Paris today?")


def answers_itself(t: Trajectory, rng: random.Random, others: Sequence[Trajectory]) -> Trajectory | None:
    return with_messages(t, [*t.messages, Message(role="assistant", content="Anything else?")])


JSON_CALL = '{"name": "grep", "arguments": {"pattern": "x"}}'
KINDS: Mapping[str, tuple[RejectionReason, Fault]] = {
    "one result missing": (R.NULL_RESULT, missing_result),
    "every result missing": (R.NULL_RESULT, every_result_missing),
    "result null": (R.NULL_RESULT, last_result(content=None)),
    "result for an unknown id": (R.UNPAIRED_RESULT, unknown_id),
    "call answered twice": (R.UNPAIRED_RESULT, answered_twice),
    "one id for two calls": (R.UNPAIRED_RESULT, one_id_for_two),
    "results of parallel calls swapped": (R.UNPAIRED_RESULT, swapped_parallel),
    "results of two turns swapped": (R.UNPAIRED_RESULT, swapped_turns),
    "result of another conversation": (R.UNPAIRED_RESULT, borrowed_result),
    "result under another tool's name": (R.UNPAIRED_RESULT, wrong_tool_name),
    "result before its call": (R.UNPAIRED_RESULT, result_first),
    "result cut where the answer begins": (R.UNSUPPORTED_CLAIM, cut_result),
    "result cut off inside a path": (R.UNPAIRED_RESULT, torn_line),
    "phantom call without result": (R.PHANTOM_CALL, phantom(result=False)),
    "phantom call with the result again": (R.PHANTOM_CALL, phantom(result=True)),
    "[Tool execution completed]": (R.PLACEHOLDER_RESULT, last_result(content="[Tool execution completed]")),
    "None as the result": (R.PLACEHOLDER_RESULT, last_result(content="None")),
    "null as the result": (R.PLACEHOLDER_RESULT, last_result(content="null\n")),
    "template left over": (R.PLACEHOLDER_RESULT, last_result(content="{{ tool_output }}")),
    "<tool output here>": (R.PLACEHOLDER_RESULT, last_result(content="<tool output here>")),
    "error ignored": (R.RETRY_UNANSWERED, ignored_error("there is no 'src/x.py' in the workspace")),
    "retry request ignored": (
        R.RETRY_UNANSWERED,
        ignored_error("1 validation error\n\nFix the errors and try again."),
    ),
    "answered from memory": (R.TOOLS_REQUIRED_BUT_NONE, from_memory),
    "call as JSON in the answer": (R.LEAKED_TOOL_CALL, answer(lambda text: f"{text}\n{JSON_CALL}")),
    "call in a fence": (R.LEAKED_TOOL_CALL, answer(lambda text: f"{text}\n```json\n{JSON_CALL}\n```")),
    "call in tags": (R.LEAKED_TOOL_CALL, answer(lambda text: f"<tool_call>\n{JSON_CALL}\n</tool_call>\n{text}")),
    "unclosed call tag": (R.LEAKED_TOOL_CALL, answer(lambda text: f"{text}\n<tool_call>\n")),
    "half a call tag": (R.LEAKED_TOOL_CALL, answer(lambda text: f"{text}\n</tool_call")),
    "Qwen3-Coder XML call": (
        R.LEAKED_TOOL_CALL,
        answer(lambda text: f"{text}\n<function=grep>\n<parameter=pattern>\nx\n</parameter>\n</function>"),
    ),
    "call as Python": (R.LEAKED_TOOL_CALL, answer(lambda text: f'{text}\ngrep(pattern="x")', tools=True)),
    "ReAct call": (R.LEAKED_TOOL_CALL, answer(lambda text: f'{text}\nAction: grep\nAction Input: {{"pattern": "x"}}')),
    "JSON call cut off": (R.LEAKED_TOOL_CALL, answer(lambda text: f'{text}\n{{"name": "grep", "arguments": {{"pat')),
    "call announced, not made": (R.LEAKED_TOOL_CALL, answer(lambda text: "I'll use the grep tool.", tools=True)),
    "call text before a call": (R.LEAKED_TOOL_CALL, in_first_turn(f"```json\n{JSON_CALL}\n```")),
    "<|im_end|> in the answer": (R.CHAT_MARKUP, answer(lambda text: f"{text}<|im_end|>")),
    "invented user turn in ChatML": (R.CHAT_MARKUP, answer(lambda text: f"{text}\n<|im_start|>user\nand then?")),
    "invented user turn in words": (R.CHAT_MARKUP, answer(lambda text: f"{text}\nUser: and now?\nAssistant: more.")),
    "invented tool result": (R.CHAT_MARKUP, answer(lambda text: f"{text}\nTool result: app.py:1: x")),
    "tool_response tag in the answer": (R.CHAT_MARKUP, answer(lambda text: f"<tool_response>\n{text}")),
    "half a control token": (R.CHAT_MARKUP, answer(lambda text: f"{text}\n<|im_start")),
    "Llama header in the answer": (
        R.CHAT_MARKUP,
        answer(lambda text: f"{text}<|start_header_id|>user<|end_header_id|>"),
    ),
    "markup in the question": (R.CHAT_MARKUP, in_question),
    "markup in arguments": (R.CHAT_MARKUP, in_arguments),
    "markup in a result": (R.CHAT_MARKUP, markup_in_result("\n<|endoftext|>")),
    "call tags in a result": (R.CHAT_MARKUP, markup_in_result("\n</tool_call>")),
    "markup split across messages": (R.CHAT_MARKUP, split_markup),
    "cut by max_tokens": (R.TRUNCATED, cut_by_length),
    "answer ends inside a fence": (R.TRUNCATED, answer(lambda text: f"{text}\n```python\ndef f(")),
    "answer empty": (R.EMPTY_ANSWER, answer(lambda text: "")),
    "answer of white space": (R.EMPTY_ANSWER, answer(lambda text: " \n\t")),
    "answer None": (R.EMPTY_ANSWER, answer(lambda text: "None")),
    "no answer": (R.EMPTY_ANSWER, no_last_message),
    "ends in an open call": (R.EMPTY_ANSWER, open_call),
    "same call again": (R.REPEATED_CALL, again(times=1)),
    "same call in another spelling": (R.REPEATED_CALL, again(times=1, respell=True)),
    "A, B, A, B": (R.REPEATED_CALL, again(times=1, alternate=True)),
    "fourteen calls": (R.TOO_MANY_CALLS, many_calls),
    "sure answer after no matches": (R.UNSUPPORTED_CLAIM, emptied("no matches in 214 files")),
    "sure answer after empty text": (R.NULL_RESULT, emptied("")),
    "file that is not in any result": (R.UNSUPPORTED_CLAIM, invented_file),
    "count that no result supports": (R.UNSUPPORTED_CLAIM, wrong_count),
    "symbols that are not in any result": (R.UNSUPPORTED_CLAIM, invented_symbols),
    "arguments are not an object": (R.MALFORMED, first_call(arguments='{"pattern": "x')),
    "call of an unknown tool": (R.MALFORMED, first_call(name="search_web")),
    "required argument missing": (R.MALFORMED, first_call(arguments={"glob_": "*"})),
    "another question": (R.MALFORMED, other_question),
    "assistant answers itself": (R.MALFORMED, answers_itself),
    "failed rollout": (R.FAILED_GENERATION, failed),
}
