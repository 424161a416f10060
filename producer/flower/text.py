"""Text of the pages' cells: times, durations, shares, results of stages."""

import json
import re
from datetime import UTC, datetime

from pydantic import JsonValue
from tornado.escape import xhtml_escape

from config.records import JsonObject

CELL = 300  # characters


def share(part: int, whole: int) -> str:
    """Percentage for the width of a bar; "0" if the whole is 0."""
    return f"{100 * part / whole:.2f}" if whole else "0"


def ago(moment: float | None) -> str:
    """Date and time in UTC; a dash for None."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC" if moment is not None else "-"


def result_cells(result: JsonObject) -> list[tuple[str, str]]:
    """A stage's result as names and values that fit into table cells."""
    return [(key.replace("_", " "), cell(value)) for key, value in result.items()]


def cell(value: JsonValue) -> str:
    """A value as text of at most CELL characters. An object becomes "a 1, b 2", a list "a, b"."""
    if isinstance(value, dict):
        text = ", ".join(f"{key} {item if isinstance(item, str) else json.dumps(item)}" for key, item in value.items())
    elif isinstance(value, list):
        text = ", ".join(item if isinstance(item, str) else json.dumps(item) for item in value)
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def code(sentence: str) -> str:
    """HTML of a sentence, escaped; what is between backticks becomes <code>. For {% raw %}."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", xhtml_escape(sentence))


def json_data(data: JsonValue) -> str:
    """JSON for a <script type="application/json">: no text in it can end the element. For {% raw %}."""
    return json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


HELPERS = {
    "ago": ago,
    "code": code,
    "facts": result_cells,
    "json_data": json_data,
    "share": share,
}
