"""Recorded answers in any of the forms people keep them in, one JSON object a line, read as trajectories.

    {"job_id", "outcome", "messages", ...}          a trajectory
    {"query", "tool_calls", "answer", ...}          the seed generator's record
    {"messages": [...]}                             a chat, calls as tool_calls or in the text
    {"text": "<|im_start|>..."}                     a chat in ChatML; a user turn "Tool result: ..." is a tool's result
    {"prompt", "answer"}                            also question/instruction/input, response/output/completion

In an answer that is text, calls are found as <tool_call>, XML or fenced JSON. One stop token at its end is its own.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue, ValidationError

from config.errors import UsageError
from config.records import JOB_DIGITS, JsonObject, Message, ToolCall, Trajectory
from worker.curate import seed
from worker.curate.jsonlines import first_error, numbered_lines, parse_object
from worker.evaluate.call_parsing import parse_answer

PROMPT_KEYS = ("prompt", "question", "instruction", "input", "query")
ANSWER_KEYS = ("answer", "response", "output", "completion", "generated", "generated_text", "model_output")
KEPT_KEYS = ("category", "expect", "seconds", "finish_reasons")
CHATML_TURN = re.compile(r"<\|im_start\|>(\w+)\n?(.*?)(?:<\|im_end\|>|(?=<\|im_start\|>)|\Z)", re.S)
STOP_TOKEN = re.compile(r"\s*(?:<\|im_end\|>|<\|endoftext\|>|<\|eot_id\|>|</s>)\s*\Z")
RESULT_TURN = re.compile(r"\s*(?:Tool result:\s*|<tool_response>\s*)(.*?)\s*(?:</tool_response>\s*)?\Z", re.S)


@dataclass(frozen=True)
class Recorded:
    """One line: an answer as a trajectory, or the problem that kept it from being one."""

    file: Path
    line: int
    """counted from 1"""
    trajectory: Trajectory | None = None
    needs_tools: bool | None = None
    """None: the record does not say"""
    problem: str | None = None


def read(paths: Sequence[Path]) -> Iterator[Recorded]:
    """Every line that is not blank. UsageError, before the first, when a path is no readable file."""
    for path in paths:
        try:
            path.open("rb").close()
        except OSError as error:
            raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}; give .jsonl files") from error
    return (one for path in paths for one in _read_file(path))


def require_record(paths: Sequence[Path]) -> None:
    """UsageError, with the first problem, when no line of the files is a recorded answer; reads up to the first."""
    problem = ""
    for one in read(paths):
        if one.trajectory is not None:
            return
        problem = problem or f": {one.file}:{one.line}: {one.problem}"
    names = ", ".join(repr(str(path)) for path in paths)
    raise UsageError(f"no recorded answer in {names}{problem}")


def _read_file(path: Path) -> Iterator[Recorded]:
    with path.open("rb") as file:
        for number, line in numbered_lines(file):
            try:
                record = parse_object(line)
                trajectory = to_trajectory(record, run_id=path.stem, number=number)
            except ValidationError as error:
                yield Recorded(path, number, problem=first_error(error))
            except ValueError as error:
                yield Recorded(path, number, problem=str(error))
            else:
                yield Recorded(path, number, trajectory, _needs_tools(record))


def to_trajectory(record: JsonObject, *, run_id: str, number: int) -> Trajectory:
    """A record as a trajectory; ValueError (a ValidationError is one) says why it is none."""
    if "outcome" in record and "messages" in record:
        return Trajectory.model_validate(record)
    if seed.looks_like_seed(record) and isinstance(record.get("tool_calls"), list):
        return seed.to_trajectory(record, run_id=run_id, number=number)
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    job = f"{number:0{JOB_DIGITS}d}-{digest[:8]}"
    messages = _messages(record, job)
    prompt = next((m.content for m in messages if m.role == "user" and m.content), "")
    fields = {key: record[key] for key in KEPT_KEYS if record.get(key) is not None}
    if isinstance(reason := record.get("finish_reason"), str):
        fields["finish_reasons"] = [reason]
    own = {"run_id": run_id, "job_id": job, "prompt": prompt, "messages": messages, "outcome": "completed"}
    return Trajectory.model_validate(fields | own)


def _needs_tools(record: JsonObject) -> bool | None:
    metadata = record.get("metadata")
    for holder in (record, metadata if isinstance(metadata, dict) else {}):
        if isinstance(needed := holder.get("requires_tools"), bool):
            return needed
    return None


def _messages(record: JsonObject, job: str) -> tuple[Message, ...]:
    chat, text = record.get("messages"), record.get("text")
    if isinstance(chat, list):
        return tuple(_chat(chat, job))
    if isinstance(text, str) and "<|im_start|>" in text:
        return tuple(_chat([{"role": role, "content": words} for role, words in CHATML_TURN.findall(text)], job))
    answer = _first_text(record, ANSWER_KEYS)
    if answer is None:
        raise ValueError(f"no answer: a record needs 'messages', 'text' in ChatML, or one of {', '.join(ANSWER_KEYS)}")
    asked = Message(role="user", content=_first_text(record, PROMPT_KEYS) or "")
    listed = tuple(_listed_calls(record.get("tool_calls"), job))
    results = tuple(_listed_results(record.get("tool_calls"), job))
    called = (Message(role="assistant", tool_calls=listed), *results) if listed else ()
    return (asked, *called, *_spoken(answer, f"{job}/answer"))


def _chat(chat: Sequence[JsonValue], job: str) -> Iterator[Message]:
    """Messages in chat form; results without an id answer the calls before them, in order."""
    waiting: list[str] = []
    for place, message in enumerate(chat):
        if not isinstance(message, dict):
            raise ValueError(f"messages[{place}] is {repr(message)[:60]}, not an object")
        role, content = message.get("role"), message.get("content")
        words = content if isinstance(content, str) else ""
        if role == "assistant":
            listed = tuple(_listed_calls(message.get("tool_calls"), f"{job}/{place}"))
            made = [Message(role="assistant", content=words, tool_calls=listed)] if listed else None
            for one in made or _spoken(words, f"{job}/{place}"):
                waiting += [call.id for call in one.tool_calls]
                yield one
        elif role == "tool" or (role == "user" and waiting and RESULT_TURN.match(words)):
            given = message.get("tool_call_id")
            call = given if isinstance(given, str) and given in waiting else (waiting[0] if waiting else None)
            waiting = [one for one in waiting if one != call]
            found = RESULT_TURN.match(words) if role == "user" else None
            text = found[1] if found else (content if isinstance(content, str) else None)
            yield Message(role="tool", content=text, tool_call_id=call, is_error=message.get("is_error") is True)
        elif role == "user":
            yield Message(role="user", content=words)
        elif role not in ("system", "developer"):
            raise ValueError(f"messages[{place}] has the role {role!r}; known are system, user, assistant, tool")


def _spoken(text: str, row: str) -> Iterator[Message]:
    """An answer's text as messages: its calls with what was said before them, then what was said at the end."""
    taken = parse_answer(STOP_TOKEN.sub("", text), row=row)
    if taken.calls:
        yield Message(role="assistant", content=taken.before, tool_calls=taken.calls)
    if taken.after or not taken.calls:
        yield Message(role="assistant", content=taken.after)


