"""A chat completion put together from the pieces in which an endpoint streams it.

The result is what the same endpoint answers to a request that is not streamed, so that nothing above knows of streams.
"""

from pydantic import JsonValue

from config.records import JsonObject


class CompletionAssembler:
    """What has come of one answer so far."""

    def __init__(self) -> None:
        self._frame: JsonObject = {}
        self._message: JsonObject = {"role": "assistant", "content": None}
        self._calls: list[JsonObject] = []
        self._places: dict[JsonValue, int] = {}
        self._finish_reason: JsonValue = None

    @property
    def finished(self) -> bool:
        """Whether the endpoint has said why it stopped; before that an answer may have been cut anywhere."""
        return self._finish_reason is not None

    def add(self, piece: JsonObject) -> bool:
        """Take the next one; True when something that a model wrote was in it. ValueError when it is no such piece."""
        frame = {key: value for key, value in piece.items() if key not in ("choices", "object") and value is not None}
        usage = {"usage": frame["usage"]} if "usage" in frame else {}  # the last one: some send a sum as they go
        self._frame = {**frame, **self._frame, **usage}
        choices = piece.get("choices") or []
        if not isinstance(choices, list):
            raise ValueError("choices is no list")
        if not choices:
            return False
        choice = _object(choices[0])
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        return self._say(_object(choice.get("delta") or {}))

    def completion(self) -> JsonObject:
        """The whole answer as a chat.completion."""
        message: JsonObject = dict(self._message)
        if self._calls:
            message["tool_calls"] = list(self._calls)
        choice: JsonObject = {"index": 0, "message": message, "finish_reason": self._finish_reason}
        return {**self._frame, "object": "chat.completion", "choices": [choice]}

    def _say(self, delta: JsonObject) -> bool:
        said = False
        for key, value in delta.items():
            if key == "role" or not value:
                continue
            said = True
            if key == "tool_calls":
                if not isinstance(value, list):
                    raise ValueError("tool_calls is no list")
                for call in value:
                    self._call(_object(call))
            else:
                self._message[key] = _longer(self._message.get(key), value)
        return said

    def _call(self, delta: JsonObject) -> None:
        function = _object(delta.get("function") or {})
        call = self._continued(delta, function)
        if call is None:
            self._places[delta.get("index")] = len(self._calls)
            written = {"name": "", "arguments": "", **_given(function)}
            self._calls.append({"id": "", "type": "function", **_given(delta), "function": written})
            self._calls[-1].pop("index", None)
            return
        whole = _object(call["function"])
        if (name := function.get("name")) and name != whole["name"]:  # some repeat it with every piece
            whole["name"] = _longer(whole["name"], name)
        whole["arguments"] = _longer(whole["arguments"], function.get("arguments") or "")

    def _continued(self, delta: JsonObject, function: JsonObject) -> JsonObject | None:
        """The call that a piece goes on with; None when it begins one.

        The index tells. Servers that give every call the same one, or none, tell by another id, or by a name again.
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
        raise ValueError(f"{value!r} is no object")
    return value


def _longer(before: JsonValue, more: JsonValue) -> JsonValue:
    """Text and lists go on; anything else is replaced."""
    if isinstance(before, str) and isinstance(more, str):
        return before + more
    if isinstance(before, list) and isinstance(more, list):
        return before + more
    return more
