"""The detectors of worker/evaluate/findings against the labelled answers, and the borders between findings."""

import pytest

from benchmarks.findings import Agreement, agreements, read
from config.records import JsonObject
from worker.evaluate.answer_files import is_answer
from worker.evaluate.call_parsing import is_cut, parse_answer
from worker.evaluate.json_prefix import is_json_prefix
from worker.evaluate.record_fields import is_single, needs_tools
from worker.evaluate.recorded import to_trajectory
from worker.evaluate.score import AnswerFault, AnswerScore, observe

LEAST_LABELLED = 8
PRECISION, RECALL = 0.95, 0.90
ANSWERS = read()
OPEN = '<tool_call>\n{"name": "grep", "arguments": {"pattern": "class Task"}}'
CUT = '<tool_call>\n{"name": "grep", "arguments": {"pattern": "class Ta'


def scored(record: JsonObject) -> AnswerScore:
    assert is_answer(record)
    trajectory = to_trajectory(record, run_id="r", number=1)
    return observe(trajectory, needs_tools=needs_tools(record), single=is_single(record))


def details(record: JsonObject) -> dict[str, str]:
    return {finding.fault.value: finding.detail for finding in scored(record).found}


def test_labelled_set_has_enough_of_every_finding() -> None:
    assert len(ANSWERS) >= 200
    assert {a.finding for a in agreements(ANSWERS) if a.labelled < LEAST_LABELLED} == set()


@pytest.mark.parametrize("agreement", agreements(ANSWERS), ids=lambda agreement: agreement.finding)
def test_finding_agrees_with_the_labels(agreement: Agreement) -> None:
    assert agreement.precision >= PRECISION, agreement.row()
    assert agreement.recall >= RECALL, agreement.row()


def test_detector_that_finds_nothing_would_fail_the_labels() -> None:
    blind = agreements([type(one)(one.id, one.part, one.labels, frozenset()) for one in ANSWERS])
    assert all(agreement.recall < RECALL for agreement in blind)


@pytest.mark.parametrize(
    ("behind", "finding"),
    [
        ("\n<tool_response>\napp/a.py:3: class Task:\n</tool_response>", "invented_result"),
        ("\nTool result: app/a.py", "invented_result"),
        ("<|im_end|>\n<|im_start|>user\nThanks", "invented_turn"),
        ("\nUser: and where is the class Context?", "invented_turn"),
    ],
)
@pytest.mark.parametrize("begun", [OPEN, CUT])
def test_what_follows_an_unclosed_call_is_seen(begun: str, behind: str, finding: str) -> None:
    found = details({"prompt": "q", "answer": begun + behind})
    assert finding in found
    assert ("cut_call" in found) == (begun == CUT)


def test_text_of_a_cut_call_is_the_evidence() -> None:
    assert details({"prompt": "q", "answer": CUT, "finish_reason": "length"}) == {"cut_call": CUT}
    call = to_trajectory({"prompt": "q", "answer": CUT}, run_id="r", number=1).tool_calls[0]
    assert (call.name, call.arguments) == ("grep", CUT)


@pytest.mark.parametrize(
    ("text", "names", "after"),
    [
        (OPEN, ["grep"], ""),
        (f"{OPEN}\nI wait.", ["grep"], "I wait."),
        (f"{OPEN}\n</tool_call>\nI wait.", ["grep"], "I wait."),
        (f"{OPEN}\n{OPEN}", ["grep", "grep"], ""),
        (f"{CUT}\n{OPEN}", ["grep", "grep"], ""),
        ("The tag `<tool_call>` opens a call.", [], "The tag `<tool_call>` opens a call."),
        ("<function=grep>\n<parameter=pattern>\nx\n</parameter>\n</function> done", ["grep"], "done"),
    ],
)
def test_only_the_call_belongs_to_the_call(text: str, names: list[str], after: str) -> None:
    parsed = parse_answer(text, row="1")
    assert ([call.name for call in parsed.calls], parsed.after) == (names, after)


