"""Brings trajectories that other programs wrote into the form in which applejack records its own."""

from pydantic import JsonValue

from config.records import JsonObject, parsed_arguments


def as_recorded(record: JsonObject) -> JsonObject:
    """The trajectory with texts instead of lists of text parts, arguments as objects, and an id of its own per call.

    A server that counts its ids anew in each response repeats them. The result after such a call is its own, so both
    get a new id. Two calls that wait for a result under the same id stay as they are: curation rejects them.
    """
    messages = record.get("messages")
    if not isinstance(messages, list):
        return record
    ids = _Ids()
    return record | {"messages": [_message(message, ids) for message in messages]}


class _Ids:
    """The ids given so far."""

    def __init__(self) -> None:
        self._current: dict[str, str] = {}
        self._waiting: set[str] = set()

    def of_call(self, given: str) -> str:
        number, unique = 1, given
        while given not in self._waiting and unique in self._current.values():
            number += 1
            unique = f"{given or 'call'}-{number}"
        self._waiting.add(given)
        self._current[given] = unique
        return unique

    def of_result(self, given: str) -> str:
        self._waiting.discard(given)
        return self._current.get(given, given)


def _message(message: JsonValue, ids: _Ids) -> JsonValue:
    if not isinstance(message, dict):
        return message
    changed: JsonObject = {**message}
    if isinstance(content := message.get("content"), list):
        changed["content"] = _text(content)
    if isinstance(calls := message.get("tool_calls"), list):
        changed["tool_calls"] = [_call(call, ids) for call in calls]
    if isinstance(answered := message.get("tool_call_id"), str):
        changed["tool_call_id"] = ids.of_result(answered)
    return changed


def _call(call: JsonValue, ids: _Ids) -> JsonValue:
    if not isinstance(call, dict):
        return call
    changed: JsonObject = {**call, "arguments": parsed_arguments(call.get("arguments"))}
    if isinstance(given := call.get("id"), str):
        changed["id"] = ids.of_call(given)
    return changed


def _text(parts: list[JsonValue]) -> JsonValue:
    """The joined text of text parts, as servers join them; the list itself if it holds anything else."""
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    return "".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else parts
