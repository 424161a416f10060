import json

import pytest

from config.errors import FailureKind
from config.records import Failure, JsonObject, Message, ToolCall, Trajectory
from config.report.metrics import Rate, wilson
from worker.evaluate.rates import score, spread
from worker.evaluate.score import AnswerFault, observe

Messages = tuple[Message, ...]
GREP_RESULT = "app/base.py:3: class Task(Base):\n1 matching line in 1 of 12 files"


def ask(name: str, /, *, id: str | None = None, **arguments: str) -> Message:
    made = ToolCall(id=id or f"{name}-{json.dumps(arguments)}", name=name, arguments=dict(arguments))
    return Message(role="assistant", tool_calls=(made,))


def result(content: str | None, *, of: Message, is_error: bool = False) -> Message:
    return Message(role="tool", content=content, tool_call_id=of.tool_calls[0].id, is_error=is_error)


def says(text: str) -> Message:
    return Message(role="assistant", content=text)


GREP = ask("grep", pattern="class Task")
SOUND: Messages = (
    Message(role="user", content="Where is Task defined?"),
    GREP,
    result(GREP_RESULT, of=GREP),
    says("Task is defined in `app/base.py`, line 3."),
)


def trajectory(messages: Messages = SOUND, **fields: object) -> Trajectory:
    given: JsonObject = {
        "expect": {"contains": ["app/base.py"]},
        "finish_reasons": ["tool_calls", "stop"],
        "seconds": 2,
    }
    return Trajectory.model_validate(
        {"run_id": "r", "job_id": "j", "prompt": "p", "outcome": "completed"} | given | {"messages": messages} | fields
    )


def calls_then_answer(*calls: Message) -> Messages:
    between = tuple(part for call in calls for part in (call, result(GREP_RESULT, of=call)))
    return (SOUND[0], *between, SOUND[-1])


def faults(one: Trajectory) -> set[AnswerFault]:
    return {found.fault for found in observe(one, needs_tools=one.requires_tools).found}


def test_sound_trajectory_has_no_fault() -> None:
    assert faults(trajectory()) == set()


