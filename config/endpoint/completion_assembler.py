"""Assembles a chat completion from the chunks of a stream.

The result equals the endpoint's response to a request without streaming, so that callers need not know of streams.
"""

from pydantic import JsonValue

from config.records import JsonObject


class CompletionAssembler:
    """The part of one completion received so far."""

    def __init__(self) -> None:
        self._frame: JsonObject = {}
        self._message: JsonObject = {"role": "assistant", "content": None}
        self._calls: list[JsonObject] = []
        self._places: dict[JsonValue, int] = {}
        self._finish_reason: JsonValue = None

    @property
    def finished(self) -> bool:
        """Whether the finish_reason has arrived. Without it the answer may be incomplete."""
        return self._finish_reason is not None

    @property
    def has_call_arguments(self) -> bool:
        """Whether any text of a call's arguments has arrived."""
        return any(_object(call["function"])["arguments"] for call in self._calls)

    def add(self, chunk: JsonObject) -> bool:
        """Add the next chunk. Returns True if it has model output. Raises ValueError if it is not a chunk."""
        frame = {key: value for key, value in chunk.items() if key not in ("choices", "object") and value is not None}
        usage = {"usage": frame["usage"]} if "usage" in frame else {}  # the last: some send running totals
        self._frame = {**frame, **self._frame, **usage}
        choices = chunk.get("choices") or []
        if not isinstance(choices, list):
            raise ValueError("choices is not a list")
        if not choices:
            return False
        choice = _object(choices[0])
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        return self._add_delta(_object(choice.get("delta") or {}))

    def completion(self) -> JsonObject:
        """The whole response as a chat.completion."""
        message: JsonObject = dict(self._message)
        if self._calls:
            message["tool_calls"] = list(self._calls)
        choice: JsonObject = {"index": 0, "message": message, "finish_reason": self._finish_reason}
        return {**self._frame, "object": "chat.completion", "choices": [choice]}

    def _add_delta(self, delta: JsonObject) -> bool:
        has_output = False
        for key, value in delta.items():
            if key == "role" or not value:
                continue
            has_output = True
            if key == "tool_calls":
                if not isinstance(value, list):
                    raise ValueError("tool_calls is not a list")
                for call in value:
                    self._add_call(_object(call))
            else:
                self._message[key] = _extended(self._message.get(key), value)
        return has_output

    def _add_call(self, delta: JsonObject) -> None:
        function = _object(delta.get("function") or {})
        call = self._continued(delta, function)
        if call is None:
            self._places[delta.get("index")] = len(self._calls)
            written = {"name": "", "arguments": "", **_given(function)}
            self._calls.append({"id": "", "type": "function", **_given(delta), "function": written})
            self._calls[-1].pop("index", None)
            return
        whole = _object(call["function"])
        if (name := function.get("name")) and name != whole["name"]:  # some servers repeat the name in every chunk
            whole["name"] = _extended(whole["name"], name)
        whole["arguments"] = _extended(whole["arguments"], function.get("arguments") or "")

    def _continued(self, delta: JsonObject, function: JsonObject) -> JsonObject | None:
        """The call that a chunk continues; None if it begins a new call.

        The index decides. Where a server gives every call the same index, or none, a new id or a second name does.
        """
        place = self._places.get(delta.get("index"))
        if place is None:
            return None
        call = self._calls[place]
        begins = bool(function.get("name")) and (
            "index" not in delta or (bool(delta.get("id")) and delta["id"] != call["id"])
        )
        return None if begins else call


def _given(fields: JsonObject) -> JsonObject:
    return {key: value for key, value in fields.items() if value is not None}


def _object(value: JsonValue) -> JsonObject:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not an object")
    return value


def _extended(before: JsonValue, more: JsonValue) -> JsonValue:
    """Text and lists are appended to. Any other value is replaced."""
    if isinstance(before, str) and isinstance(more, str):
        return before + more
    if isinstance(before, list) and isinstance(more, list):
        return before + more
    return more
