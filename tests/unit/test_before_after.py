"""The end of the demo: questions with both answers side by side."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from config.records import Message, ToolCall, Trajectory
from config.report.comparison import Comparison, Flip
from config.report.model import Report
from producer.report.before_after import before_after


def flip(job_id: str, category: str, *, gained: bool = True) -> Flip:
    return Flip(job_id=job_id, category=category, prompt=f"question {job_id}?", gained=gained, first="no", second="yes")


def trajectory(job_id: str, answer: str, *, called: bool) -> Trajectory:
    call = ToolCall(id="c", name="grep", arguments={"pattern": "class Task[(:]"})
    found = Message(role="tool", tool_call_id="c", content="app/task.py:12: class Task(object):")
    looked = (Message(role="assistant", tool_calls=(call,)), found) if called else ()
    messages = (Message(role="user", content=f"question {job_id}?"), *looked, Message(role="assistant", content=answer))
    return Trajectory(run_id="r", job_id=job_id, prompt=f"question {job_id}?", messages=messages, outcome="completed")


def written(folder: Path, flips: tuple[Flip, ...]) -> Report:
    for phase, called in (("before", False), ("after", True)):
        answers = [trajectory(one.job_id, f"{phase} answers {one.job_id}", called=called) for one in flips]
        (folder / f"{phase}.jsonl").write_text("".join(f"{one.model_dump_json()}\n" for one in answers))
    return Report(run_id="r", student="s", identity="proof", comparison=Comparison(flipped=flips))


def test_three_gained_questions_of_different_categories_are_shown_with_calls_and_answers(tmp_path: Path) -> None:
    flips = (flip("1", "a"), flip("2", "a"), flip("3", "b"), flip("4", "c", gained=False), flip("5", "d"))
    shown = before_after(written(tmp_path, flips), tmp_path)
    assert shown is not None
    console = Console(width=200, record=True, file=StringIO())
    console.print(shown)
    text = " ".join(console.export_text().split())
    assert [number for number in "12345" if f"question {number}?" in text] == ["1", "3", "5"]
    assert text.count("no tool called") == 3
    assert text.count("grep {'pattern': 'class Task[(:]'}") == 3
    assert "app/task.py:12: class Task(object):" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_answers_are_whole_at_every_width(tmp_path: Path, width: int) -> None:
    shown = before_after(written(tmp_path, (flip("1", "a"),)), tmp_path)
    console = Console(width=width, record=True, file=StringIO())
    console.print(shown)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "question 1?" in text
    assert "before answers 1" in text
    assert ("app/task.py:12: class Task(object):" in text) or width == 80  # there in two lines of a cell


def test_nothing_is_shown_when_nothing_was_gained(tmp_path: Path) -> None:
    assert before_after(written(tmp_path, (flip("1", "a", gained=False),)), tmp_path) is None