A, B, C = ask("count", path="a"), ask("count", path="b"), ask("count", path="c")
SWAPPED = ask("read", path="x", start="1")
TURNED = ask("read", start="1", path="x")
FENCED = '```json\n{"name": "grep", "arguments": {"pattern": "x"}}\n```'
PLANTED: list[tuple[AnswerFault, Trajectory]] = [
    (AnswerFault.LOOP, trajectory(calls_then_answer(GREP, GREP, GREP))),  # three times the same
    (
        AnswerFault.LOOP,
        trajectory(calls_then_answer(SWAPPED, A, TURNED, B, SWAPPED)),
    ),  # the order of arguments is no difference
    (AnswerFault.LOOP, trajectory(calls_then_answer(A, B, A, B))),  # to and fro
    (AnswerFault.LOOP, trajectory(calls_then_answer(GREP, A, B, C, A, B, C))),  # a longer circle, not at the start
    (
        AnswerFault.LOOP,  # it would have gone on
        trajectory(outcome="failed", failure=Failure(kind=FailureKind.REQUEST_LIMIT, message="6 requests")),
    ),
    (
        AnswerFault.NO_FINAL_ANSWER,
        trajectory(outcome="failed", failure=Failure(kind=FailureKind.TIMEOUT, message="180 s")),
    ),
    (AnswerFault.EMPTY_ANSWER, trajectory(SOUND[:-1])),  # ends with a result
    (AnswerFault.EMPTY_ANSWER, trajectory((*SOUND[:-1], says(" \n")))),  # white space is no answer
    (AnswerFault.CUT_ANSWER, trajectory(finish_reasons=["tool_calls", "length"])),
    (
        AnswerFault.NO_FINAL_ANSWER,
        trajectory((*SOUND, GREP.model_copy(update={"content": "Let me look."}))),
    ),  # a call last
    (AnswerFault.INVENTED_TURN, trajectory((*SOUND[:-1], says("app/base.py<|im_end|>\n<|im_start|>user\nThanks")))),
    (AnswerFault.INVENTED_TURN, trajectory((*SOUND[:-1], says("app/base.py\nUser: And where is the Worker class?")))),
    (AnswerFault.INVENTED_TURN, trajectory((*SOUND[:-1], says("app/base.py\n\n**Human:** thank you so much")))),
    (AnswerFault.INVENTED_TURN, trajectory((*SOUND[:-1], says("app/base.py\n### Instruction:\nList the files")))),
    (AnswerFault.INVENTED_TURN, trajectory((*SOUND[:-1], says("app/base.py\nUser:\nAnd now?")))),
    (AnswerFault.INVENTED_TURN, trajectory((*SOUND[:-1], says("app/base.py<end_of_turn>")))),
    (AnswerFault.INVENTED_RESULT, trajectory((*SOUND[:-1], says("Tool result: app/base.py has it")))),
    (AnswerFault.INVENTED_RESULT, trajectory((*SOUND[:-1], says("<tool_response>app/base.py</tool_response>")))),
    (
        AnswerFault.INVENTED_RESULT,
        trajectory((*SOUND[:-1], says("I found in app/base.py\napp/base.py:99: class Other:"))),
    ),
    (AnswerFault.INVENTED_RESULT, trajectory((*SOUND[:-1], says("[Tool execution completed] app/base.py")))),
    (AnswerFault.NO_TOOL_WHEN_NEEDED, trajectory((SOUND[0], SOUND[-1]))),
    (AnswerFault.TOOL_WHEN_NOT_NEEDED, trajectory(requires_tools=False)),
    (
        AnswerFault.MALFORMED_CALL,
        trajectory(
            (
                SOUND[0],
                Message(role="assistant", tool_calls=(ToolCall(id="m", name="grep", arguments="{pattern"),)),
                Message(role="tool", tool_call_id="m", content=GREP_RESULT),
                SOUND[-1],
            )
        ),
    ),
    (AnswerFault.CALL_IN_TEXT, trajectory((*SOUND[:-1], says(f"{FENCED}\nIt is in app/base.py")))),
    (AnswerFault.NO_REAL_RESULT, trajectory((SOUND[0], GREP, SOUND[-1]))),  # no tool message at all
    (AnswerFault.NO_REAL_RESULT, trajectory((SOUND[0], GREP, result(None, of=GREP), SOUND[-1]))),  # null
    (
        AnswerFault.NO_REAL_RESULT,
        trajectory((SOUND[0], GREP, result("no such tool", of=GREP, is_error=True), SOUND[-1])),
    ),
    (AnswerFault.NO_REAL_RESULT, trajectory((SOUND[0], GREP, result("text", of=A), SOUND[-1]))),  # another call's
    (AnswerFault.WRONG_ANSWER, trajectory((*SOUND[:-1], says("Task is defined in worker/app.py.")))),
    (
        AnswerFault.UNSUPPORTED_CLAIM,
        trajectory((*SOUND[:-1], says("Task is defined in app/base.py, on line 7."))),
    ),
    (
        AnswerFault.UNSUPPORTED_CLAIM,
        trajectory((SOUND[0], GREP, result("no matches in 12 files", of=GREP), says("Task is in app/base.py."))),
    ),
]


UNSUPPORTED_TOO = {AnswerFault.NO_REAL_RESULT, AnswerFault.INVENTED_RESULT, AnswerFault.WRONG_ANSWER}


@pytest.mark.parametrize(("fault", "planted"), PLANTED)
def test_planted_fault_is_the_only_one_found(fault: AnswerFault, planted: Trajectory) -> None:
    follows = {
        # a limit is a loop and no answer; a wrong pairing leaves other calls as they are
        (AnswerFault.LOOP, "failed"): {AnswerFault.LOOP, AnswerFault.NO_FINAL_ANSWER},
        (AnswerFault.EMPTY_ANSWER, "completed"): {AnswerFault.EMPTY_ANSWER, AnswerFault.NO_FINAL_ANSWER},
        (AnswerFault.CUT_ANSWER, "completed"): {AnswerFault.CUT_ANSWER, AnswerFault.NO_FINAL_ANSWER},
    }
    # an answer after no real result, with an invented one or with an invented place is unsupported too
    beside = {AnswerFault.UNSUPPORTED_CLAIM} if fault in UNSUPPORTED_TOO else set()
    assert faults(planted) - beside == follows.get((fault, planted.outcome), {fault})