def _listed_calls(listed: JsonValue, row: str) -> Iterator[ToolCall]:
    """Calls in OpenAI's form, {"function": {"name", "arguments"}}, or flat with name or tool, arguments or args."""
    for place, call in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(call, dict):
            raise ValueError(f"tool_calls[{place}] is {repr(call)[:60]}, not an object")
        inner = call.get("function")
        made = inner if isinstance(inner, dict) else call
        name = made.get("name", made.get("tool"))
        arguments = made.get("arguments", made.get("args"))
        own = call.get("id")
        yield ToolCall(
            id=own if isinstance(own, str) and own else f"{row}/{place}",
            name=name if isinstance(name, str) else "",
            arguments=_arguments(arguments),
        )


def _listed_results(listed: JsonValue, row: str) -> Iterator[Message]:
    for call, made in zip(listed if isinstance(listed, list) else [], _listed_calls(listed, row), strict=True):
        if isinstance(call, dict) and "result" in call:
            result = call["result"]
            text = result if isinstance(result, str) or result is None else json.dumps(result)
            yield Message(role="tool", content=text, tool_call_id=made.id)


def _arguments(arguments: JsonValue) -> JsonObject | str:
    """The object; text that is no JSON object stays text."""
    if isinstance(arguments, str):
        try:
            value = json.loads(arguments)
        except (ValueError, RecursionError):
            return arguments
        return value if isinstance(value, dict) else arguments
    return arguments if isinstance(arguments, dict) else {} if arguments is None else json.dumps(arguments)


def _first_text(record: JsonObject, keys: Sequence[str]) -> str | None:
    return next((value for key in keys if isinstance(value := record.get(key), str)), None)
