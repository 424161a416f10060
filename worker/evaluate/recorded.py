"""Reads recorded answers of several formats as trajectories; worker/evaluate/answer_files.py finds them in a file.

    {"job_id", "outcome", "messages", ...}          a trajectory
    {"query", "tool_calls", "answer", ...}          the seed generator's record
    {"messages": [...]}                             a chat, calls as tool_calls or in the text
    {"text": "<|im_start|>..."}                     a chat in ChatML; a user turn "Tool result: ..." is a tool result
    {"prompt", "answer"}                            also question/instruction/input, response/output/completion
    {"prompt", "choices": [{"message": ...}]}       a response of a chat API

In an answer that is text, calls are parsed as <tool_call>, XML or fenced JSON. One stop token at its end is removed.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue, ValidationError

from config.errors import UsageError
from config.records import JOB_DIGITS, JsonObject, Message, ToolCall, Trajectory
from worker.curate import seed
from worker.curate.jsonlines import first_error
from worker.curate.sources import is_superseded, last_attempts
from worker.evaluate.answer_files import ANSWER_KEYS, PROMPT_KEYS, entries
from worker.evaluate.call_parsing import parse_answer
from worker.evaluate.record_fields import (
    answer_text,
    finish_reason,
    first_choice,
    first_text,
    is_only_called,
    is_single,
    needs_tools,
)

KEPT_KEYS = ("category", "expect", "seconds", "finish_reasons")
CHATML_TURN = re.compile(r"<\|im_start\|>(\w+)\n?(.*?)(?:<\|im_end\|>|(?=<\|im_start\|>)|\Z)", re.S)
STOP_TOKEN = re.compile(r"(?:<\|im_end\|>|<\|endoftext\|>|<\|eot_id\|>|</s>)\s*\Z")
RESULT_TURN = re.compile(r"\s*(?:Tool result:\s*|<tool_response>\s*)(.*?)\s*(?:</tool_response>\s*)?\Z", re.S)


@dataclass(frozen=True)
class Recorded:
    """One answer as a trajectory, or the problem with it."""

    file: Path
    where: str
    """the number of its line, or the path to it in the file's JSON value"""
    line: int | None = None
    """counted from 1; None if the file is one JSON value"""
    trajectory: Trajectory | None = None
    needs_tools: bool | None = None
    """None: not recorded"""
    single: bool = False
    """a text without a conversation"""
    problem: str | None = None

    @property
    def place(self) -> str:
        """The file and the line or path, for a message."""
        return f"{self.file}:{self.where}" if self.where else str(self.file)


def read(paths: Sequence[Path]) -> Iterator[Recorded]:
    """Every answer, in reading order. Raises UsageError, before the first one, if a path is not a readable file.

    Of a run's job that ran again, as an archive holds it, the last attempt only.
    """
    for path in paths:
        try:
            path.open("rb").close()
        except OSError as error:
            raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}; give .json or .jsonl files") from error
    last = last_attempts(paths)
    return (found for path in paths for found in _read_file(path) if not is_superseded(found.trajectory, last))


def require_record(paths: Sequence[Path]) -> None:
    """Raises UsageError, with the first problem, if no file has a recorded answer. Reads up to the first one."""
    problem = ""
    for recorded in read(paths):
        if recorded.trajectory is not None:
            return
        problem = problem or f": {recorded.place}: {recorded.problem}"
    names = ", ".join(repr(str(path)) for path in paths)
    raise UsageError(f"no recorded answer in {names}{problem}")


def _read_file(path: Path) -> Iterator[Recorded]:
    for number, entry in enumerate(entries(path), 1):
        found = Recorded(path, entry.where, entry.line, problem=entry.problem)
        if entry.record is None:
            yield found
            continue
        try:
            trajectory = to_trajectory(entry.record, run_id=path.stem, number=entry.line or number)
        except ValidationError as error:
            yield replace(found, problem=first_error(error))
        except ValueError as error:
            yield replace(found, problem=str(error))
        else:
            needs, single = needs_tools(entry.record), is_single(entry.record)
            yield replace(found, trajectory=trajectory, needs_tools=needs, single=single)


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
    if (reason := finish_reason(record)) is not None:
        fields["finish_reasons"] = [reason]
    required = {"run_id": run_id, "job_id": job, "prompt": prompt, "messages": messages, "outcome": "completed"}
    return Trajectory.model_validate(fields | required)


def _messages(record: JsonObject, job: str) -> tuple[Message, ...]:
    chat, text, answer = record.get("messages"), record.get("text"), answer_text(record)
    if isinstance(chat, list):
        asked = bool(chat) and isinstance(chat[-1], dict) and chat[-1].get("role") == "user"
        answered: list[JsonValue] = [{"role": "assistant", "content": answer}] if asked and answer is not None else []
        return tuple(_chat([*chat, *answered], job))
    if isinstance(text, str) and "<|im_start|>" in text:
        return tuple(_chat([{"role": role, "content": content} for role, content in CHATML_TURN.findall(text)], job))
    question = Message(role="user", content=first_text(record, PROMPT_KEYS) or "")
    if (choice := first_choice(record)) is not None and answer is None:
        message = choice.get("message", {"content": choice.get("text")})
        return (question, *_chat([{"role": "assistant", **message} if isinstance(message, dict) else message], job))
    if answer is None:
        answer = text if isinstance(text, str) else None
    if answer is None:
        raise ValueError(f"no answer: a record needs 'messages', 'text' or one of {', '.join(ANSWER_KEYS)}")
    listed = tuple(_listed_calls(record.get("tool_calls"), job))
    results = tuple(_listed_results(record.get("tool_calls"), job))
    called = (Message(role="assistant", tool_calls=listed), *results) if listed else ()
    if listed and is_only_called(record):
        return (question, *called)
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
