"""One answer as the detectors read it: its texts, the calls written in them, its results and its end."""

import re
from dataclasses import dataclass
from functools import cached_property

from config.records import Message, ToolCall, Trajectory
from worker.curate.checks.tool_results import is_placeholder
from worker.evaluate.call_parsing import ParsedAnswer, is_cut, parse_answer

STOP_TOKENS = re.compile(r"(?:\s*(?:<\|im_end\|>|<\|endoftext\|>|<\|eot_id\|>|</s>))+\s*\Z")
WORD = re.compile(r"\w")


@dataclass(frozen=True)
class Rollout:
    """One trajectory, with what is known about its question."""

    trajectory: Trajectory
    needs_tools: bool | None = None
    """None: unknown"""
    single: bool = False
    """a recorded text without a conversation: nobody ran its calls"""

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The assistant's texts, turn by turn; blank ones are left out."""
        spoken = (m.content or "" for m in self.trajectory.messages if m.role == "assistant")
        return tuple(text for text in spoken if text.strip())

    @cached_property
    def written(self) -> tuple[ParsedAnswer, ...]:
        """The texts, each split into prose and the calls that stand in it as text."""
        return tuple(parse_answer(text, row="") for text in self.texts)

    @cached_property
    def unparsed_calls(self) -> tuple[ToolCall, ...]:
        """Calls whose arguments are not an object, made or written as text."""
        in_text = (call for answer in self.written for call in answer.calls)
        return tuple(call for call in (*self.trajectory.tool_calls, *in_text) if not isinstance(call.arguments, dict))

    @cached_property
    def cut_calls(self) -> tuple[ToolCall, ...]:
        """Those that end in the middle."""
        return tuple(call for call in self.unparsed_calls if is_cut(call.arguments))

    @cached_property
    def results(self) -> tuple[str, ...]:
        """The texts of the tool results."""
        return tuple(m.content for m in self.trajectory.messages if m.role == "tool" and m.content)

    @cached_property
    def dropped(self) -> bool:
        """Whether max_tokens ended a turn of which nothing arrived: servers drop the text of a cut call."""
        messages = self.trajectory.messages
        last = messages[-1] if messages else None
        empty = last is not None and last.role == "assistant" and not last.tool_calls and not self.last_words
        return self.trajectory.truncated and empty

    @cached_property
    def last_words(self) -> str:
        """The final text without stop tokens; "" if it has no word."""
        text = STOP_TOKENS.sub("", self.trajectory.answer)
        return text if WORD.search(text) else ""

    @cached_property
    def real_results(self) -> frozenset[str]:
        """Ids of the calls with a result that is text, and neither an error nor a placeholder for a result."""
        return frozenset(m.tool_call_id for m in self.trajectory.messages if m.tool_call_id and _is_real(m))

    @cached_property
    def is_call(self) -> bool:
        """Whether it is a single answer that ends in a call, which is an answer in its own right."""
        return self.single and bool(self.trajectory.tool_calls) and not self.last_words


def _is_real(message: Message) -> bool:
    text = message.content or ""
    return message.role == "tool" and not message.is_error and bool(text.strip()) and not is_placeholder(text)


def short(text: str, limit: int = 600) -> str:
    """A text as evidence: cut with a mark of how much is left out."""
    return text if len(text) <= limit else f"{text[:limit]} [... {len(text) - limit} more characters]"
