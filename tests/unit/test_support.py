"""The notion of support: planted answers for each rule, and sound ones that resemble them.

tests/data/supported_answers.jsonl and unsupported_answers.jsonl hold one {question, calls, answer} a line, with calls
[tool, arguments, result, failed]. The results are those of applejack's tools on celery, click, kombu and rich.
"""

import json
from pathlib import Path

import pytest

from config.records import JsonObject, Message, ToolCall, Trajectory
from tests.support.trajectories import asks, call, says, told, trajectory, user
from worker.curate.checks.support.verdict import is_judged, unsupported

DATA = Path(__file__).parent.parent / "data"


def recorded(name: str) -> list[JsonObject]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def conversation(record: JsonObject) -> Trajectory:
    messages = [user(str(record["question"]))]
    for number, (tool, arguments, result, failed) in enumerate(record["calls"]):  # type: ignore[arg-type]
        messages.append(asks(ToolCall(id=f"c{number}", name=tool, arguments=arguments)))
        messages.append(told(result, f"c{number}", name=tool, error=failed))
    return trajectory([*messages, says(str(record["answer"]))])


def at_once(record: JsonObject) -> Trajectory:
    """The same conversation with all its calls in one turn, and the results in the other order."""
    sample = conversation(record)
    calls = asks(*sample.tool_calls, text="\n")
    results = [message for message in sample.messages if message.role == "tool"]
    return sample.model_copy(update={"messages": (sample.messages[0], calls, *results[::-1], sample.messages[-1])})


SUPPORTED, UNSUPPORTED = recorded("supported_answers.jsonl"), recorded("unsupported_answers.jsonl")


@pytest.mark.parametrize("record", SUPPORTED, ids=lambda record: record["answer"][:40])
@pytest.mark.parametrize("make", [conversation, at_once])
def test_a_sound_answer_is_supported(record: JsonObject, make: type) -> None:
    assert list(unsupported(make(record))) == []


@pytest.mark.parametrize("record", UNSUPPORTED, ids=lambda record: record["answer"][:40])
@pytest.mark.parametrize("make", [conversation, at_once])
def test_a_planted_claim_is_found(record: JsonObject, make: type) -> None:
    assert list(unsupported(make(record)))


QUESTION = user("Where is the class Widget0 defined?")
ASK = asks(call(pattern="class Widget0"))
HIT = told("shop/part0.py:3: class Widget0(Base):")


def after(result: Message, answer: str, **fields: object) -> list[str]:
    return list(unsupported(trajectory([QUESTION, ASK, result, says(answer)], **fields)))


def test_the_detail_quotes_what_is_not_supported() -> None:
    assert after(HIT, "It is defined in shop/part1.py.") == [
        "the answer leaves out 'shop/part0.py', which the results show",
        "the answer names 'shop/part1.py', which is not in any result",
    ]


NOT_EVIDENCE = [
    # what holds the name, and the answer that takes it for evidence
    ({"system_prompt": "Also look at shop/vault.py."}, "It is in shop/part0.py and shop/vault.py."),
    ({"system_prompt": "You answer questions about `ShopKeeper`."}, "`ShopKeeper` holds it, in shop/part0.py."),
]


@pytest.mark.parametrize(("fields", "answer"), NOT_EVIDENCE)
def test_the_system_prompt_is_not_evidence(fields: dict[str, str], answer: str) -> None:
    assert after(HIT, answer, **fields)


def test_a_name_of_the_question_is_neither_evidence_nor_a_claim() -> None:
    nothing = told("no matches in 81 files")
    assert after(HIT, "Widget0 is defined in shop/part0.py.") == []
    assert after(nothing, "Widget0 is not defined in the 81 files that I searched.") == []
    assert after(nothing, "Widget0 is defined in 81 files.")
    assert after(nothing, "Widget0 is a class of this code.")


EMPTY_RESULTS = [
    # foreign and own ways to say that there is nothing
    *("no matches in 81 files", "No results found.", "0 matches", "[]", '{"matches": []}', "exit code 1"),
    "Error: no such file",
]


@pytest.mark.parametrize("text", EMPTY_RESULTS)
def test_after_an_empty_result_only_an_honest_answer_is_supported(text: str) -> None:
    assert after(told(text), "There is no class Widget0 in this code.") == []
    assert after(told(text), "The class Widget0 is defined in shop/part0.py.")


FOREIGN = [
    # results in other formats: nothing is left out or cited wrongly just because its lines are not read
    ('{"matches": [{"file": "shop/part0.py", "text": "class Widget0(Base):"}]}', "It is in `shop/part0.py`."),
    ("Found 1 match\nshop/part0.py\n  Line 3: class Widget0(Base):", "shop/part0.py defines it on line 3."),
    ("shop/part0.py\n3:class Widget0(Base):", "Widget0 is in shop/part0.py."),
    ("/repo/shop/part0.py:3:class Widget0(Base):", "Widget0 is in `/repo/shop/part0.py`."),
    ("class Widget0(Base):\n    pass", "The class has an empty body and extends `Base`."),
]


@pytest.mark.parametrize(("text", "answer"), FOREIGN)
def test_results_of_other_tools_are_read_as_text(text: str, answer: str) -> None:
    talk = [QUESTION, asks(ToolCall(id="c1", name="search", arguments={"query": "Widget0"})), told(text, name="search")]
    assert list(unsupported(trajectory([*talk, says(answer)], tools=()))) == []
    assert list(unsupported(trajectory([*talk, says(f"{answer} See also `PhantomWidget`.")], tools=())))


def test_a_question_of_general_knowledge_needs_no_evidence() -> None:
    talk = [user("What is 40 plus 2?"), ASK, told("no matches in 81 files"), says("40 plus 2 is 42.")]
    assert list(unsupported(trajectory(talk, requires_tools=False))) == []


def test_only_a_completed_answer_after_a_result_is_judged() -> None:
    assert is_judged(trajectory([QUESTION, ASK, HIT, says("shop/part0.py")]))
    assert not is_judged(trajectory([QUESTION, says("shop/part0.py")]))
    assert not is_judged(trajectory([QUESTION, ASK, HIT]))
    assert not is_judged(trajectory([QUESTION, ASK, told(None), says("shop/part0.py")]))  # null_result finds it
    assert not is_judged(trajectory([QUESTION, ASK, HIT, says("shop/part0.py")], outcome="failed"))


def test_an_id_that_is_used_again_belongs_to_the_last_call() -> None:
    talk = [
        user("How many Python files are under the directory shop?"),
        asks(call("count", path="shop", glob="*.py")),
        told("3 files", name="count"),
        asks(call("count", path="docs", glob="*.py")),
        told("5 files", name="count"),
    ]
    assert list(unsupported(trajectory([*talk, says("There are 3 Python files under shop.")]))) == []
    assert list(unsupported(trajectory([*talk, says("There are 5 Python files under shop.")])))


def test_no_decorators_needs_a_look_at_the_line_above() -> None:
    question = user("Which decorators does the function sell have?")
    hits = told("shop/a.py:3: def buy():\nshop/b.py:9: def sell():")
    lines = told("8: \n9: def sell():\n10:     pass", "c2", name="read_file")
    read = asks(call("read_file", "c2", path="shop/b.py", start="8"))
    answer = says("The function sell has no decorators.")
    assert list(unsupported(trajectory([question, asks(call(pattern="def (buy|sell)")), hits, answer])))
    assert list(unsupported(trajectory([question, asks(call(pattern="def sell")), hits, read, lines, answer]))) == []
