"""Reads recorded answers of several formats as trajectories, one JSON object per line.

    {"job_id", "outcome", "messages", ...}          a trajectory
    {"query", "tool_calls", "answer", ...}          the seed generator's record
    {"messages": [...]}                             a chat, calls as tool_calls or in the text
    {"text": "<|im_start|>..."}                     a chat in ChatML; a user turn "Tool result: ..." is a tool result
    {"prompt", "answer"}                            also question/instruction/input, response/output/completion

In an answer that is text, calls are parsed as <tool_call>, XML or fenced JSON. One stop token at its end is removed.
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
    """One line: an answer as a trajectory, or the problem with it."""

    file: Path
    line: int
    """counted from 1"""
    trajectory: Trajectory | None = None
    needs_tools: bool | None = None
    """None: not recorded"""
    problem: str | None = None


def read(paths: Sequence[Path]) -> Iterator[Recorded]:
    """Every non-blank line. Raises UsageError, before the first line, if a path is not a readable file."""
    for path in paths:
        try:
            path.open("rb").close()
        except OSError as error:
            raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}; give .jsonl files") from error
    return (recorded for path in paths for recorded in _read_file(path))


def require_record(paths: Sequence[Path]) -> None:
    """Raises UsageError, with the first problem, if no line is a recorded answer. Reads up to the first one."""
    problem = ""
    for recorded in read(paths):
        if recorded.trajectory is not None:
            return
        problem = problem or f": {recorded.file}:{recorded.line}: {recorded.problem}"
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
    """A record as a trajectory. Raises ValueError or ValidationError if it is not one."""
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
    required = {"run_id": run_id, "job_id": job, "prompt": prompt, "messages": messages, "outcome": "completed"}
    return Trajectory.model_validate(fields | required)


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
        return tuple(_chat([{"role": role, "content": content} for role, content in CHATML_TURN.findall(text)], job))
    answer = _first_text(record, ANSWER_KEYS)
    if answer is None:
        raise ValueError(f"no answer: a record needs 'messages', 'text' in ChatML, or one of {', '.join(ANSWER_KEYS)}")
    question = Message(role="user", content=_first_text(record, PROMPT_KEYS) or "")
    listed = tuple(_listed_calls(record.get("tool_calls"), job))
    results = tuple(_listed_results(record.get("tool_calls"), job))
    called = (Message(role="assistant", tool_calls=listed), *results) if listed else ()
    return (question, *called, *_parsed(answer, f"{job}/answer"))


def _chat(chat: Sequence[JsonValue], job: str) -> Iterator[Message]:
    """The messages of a chat. Results without an id belong to the calls before them, in order."""
    waiting: list[str] = []
    for place, message in enumerate(chat):
        if not isinstance(message, dict):
            raise ValueError(f"messages[{place}] is {repr(message)[:60]}, not an object")
        role, content = message.get("role"), message.get("content")
        text = content if isinstance(content, str) else ""
        if role == "assistant":
            listed = tuple(_listed_calls(message.get("tool_calls"), f"{job}/{place}"))
            with_calls = [Message(role="assistant", content=text, tool_calls=listed)] if listed else None
            for turn in with_calls or _parsed(text, f"{job}/{place}"):
                waiting += [call.id for call in turn.tool_calls]
                yield turn
        elif role == "tool" or (role == "user" and waiting and RESULT_TURN.match(text)):
            given = message.get("tool_call_id")
            call = given if isinstance(given, str) and given in waiting else (waiting[0] if waiting else None)
            waiting = [call_id for call_id in waiting if call_id != call]
            found = RESULT_TURN.match(text) if role == "user" else None
            result = found[1] if found else (content if isinstance(content, str) else None)
            yield Message(role="tool", content=result, tool_call_id=call, is_error=message.get("is_error") is True)
        elif role == "user":
            yield Message(role="user", content=text)
        elif role not in ("system", "developer"):
            raise ValueError(f"messages[{place}] has the role {role!r}; use system, user, assistant or tool")


def _parsed(text: str, row: str) -> Iterator[Message]:
    """An answer's text as messages: its calls with the prose before them, then the prose after them."""
    answer = parse_answer(STOP_TOKEN.sub("", text), row=row)
    if answer.calls:
        yield Message(role="assistant", content=answer.before, tool_calls=answer.calls)
    if answer.after or not answer.calls:
        yield Message(role="assistant", content=answer.after)


def _listed_calls(listed: JsonValue, row: str) -> Iterator[ToolCall]:
    """Calls in OpenAI's format, {"function": {"name", "arguments"}}, or flat with name or tool, arguments or args."""
    for place, call in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(call, dict):
            raise ValueError(f"tool_calls[{place}] is {repr(call)[:60]}, not an object")
        inner = call.get("function")
        function = inner if isinstance(inner, dict) else call
        name = function.get("name", function.get("tool"))
        arguments = function.get("arguments", function.get("args"))
        call_id = call.get("id")
        yield ToolCall(
            id=call_id if isinstance(call_id, str) and call_id else f"{row}/{place}",
            name=name if isinstance(name, str) else "",
            arguments=_arguments(arguments),
        )


def _listed_results(listed: JsonValue, row: str) -> Iterator[Message]:
    for call, parsed in zip(listed if isinstance(listed, list) else [], _listed_calls(listed, row), strict=True):
        if isinstance(call, dict) and "result" in call:
            result = call["result"]
            text = result if isinstance(result, str) or result is None else json.dumps(result)
            yield Message(role="tool", content=text, tool_call_id=parsed.id)


def _arguments(arguments: JsonValue) -> JsonObject | str:
    """The object. Text that is not a JSON object stays text."""
    if isinstance(arguments, str):
        try:
            value = json.loads(arguments)
        except (ValueError, RecursionError):
            return arguments
        return value if isinstance(value, dict) else arguments
    return arguments if isinstance(arguments, dict) else {} if arguments is None else json.dumps(arguments)


def _first_text(record: JsonObject, keys: Sequence[str]) -> str | None:
    return next((value for key in keys if isinstance(value := record.get(key), str)), None)
