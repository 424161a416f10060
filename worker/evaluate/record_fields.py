"""What the fields of a recorded answer say, whatever an evaluation script calls them."""

from collections.abc import Sequence

from config.records import CUT, JsonObject
from worker.evaluate.answer_files import ANSWER_KEYS, OF_TEXT


def is_single(record: JsonObject) -> bool:
    """Whether a record is one text, call or response of a chat API, and not a conversation in which calls were run."""
    chat, text = record.get("messages"), record.get("text")
    if "outcome" in record or (isinstance(text, str) and "<|im_start|>" in text and answer_text(record) is None):
        return False
    if isinstance(chat, list):  # a prompt of several messages, with the answer beside it
        return all(isinstance(turn, dict) and turn.get("role") in ("system", "user") for turn in chat)
    return not record.get("tool_calls") or is_only_called(record)


def is_only_called(record: JsonObject) -> bool:
    """Whether a record lists calls without results and without a text behind them."""
    listed = record.get("tool_calls")
    ran = any(isinstance(call, dict) and "result" in call for call in listed) if isinstance(listed, list) else False
    return "query" not in record and not ran and not (answer_text(record) or "").strip()


def finish_reason(record: JsonObject) -> str | None:
    """Why the generation ended, "length" if max_tokens cut it; None if it is not recorded."""
    choice = first_choice(record)
    names = ("finish_reason", "stop_reason")
    found = [holder.get(name) for holder in (record, choice or {}) for name in names]
    reason = next((value for value in found if isinstance(value, str)), None)
    return CUT if reason == "max_tokens" else reason


def first_choice(record: JsonObject) -> JsonObject | None:
    """The first choice of a chat API's response."""
    choices = record.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None


def needs_tools(record: JsonObject) -> bool | None:
    """Whether the record says that its question needs tools; None if it does not say."""
    metadata = record.get("metadata")
    for holder in (record, metadata if isinstance(metadata, dict) else {}):
        if isinstance(needed := holder.get("requires_tools"), bool):
            return needed
    return None


def answer_text(record: JsonObject) -> str | None:
    """The answer, also if it is an object with a text."""
    for key in ANSWER_KEYS:
        value = record.get(key)
        if isinstance(value, dict):
            value = next((value[name] for name in OF_TEXT if isinstance(value.get(name), str)), None)
        if isinstance(value, str):
            return value
    failed = any(key in record and record[key] is None for key in ANSWER_KEYS)  # scripts write null for no answer
    return "" if failed else None


def first_text(record: JsonObject, keys: Sequence[str]) -> str | None:
    """The first of the fields that holds text."""
    return next((value for key in keys if isinstance(value := record.get(key), str)), None)
