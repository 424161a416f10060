"""What an answer counts, so that answers to the same question can be held against each other."""

import hashlib
import re
from typing import NamedTuple

from config.questions.wording import parse
from config.records import Trajectory
from worker.curate.split import normalised, subjects, workspace_of

HOW_MANY = re.compile(r"(?i)\bhow many\b|\bcount the\b|\bnumber of\b")
NUMBER = re.compile(r"(?<![\w./-])\d{1,9}(?![\w/-]|\.\d)")


class NumericAnswer(NamedTuple):
    """One number, said of one question."""

    question: bytes
    """hash of what is asked: category and subject where the wording is known, else the normalised words"""
    number: int


def numeric_answer(trajectory: Trajectory) -> NumericAnswer | None:
    """The number an answer states to a question that asks for one; None when it states none, or several."""
    if not HOW_MANY.search(trajectory.prompt) or not trajectory.tool_calls:
        return None
    asked = set(NUMBER.findall(trajectory.prompt))
    stated = {int(number) for number in NUMBER.findall(trajectory.answer) if number not in asked}
    if len(stated) != 1:
        return None
    question = parse(trajectory.prompt)
    words = f"{question.category}\0{subjects(trajectory)}" if question else normalised(trajectory.prompt)
    key = f"{trajectory.run_id}\0{workspace_of(trajectory)}\0{words}"
    return NumericAnswer(hashlib.sha256(key.encode()).digest()[:16], stated.pop())
