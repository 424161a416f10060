"""The cause of each answer that is not right."""

import pytest

from config.errors import FailureKind
from config.records import Failure, JsonObject, Message, ToolCall, Trajectory
from config.report.failure_causes import FailureCause
from worker.evaluate.cause_table import CAUSES
from worker.evaluate.causes import failure_causes

QUESTION = "Where is the class Task defined?"
EXPECT: JsonObject = {"paths": ["app/task.py"], "about": ["Task"]}
HIT, NOTHING = "app/task.py:160: class Task:", "no matches in 81 files"
GREP = ("grep", {"pattern": "class Task[(:]"}, HIT)
RIGHT = "Task is defined in app/task.py."
Call = tuple[str, JsonObject | str, str]


def answered(*calls: Call, answer: str | None = RIGHT, number: int = 1, **fields: object) -> Trajectory:
    messages = [Message(role="user", content=QUESTION)]
    for place, (name, arguments, result) in enumerate(calls):
        made = ToolCall(id=f"c{place}", name=name, arguments=arguments)
        messages.append(Message(role="assistant", tool_calls=(made,)))
        messages.append(Message(role="tool", tool_call_id=f"c{place}", content=result))
    if answer is not None:
        messages.append(Message(role="assistant", content=answer))
    given: dict[str, object] = {"run_id": "r", "job_id": f"{number:06d}-0", "prompt": QUESTION, "outcome": "completed"}
    given |= {"category": "where_defined", "expect": EXPECT, "messages": messages}
    return Trajectory.model_validate(given | fields)


def the_cause(trajectory: Trajectory) -> FailureCause:
    (cause,) = failure_causes([trajectory])
    return cause


FAILED: list[tuple[str, Trajectory]] = [
    (
        "did_not_run",
        answered(answer=None, outcome="failed", failure=Failure(kind=FailureKind.TIMEOUT, message="180 s")),
    ),
    ("ran_away", answered(GREP, answer="app app app app app app app app app app app", finish_reasons=["length"])),
    ("looped", answered(GREP, GREP, GREP, answer="It is in bin.py.")),
    ("looped", answered(GREP, GREP, GREP)),  # a right answer at the end of a loop is a loop all the same
    ("malformed_call", answered(("grep", "class Task", "not an object"), answer="I could not search.")),
    ("malformed_call", answered(GREP, answer='{"name": "read_file", "arguments": {"path": "app/task.py"}}')),
    ("cut_call", answered(answer='<tool_call>\n{"name": "grep", "argum', finish_reasons=["length"])),
    ("no_tool_called", answered(answer="Task is defined in app/base.py.")),
    ("no_tool_called", answered()),  # right by chance
    ("needless_tool", answered(GREP, requires_tools=False, expect={"no_call": True})),
    ("invented", answered(GREP, answer=f"{RIGHT}\nUser: And where is the class Context?")),
    ("wrong_tool", answered(("count", {"pattern": "class Task"}, "1 matching line"), answer="There is one.")),
    ("name_miscopied", answered(("grep", {"pattern": "class Tasks[(:]"}, NOTHING), answer="It is in app/tasks.py.")),
    ("answered_after_nothing", answered(("grep", {"pattern": "class Task:x"}, NOTHING), answer="It is in app/a.py.")),
    ("searched_in_vain", answered(("grep", {"pattern": "class Task[(:]"}, NOTHING), answer="There is no class Task.")),
    ("empty", answered(GREP, answer="")),
    ("cut_answer", answered(GREP, answer="Task is defined in the file", finish_reasons=["tool_calls", "length"])),
    ("right_result_wrong_answer", answered(GREP, answer="Task is defined in app/base.py.")),
    ("wrong_call", answered(("grep", {"pattern": "Task"}, "bin/a.py:3: # Task"), answer="Task is in bin/a.py.")),
    ("unsupported", answered(GREP, answer="Task is defined in app/base.py.", expect=None)),
    (
        "did_not_finish",
        answered(GREP, answer=None, outcome="failed", failure=Failure(kind=FailureKind.TIMEOUT, message="1 s")),
    ),
    ("wrong_answer", answered(answer="5", requires_tools=False, expect={"number": 12})),
    ("repeated_itself", answered(answer=f"{RIGHT} {RIGHT} {RIGHT}", requires_tools=False, expect=None)),
]


@pytest.mark.parametrize(("name", "failed"), FAILED)
def test_cause_of_each_failure(name: str, failed: Trajectory) -> None:
    cause = the_cause(failed)
    assert cause.cause == name
    assert (cause.count, cause.of, cause.categories) == (1, 1, {"where_defined": 1})
    assert cause.examples[0].detail
    assert "{" not in cause.help


def test_every_cause_is_tested() -> None:
    assert {cause.name for cause in CAUSES} == {name for name, _ in FAILED}


def test_right_answers_have_no_cause() -> None:
    assert failure_causes([answered(GREP)]) == ()
    assert failure_causes([]) == ()


def test_causes_are_counted_once_an_answer_and_sorted() -> None:
    empty = [answered(GREP, answer="", number=n, category="a" if n % 4 else "b") for n in range(5)]
    wrong = [answered(GREP, answer="Task is defined in app/base.py.", number=n) for n in range(5, 8)]
    first, second = failure_causes([*wrong, answered(GREP, number=9), *empty])
    assert (first.cause, first.count, first.of) == ("empty", 5, 9)
    assert (second.cause, second.count, second.of) == ("right_result_wrong_answer", 3, 9)
    assert first.categories == {"a": 3, "b": 2}
    assert [len(first.examples), len(second.examples)] == [3, 3]
    assert {example.category for example in first.examples} == {"a", "b"}
    assert len({example.job_id for example in first.examples}) == 3


def test_example_holds_the_conversation_with_long_texts_cut() -> None:
    (example,) = the_cause(answered(("grep", {"pattern": "x"}, "y" * 2000), answer="In app/b.py.")).examples
    assert [turn.role for turn in example.turns] == ["user", "call", "tool", "assistant"]
    assert example.turns[1].text == 'grep {"pattern": "x"}'
    assert example.turns[2].text == "y" * 600 + " [... 1400 more characters]"
    assert example.expected == "paths: app/task.py; about: Task"
