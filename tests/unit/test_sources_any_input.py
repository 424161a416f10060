"""No input makes reading, auditing or writing raise."""

import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from config.errors import CurationError, UsageError
from config.records import JsonObject, Trajectory
from worker.curate import seed_text
from worker.curate.audit import audit
from worker.curate.sources import read

WORDS = st.sampled_from(
    [
        "",
        "q",
        "None",
        "<|im_start|>user\nq<|im_end|>",
        "<tool_call>\n{",
        '```json\n{"name": "a", "arguments": {}}\n```',
        "<|im_start|>",
    ]
)
TEXT = WORDS | st.text(max_size=20)
NAMES = (
    "query reasoning tool_calls answer messages metadata tool name args result role content text tools function "
    "arguments run_id job_id prompt outcome completed tool_call_id id split requires_tools seed_messages function_call"
)
KEYS = st.sampled_from(NAMES.split())
JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=6),
    max_leaves=20,
)
CALL = st.fixed_dictionaries({}, optional={"tool": TEXT, "name": JSON, "args": JSON, "result": JSON, "id": JSON})
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "robot"]) | JSON},
    optional={
        "content": JSON,
        "tool_calls": JSON | st.lists(CALL | st.fixed_dictionaries({"function": CALL}), max_size=3),
    },
)
SEED = st.fixed_dictionaries(
    {"query": TEXT | JSON},
    optional={"tool_calls": st.lists(CALL, max_size=4) | JSON, "answer": JSON, "messages": JSON, "metadata": JSON},
)
ROLLOUT = st.fixed_dictionaries(
    {"run_id": TEXT, "job_id": TEXT, "prompt": TEXT, "outcome": st.just("completed")},
    optional={"messages": st.lists(MESSAGE, max_size=4) | JSON, "tools": JSON, "split": JSON},
)
ROW = st.fixed_dictionaries(
    {}, optional={"text": TEXT | JSON, "messages": st.lists(MESSAGE, max_size=5) | JSON, "tools": JSON}
)
quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def lines_of(records: list[JsonValue | bytes]) -> list[bytes]:
    return [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]


def blankless(data: bytes) -> int:
    return sum(1 for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip())


@quick
@given(st.lists(SEED | ROLLOUT | JSON | st.binary(max_size=30), max_size=6), st.booleans())
def test_every_line_is_read_or_told_and_what_is_read_can_be_written(
    records: list[JsonValue | bytes], end: bool
) -> None:
    data = b"\n".join(lines_of(records)) + (b"\n" if end else b"")
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "in.jsonl"
        file.write_bytes(data)
        rows = list(read([file]))
    assert len(rows) == blankless(data)
    for row in rows:
        assert (row.trajectory is None) == bool(row.problem)
        if row.trajectory is not None:
            assert Trajectory.model_validate_json(row.trajectory.model_dump_json()) == row.trajectory
            try:
                text = seed_text.render(row.trajectory, seed_text.system_line(row.trajectory))
            except CurationError:
                continue
            text.encode()


@quick
@given(st.lists(ROW | JSON | st.binary(max_size=30), max_size=6))
def test_audit_counts_every_line(records: list[JsonValue | bytes]) -> None:
    data = b"\n".join(lines_of(records))
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "train.jsonl").write_bytes(data)
        (Path(directory) / "valid.jsonl").write_bytes(data)
        try:
            audited = audit([Path(directory)])
        except UsageError:  # no row at all
            return
    told: JsonObject = json.loads(json.dumps(audited.as_json()))
    rows, unreadable = told["rows"], told["unreadable"]
    assert isinstance(rows, dict)
    assert isinstance(unreadable, int)
    assert rows["train"] == rows["valid"]
    assert 2 * blankless(data) == unreadable + rows["train"] + rows["valid"]  # type: ignore[operator]
    assert told["leaked_rows"] == {"train-valid": rows["valid"]}
    assert audited.as_text()
