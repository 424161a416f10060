"""Extracts the number that an answer states, so that answers to the same question can be compared."""

import hashlib
import re
from typing import NamedTuple

from config.questions.wording import parse
from config.records import Trajectory
from worker.curate.split import normalised, subjects, workspace_of

HOW_MANY = re.compile(r"(?i)\bhow many\b|\bcount the\b|\bnumber of\b")
NUMBER = re.compile(r"(?<![\w./-])\d{1,9}(?![\w/-]|\.\d)")


class NumericAnswer(NamedTuple):
    """The number that an answer states to one question."""

    question: bytes
    """hash of the question: category and subject if its wording is known, else its normalised words"""
    number: int


def numeric_answer(trajectory: Trajectory) -> NumericAnswer | None:
    """The number that answers a counting question. None if the answer states no number or several."""
    if not HOW_MANY.search(trajectory.prompt) or not trajectory.tool_calls:
        return None
    in_prompt = set(NUMBER.findall(trajectory.prompt))
    stated = {int(number) for number in NUMBER.findall(trajectory.answer) if number not in in_prompt}
    if len(stated) != 1:
        return None
    question = parse(trajectory.prompt)
    words = f"{question.category}\0{subjects(trajectory)}" if question else normalised(trajectory.prompt)
    key = f"{trajectory.run_id}\0{workspace_of(trajectory)}\0{words}"
    return NumericAnswer(hashlib.sha256(key.encode()).digest()[:16], stated.pop())