@pytest.mark.parametrize(
    ("text", "is_prefix"),
    [
        ('{"a": "b', True),
        ('{"a": [1, 2', True),
        ('{"a": tr', True),
        ('{"a"', True),
        ("{", True),
        ('{"a": 1}', False),
        ("{a: 1", False),
        ("{'a': 1", False),
        ('{"a": 1} more', False),
        ('{"a" "b"', False),
    ],
)
def test_json_that_was_cut_is_told_from_json_that_is_wrong(text: str, is_prefix: bool) -> None:
    assert is_json_prefix(text) is is_prefix
    assert is_cut(text) is is_prefix
    assert not is_cut(f"<tool_call>\n{text}\n</tool_call>")


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ('{"name": "grep", "arguments": {"pattern": "cla', {"cut_call"}),  # no tag, and the text ends in the middle
        ('{"name": "grep", "arguments": {"pattern": "x"}}', {"call_in_text"}),  # whole, and nobody parses it
        ('```json\n{"name": "grep", "arguments": {"pattern": "cla', {"cut_call"}),
        ('<tool_call>\n{"name": "grep", "arguments": {"pattern": "x"}\n</tool_call>', {"malformed_call"}),
        ('<tool_call>\n{"name": "grep", "arguments": {"pattern": "x"}', {"cut_call"}),
        ('<tool_call>\n{"name": "grep", "arguments": {"pattern": "x"}}}\n</tool_call>', {"malformed_call"}),
        ('<function=grep>{"pattern": "x"}</function>', set()),
        ("<think>\nI look.\n</think>\n" + OPEN, set()),
    ],
)
def test_notation_and_end_of_a_call_decide(text: str, findings: set[str]) -> None:
    assert set(details({"prompt": "q", "answer": text})) == findings


def test_cut_answer_is_not_a_runaway_and_a_runaway_is_not_a_cut_answer() -> None:
    cut = scored({"prompt": "q", "answer": "A queue holds items, and the first one that", "finish_reason": "length"})
    ran = scored({"prompt": "q", "answer": "a queue is " * 20, "finish_reason": "length"})
    assert (cut.cut, cut.runaway, cut.repetition) == (True, False, False)
    assert (ran.cut, ran.runaway, ran.repetition) == (True, True, True)
    assert AnswerFault.CUT_ANSWER not in {finding.fault for finding in ran.found}


def test_first_call_alone_is_an_answer_only_where_nobody_ran_it() -> None:
    chat: JsonObject = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": OPEN}]}
    assert details({"prompt": "q", "answer": OPEN}) == {}
    assert set(details(chat)) == {"no_final_answer", "no_real_result"}


def test_kind_of_a_loop_is_in_the_detail() -> None:
    a, b = OPEN, OPEN.replace("Task", "Context")
    assert details({"prompt": "q", "answer": f"{a}\n{a}\n{a}"})["loop"].startswith("same call: ")
    assert details({"prompt": "q", "answer": f"{a}\n{b}\n{a}\n{b}"})["loop"].startswith("cycle: ")


def test_calls_that_differ_in_white_space_are_the_same_call() -> None:
    spaced = [OPEN, OPEN.replace("class Task", "class  Task"), OPEN.replace("class Task", "class Task ")]
    assert set(details({"prompt": "q", "answer": "\n".join(spaced)})) == {"loop"}


def test_placeholder_is_not_a_real_result() -> None:
    call = {"name": "grep", "args": {"pattern": "x"}, "result": "[Tool execution completed]"}
    assert "no_real_result" in details({"prompt": "q", "answer": "It is in a.py.", "tool_calls": [call]})


@pytest.mark.parametrize(
    ("pattern", "answer", "is_claim"),
    [
        ("shutdown", "There is nothing about a shutdown in this code.", False),  # "shut down" of the question
        ("SIGTERM", "I searched for SIGTERM and found nothing.", False),  # true of the search
        ("SIGTERM", "The worker never stops.", True),
        ("wroker", "I searched for wroker and found nothing.", True),  # a misspelling finds nothing by itself
        ("shutdown", "The worker drains its pool.", True),
    ],
)
def test_denial_in_answer_to_a_free_question_needs_a_search_for_it(pattern: str, answer: str, is_claim: bool) -> None:
    call = {"name": "grep", "args": {"pattern": pattern}, "result": "no matches in 81 files"}
    record: JsonObject = {"prompt": "How does the worker shut down?", "answer": answer, "tool_calls": [call]}  # type: ignore[dict-item, list-item]
    assert ("unsupported_claim" in details(record)) == is_claim


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ("utils/time.py:12: MAX_RETRIES = 3", "right_result"),
        ("utils/time.py:12: MAX_RETRIES = 9", "other_result"),
    ],
)
def test_wrong_answer_after_the_right_result_is_told_apart(result: str, kind: str) -> None:
    calls = [{"name": "grep", "args": {"pattern": "^MAX_RETRIES = "}, "result": result}]
    record: JsonObject = {"prompt": "What is the value of the constant MAX_RETRIES?", "answer": "MAX_RETRIES is 5."}
    score = scored(record | {"tool_calls": calls, "expect": {"number": 3, "about": ["MAX_RETRIES"]}})  # type: ignore[dict-item]
    assert [finding.kind for finding in score.found if finding.fault is AnswerFault.WRONG_ANSWER] == [kind]
