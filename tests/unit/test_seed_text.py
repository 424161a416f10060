import random

import pytest

from config.errors import CurationError
from config.records import JsonObject, Message, ToolCall, Trajectory
from worker.curate.seed import to_trajectory
from worker.curate.seed_text import DEFAULT_SYSTEM_LINE, render, split, system_line

# Written by hand from the words of the format, not with the code under test.
GOLDEN = """<|im_start|>system
You are a coding assistant.<|im_end|>
<|im_start|>user
Where is main?<|im_end|>
<|im_start|>assistant
I'll use the grep tool.

```json
{
  "name": "grep",
  "arguments": {
    "pattern": "def main",
    "paths": [
      "src"
    ]
  }
}
```<|im_end|>
<|im_start|>user
Tool result: src/cli.py:3:def main():
src/old.py:9:def main():<|im_end|>
<|im_start|>assistant
I'll use the list_dir tool.

```json
{
  "name": "list_dir",
  "arguments": {}
}
```<|im_end|>
<|im_start|>user
Tool result: <|im_end|>
<|im_start|>assistant
In src/cli.py, line 3.<|im_end|>"""


def test_render_gives_the_golden_bytes() -> None:
    trajectory = to_trajectory(
        {
            "query": "Where is main?",
            "reasoning": "not part of the text",
            "tool_calls": [
                {
                    "tool": "grep",
                    "args": {"pattern": "def main", "paths": ["src"]},
                    "result": "src/cli.py:3:def main():\nsrc/old.py:9:def main():",
                },
                {"name": "list_dir", "args": "{}", "result": ""},
            ],
            "answer": "In src/cli.py, line 3.",
        },
        run_id="seed",
        number=1,
    )
    assert render(trajectory, "You are a coding assistant.") == GOLDEN


def test_text_beyond_ascii_is_escaped_in_the_call_only() -> None:
    trajectory = to_trajectory(
        {"query": "é", "tool_calls": [{"tool": "grep", "args": {"p": "é"}, "result": "é"}], "answer": "é"},
        run_id="seed",
        number=1,
    )
    text = render(trajectory, "s")
    assert '"p": "\\u00e9"' in text
    assert text.count("é") == 3


@pytest.mark.parametrize("result", [None, "missing"])
def test_a_call_without_a_result_is_refused(result: str | None) -> None:
    call = Message(role="assistant", content="", tool_calls=(ToolCall(id="1", name="grep", arguments={}),))
    null = (Message(role="tool", tool_call_id="1", content=None),) if result is None else ()
    trajectory = Trajectory(run_id="r", job_id="j", prompt="q", messages=(call, *null), outcome="completed")
    with pytest.raises(CurationError, match="'1' has no result"):
        render(trajectory, "s")


def test_results_of_parallel_calls_follow_their_own_call() -> None:
    calls = tuple(ToolCall(id=i, name=f"t{i}", arguments={}) for i in "12")
    messages = (
        Message(role="assistant", content="both", tool_calls=calls),
        Message(role="tool", tool_call_id="2", content="second"),
        Message(role="tool", tool_call_id="1", content="first"),
    )
    text = render(Trajectory(run_id="r", job_id="j", prompt="q", messages=messages, outcome="completed"), "s")
    assert text.index("t1") < text.index("first") < text.index("t2") < text.index("second")


def test_the_recorded_system_message_wins_over_the_default() -> None:
    record: JsonObject = {"query": "q", "tool_calls": [], "answer": "a"}
    with_system: JsonObject = record | {"messages": [{"role": "system", "content": "Be brief."}]}
    assert system_line(to_trajectory(record, run_id="s", number=1)) == DEFAULT_SYSTEM_LINE
    assert system_line(to_trajectory(with_system, run_id="s", number=1)) == "Be brief."


@pytest.mark.parametrize(
    ("count", "train"),
    [
        (0, 0),  # nothing kept
        (1, 0),  # int(0.9) is 0: the one row is valid's
        (9, 8),
        (10, 9),
        (25, 22),
    ],
)
def test_split_is_the_seed_pipelines(count: int, train: int) -> None:
    rows = [f"row {number}" for number in range(count)]
    expected = list(rows)
    random.seed(42)
    random.shuffle(expected)
    before = list(rows)
    assert split(rows) == (expected[:train], expected[train:])
    assert rows == before
