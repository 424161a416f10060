"""Copies the `turns` rows to parquet, the format of dataset hubs. Only this module imports pyarrow.

Columns: `messages`, `tools` as JSON text, and `job_id`. The arguments of a call are JSON text, as in OpenAI's API: as a
parquet struct, every object would have the keys of all others, filled with nulls. Trainers read the .jsonl files.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pydantic import JsonValue

from config.errors import UsageError
from config.records import JsonObject

ROWS = 1000  # per row group: about 10 MB, the most that is in memory


def require() -> None:
    """Raise UsageError if pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401 - fail before the long curation, not after it
    except ImportError as error:
        raise UsageError(
            f"--format parquet needs pyarrow, which is not installed ({error}); install it with "
            "`uv pip install 'applejack[parquet]'` (or -e '.[parquet]' in a checkout), or use --format turns"
        ) from error


def copy(source: Path, target: Path) -> None:
    """Write the rows of a .jsonl file as parquet. The bytes depend only on the rows and the pyarrow version."""
    import pyarrow
    import pyarrow.parquet

    call = pyarrow.struct(
        {
            "id": pyarrow.string(),
            "type": pyarrow.string(),
            "function": pyarrow.struct({"name": pyarrow.string(), "arguments": pyarrow.string()}),
        }
    )
    message = pyarrow.struct(
        {
            "role": pyarrow.string(),
            "content": pyarrow.string(),
            "tool_calls": pyarrow.list_(call),
            "tool_call_id": pyarrow.string(),
            "name": pyarrow.string(),
        }
    )
    schema = pyarrow.schema({"messages": pyarrow.list_(message), "tools": pyarrow.string(), "job_id": pyarrow.string()})
    with (
        source.open(encoding="utf-8", newline="\n") as lines,
        pyarrow.parquet.ParquetWriter(target, schema, compression="zstd") as writer,
    ):
        rows = map(_row, lines)
        while group := list(islice(rows, ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))


def _row(line: str) -> JsonObject:
    row = json.loads(line)
    tools = _text(row["tools"]) if "tools" in row else None
    return {"messages": list(_messages(row["messages"])), "tools": tools, "job_id": row["job_id"]}


def _messages(messages: list[JsonObject]) -> Iterator[JsonObject]:
    for message in messages:
        calls = message.get("tool_calls")
        yield message | {"tool_calls": [_call(call) for call in calls]} if isinstance(calls, list) else message


def _call(call: JsonValue) -> JsonObject:
    assert isinstance(call, dict)
    function = call["function"]
    assert isinstance(function, dict)
    return call | {"function": {"name": function["name"], "arguments": _text(function["arguments"])}}


def _text(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)