HARMLESS: list[tuple[str, Trajectory]] = [
    ("a second look", trajectory(calls_then_answer(GREP, A, GREP))),
    ("differing calls", trajectory(calls_then_answer(A, B, C))),
    ("two in a row, twice", trajectory(calls_then_answer(A, A, B, B))),
    (
        "a class named User in a list",
        trajectory((*SOUND[:-1], says("In app/base.py:\nUser: app/base.py\n- User: a b c d"))),
    ),
    (
        "users in prose",
        trajectory((*SOUND[:-1], says("The user: a person. See app/base.py for the human: readable part."))),
    ),
    ("a real grep line quoted", trajectory((*SOUND[:-1], says("It is app/base.py:3: class Task(Base):")))),
    (
        "path and text put together",
        trajectory((*SOUND[:-1], says("./app/base.py:3:  class Task(Base):\nin app/base.py"))),
    ),
    ("talk about tool results", trajectory((*SOUND[:-1], says("The tool result shows app/base.py.")))),
    ("a mended call", trajectory((SOUND[0], A, result(GREP_RESULT, of=A), SOUND[-1]))),
]


@pytest.mark.parametrize(("what", "harmless"), HARMLESS)
def test_harmless_is_left_alone(what: str, harmless: Trajectory) -> None:
    assert faults(harmless) == set(), what


def test_rates_count_in_their_own_denominators() -> None:
    said_nothing = trajectory((SOUND[0],), outcome="failed", failure=Failure(kind=FailureKind.TIMEOUT, message="late"))
    no_tools = trajectory((SOUND[0], says("42")), requires_tools=False, expect=None)
    made = score([trajectory(), said_nothing, no_tools])
    assert made.prompts == 3
    assert made.final_answer == Rate(count=2, of=3)
    assert made.invented_turn == Rate(count=0, of=2)  # one never spoke
    assert made.unsupported_claim == Rate(count=0, of=1)  # the only answer after a result
    assert made.tool_when_needed == Rate(count=1, of=2)
    assert made.no_tool_when_not_needed == Rate(count=1, of=1)
    assert made.correct == Rate(count=1, of=2)
    assert made.calls_with_real_result == Rate(count=1, of=1)
    assert made.failures == {"timeout": 1}
    assert made.loop.rate == 0
    assert made.loop.interval95 == wilson(0, 3)


def test_nothing_to_count_is_none_and_not_zero() -> None:
    made = score([trajectory((SOUND[0], says("hello")), requires_tools=False, expect=None)])
    assert made.tool_when_needed.rate is None
    assert made.correct.rate is None
    assert made.calls_with_real_result.rate is None
    assert score([]).loop.interval95 is None


def test_right_answer_without_a_look_is_correct_but_not_grounded() -> None:
    made = score([trajectory((SOUND[0], SOUND[-1]))])
    assert (made.correct.rate, made.grounded_correct.rate) == (1.0, 0.0)


CUT = ["tool_calls", "length"]


@pytest.mark.parametrize(
    ("last", "correct"),
    [
        (says("Task is defined in `app/base.py`, line 3, and it is used by"), True),  # cut after the facts
        (says("Task is defined in `app/ba"), False),  # cut before them
        (says(""), False),
        (says('<tool_call>\n{"name": "grep", "arguments": {"path": "app/base.py"}}\n</tool_call>'), False),  # a call
        (GREP.model_copy(update={"content": "It is in app/base.py."}), False),
    ],
)
def test_cut_answer_is_graded_as_far_as_it_goes_and_is_not_final(last: Message, correct: bool) -> None:
    made = observe(trajectory((*SOUND[:-1], last), finish_reasons=CUT), needs_tools=True)
    assert (made.correct, made.final_answer, made.cut) == (correct, False, True)
    assert AnswerFault.NO_FINAL_ANSWER in {found.fault for found in made.found}


def test_call_written_as_words_is_no_final_answer() -> None:
    assert faults(trajectory((*SOUND[:-1], says(FENCED)))) == {AnswerFault.CALL_IN_TEXT, AnswerFault.NO_FINAL_ANSWER}


def test_unknown_need_is_in_neither_rate() -> None:
    assert AnswerFault.NO_TOOL_WHEN_NEEDED not in {
        f.fault for f in observe(trajectory(SOUND[::3]), needs_tools=None).found
    }


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # its mirror image
        (20, 20, 0.8389, 1.0000),
    ],
)
def test_wilson_agrees_with_the_published_table(count: int, of: int, low: float, high: float) -> None:
    assert wilson(count, of) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("values", "median", "p90"),
    [
        ([1.0], 1.0, 1.0),
        ([1.0, 2.0], 1.5, 2.0),
        ([float(n) for n in range(1, 11)], 5.5, 9.0),  # nine of ten do not exceed 9
        ([float(n) for n in range(1, 12)], 6.0, 10.0),
    ],
)
def test_spread_is_median_and_nearest_rank(values: list[float], median: float, p90: float) -> None:
    made = spread(values[::-1])
    assert made is not None
    assert (made.median, made.p90) == (median, p90)
