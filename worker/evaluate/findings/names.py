"""The names of the findings."""

from dataclasses import dataclass
from enum import StrEnum


class AnswerFault(StrEnum):
    """A fault of one answer."""

    EMPTY_ANSWER = "empty_answer"  # no word at the end
    NO_FINAL_ANSWER = "no_final_answer"  # failed, empty at the end, cut at max_tokens, or a call at the end
    CUT_ANSWER = "cut_answer"  # max_tokens ended a text that is sound up to there
    CUT_CALL = "cut_call"  # a call that max_tokens, or the end of the text, ended in the middle
    MALFORMED_CALL = "malformed_call"  # a whole call that cannot be parsed, or arguments that are not an object
    CALL_IN_TEXT = "call_in_text"  # a call as text, in a notation that the server does not parse
    INVENTED_TURN = "invented_turn"  # the assistant writes another role's turn
    INVENTED_RESULT = "invented_result"  # the assistant writes a tool result itself
    UNSUPPORTED_CLAIM = "unsupported_claim"  # the final answer asserts something that no result holds
    REPETITION = "repetition"  # the same sentence, list item or words again and again
    RUNAWAY = "runaway"  # the generation did not find its end
    LOOP = "loop"  # repeated calls, or a limit reached
    WRONG_ANSWER = "wrong_answer"  # a final answer without the expected facts, or after a call that was not needed
    NO_TOOL_WHEN_NEEDED = "no_tool_when_needed"
    TOOL_WHEN_NOT_NEEDED = "tool_when_not_needed"
    WRONG_TOOL = "wrong_tool"  # no tool that can answer the question was called, or one that does not exist
    WRONG_ARGUMENT = "wrong_argument"  # a name of the question is misspelt in the call
    NO_REAL_RESULT = "no_real_result"  # a call with an error, an empty result or no result


@dataclass(frozen=True)
class AnswerFinding:
    """A fault with its evidence."""

    fault: AnswerFault
    detail: str
    kind: str = ""
    """which form of the fault, where there are several: same_call, cycle or limit for a loop; right_result for a wrong
    answer after results that held the right one"""
