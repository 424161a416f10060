"""The causes of failure: how each is recognised, what it is called and what would help.

Of several findings the one that comes first in the conversation is the cause: a name that is miscopied into the call
explains the empty result, and the empty result explains the invented answer. CAUSES is in that order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from config.records import Trajectory
from worker.curate.checks.support.evidence import Evidence
from worker.evaluate.findings.answers import OTHER_RESULT, RIGHT_RESULT, result_kind
from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.rollout import Rollout, short
from worker.evaluate.score import AnswerScore


@dataclass(frozen=True)
class Failed:
    """An answer that is not right."""

    trajectory: Trajectory
    score: AnswerScore

    @property
    def rollout(self) -> Rollout:
        """The answer as the detectors read it."""
        return Rollout(self.trajectory, self.score.needs_tools)

    def finding(self, *faults: AnswerFault) -> AnswerFinding | None:
        """The first finding of these faults."""
        return next((found for found in self.score.found if found.fault in faults), None)


Test = Callable[[Failed], str | None]
"""The evidence that a cause applies to a failed answer; None if it does not."""


@dataclass(frozen=True)
class Cause:
    """A cause of failure."""

    name: str
    title: str
    help: str
    """may hold {categories}: the categories in which it occurs most"""
    test: Test


def cause_of(answer: Failed) -> tuple[Cause, str]:
    """The first cause in CAUSES that applies, and its evidence."""
    return next((cause, detail) for cause in CAUSES if (detail := cause.test(answer)) is not None)


def _finds(*faults: AnswerFault, kind: str | None = None) -> Test:
    def test(answer: Failed) -> str | None:
        found = answer.finding(*faults)
        return found.detail if found and (kind is None or found.kind == kind) else None

    return test


def _did_not_run(answer: Failed) -> str | None:
    failure = answer.trajectory.failure
    spoke = any(message.role == "assistant" for message in answer.trajectory.messages)
    return f"{failure.kind.value}: {failure.message}" if failure and not spoke else None


def _answered_after_nothing(answer: Failed) -> str | None:
    claim = answer.finding(AnswerFault.UNSUPPORTED_CLAIM)
    evidence = Evidence(answer.trajectory)
    return claim.detail if claim and evidence.results and not evidence.found else None


def _searched_in_vain(answer: Failed) -> str | None:
    evidence = Evidence(answer.trajectory)
    if evidence.results and not evidence.found and answer.score.correct is False and answer.score.final_answer:
        return f"every result is empty or failed: {short(evidence.results[-1].text, 120)}"
    return None


def _right_result(answer: Failed) -> str | None:
    wrong = answer.score.correct is False and answer.score.final_answer
    return short(answer.trajectory.answer, 200) if wrong and result_kind(answer.rollout) == RIGHT_RESULT else None


def _other_result(answer: Failed) -> str | None:
    wrong = answer.score.correct is False and answer.score.final_answer
    return short(answer.trajectory.answer, 200) if wrong and result_kind(answer.rollout) == OTHER_RESULT else None


def _failed_later(answer: Failed) -> str | None:
    failure = answer.trajectory.failure
    return f"{failure.kind.value}: {failure.message}" if failure else None


def _anything(answer: Failed) -> str | None:
    return answer.score.found[0].detail if answer.score.found else "the answer does not have the expected facts"


# In the order of a conversation: the first that applies is the cause.
CAUSES: Final[Sequence[Cause]] = (
    Cause(
        "did_not_run",
        "the question was never answered: the rollout failed before the model wrote anything",
        "repeat the evaluation; the endpoint or the workspace failed, not the student",
        _did_not_run,
    ),
    Cause(
        "ran_away",
        "ran away: the generation did not find its end",
        "put the stop token of every turn inside the loss (see the loss proof in dataset.json), train for more "
        "iterations, or lower the learning rate",
        _finds(AnswerFault.RUNAWAY),
    ),
    Cause(
        "looped",
        "looped: the same calls again and again, or a limit reached",
        "train on rows that hold real results and end in an answer; a student that learnt placeholders calls again",
        _finds(AnswerFault.LOOP),
    ),
    Cause(
        "malformed_call",
        "wrote a call that cannot be parsed",
        "more iterations; check that the tool format of the dataset is the one that the student's template renders",
        _finds(AnswerFault.MALFORMED_CALL, AnswerFault.CALL_IN_TEXT),
    ),
    Cause(
        "cut_call",
        "max_tokens cut a call in the middle",
        "raise max_tokens of the evaluation limits; if the calls are long, the student does not end them: train for "
        "more iterations",
        _finds(AnswerFault.CUT_CALL),
    ),
    Cause(
        "no_tool_called",
        "did not call a tool",
        "a larger share of rows that call a tool, most of all in {categories}",
        _finds(AnswerFault.NO_TOOL_WHEN_NEEDED),
    ),
    Cause(
        "needless_tool",
        "called a tool for a question that needs none",
        "more rows that need no tool: applejack prompts mines them as general questions",
        _finds(AnswerFault.TOOL_WHEN_NOT_NEEDED),
    ),
    Cause(
        "invented",
        "invented a turn or a tool result",
        "keep user turns and tool results out of the loss (format turns with --mask-prompt) and keep the stop token in",
        _finds(AnswerFault.INVENTED_RESULT, AnswerFault.INVENTED_TURN),
    ),
    Cause(
        "wrong_tool",
        "called a tool that cannot answer the question",
        "more rows of {categories}, or fewer categories and fewer tools",
        _finds(AnswerFault.WRONG_TOOL),
    ),
    Cause(
        "name_miscopied",
        "a name was miscopied into the call",
        "more rows with long and unusual names, most of all in {categories}; more iterations; a larger student",
        _finds(AnswerFault.WRONG_ARGUMENT),
    ),
    Cause(
        "answered_after_nothing",
        "no matches, and answered all the same",
        'rows whose right answer is an honest "not found" after looking, and more rows of {categories}',
        _answered_after_nothing,
    ),
    Cause(
        "searched_in_vain",
        "the search could not find it, and the answer says so",
        "more rows of {categories}: the student does not know which call answers them",
        _searched_in_vain,
    ),
    Cause(
        "empty",
        "empty answer",
        "more iterations; check that answers are inside the loss",
        _finds(AnswerFault.EMPTY_ANSWER),
    ),
    Cause(
        "cut_answer",
        "max_tokens cut the answer",
        "raise max_tokens of the evaluation limits, or train on shorter answers",
        _finds(AnswerFault.CUT_ANSWER),
    ),
    Cause(
        "right_result_wrong_answer",
        "right result, wrong answer",
        "more rows of {categories} whose answers quote the result word for word; more iterations",
        _right_result,
    ),
    Cause(
        "wrong_call",
        "the call was well formed and did not bring what the question asks for",
        "more rows of {categories}, or fewer categories",
        _other_result,
    ),
    Cause(
        "unsupported",
        "asserts what no result holds",
        "more rows of {categories} whose answers quote the result word for word",
        _finds(AnswerFault.UNSUPPORTED_CLAIM),
    ),
    Cause(
        "repeated_itself",
        "the answer repeats itself",
        "a lower learning rate or fewer iterations; a stop token in the loss",
        _finds(AnswerFault.REPETITION),
    ),
    Cause(
        "did_not_finish",
        "the rollout failed before an answer",
        "look at the failure of each; raise the evaluation limits if they were reached",
        _failed_later,
    ),
    Cause("wrong_answer", "wrong answer", "more rows of {categories}", _anything),
)
BY_NAME: Final[Mapping[str, Cause]] = {cause.name: cause for cause in CAUSES}
ORDER: Final[Mapping[str, int]] = {cause.name: place for place, cause in enumerate(CAUSES)}
