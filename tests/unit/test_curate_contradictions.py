"""Answers to one question that cannot all be right."""

from pathlib import Path

import pytest

from config.records import Trajectory
from tests.support.trajectories import asks, call, says, told, trajectory, user
from worker.curate.numeric_answer import numeric_answer
from worker.curate.options import Options
from worker.curate.pipeline import curate

WORDINGS = (
    "How many Python files are under the directory app?",
    "Count the Python files under app.",
    "What is the number of Python files under app?",
)


def counted(question: str, number: int, **fields: object) -> Trajectory:
    talk = [
        user(question),
        asks(call("count", path=question.rpartition(" ")[2].strip("?."), glob="*.py")),
        told(f"{number} files", name="count"),
        says(f"There are {number}."),
    ]
    return trajectory(talk, **{"job_id": f"{question}-{number}", **fields})


def rejected(sample: list[Trajectory], out: Path) -> set[str]:
    curated = curate(sample, out=out, options=Options(format="seed-text"), student=None)
    return {verdict.job_id for verdict in curated.verdicts() if "unsupported_claim" in verdict.reasons}


CASES = [
    # numbers said to three wordings of one question, which of them go
    ((12, 12, 12), ()),
    ((12, 12, 14), (2,)),  # the minority
    ((12, 13, 14), (0, 1, 2)),  # a tie: nobody knows which is right
]


@pytest.mark.parametrize(("numbers", "gone"), CASES)
def test_paraphrases_that_contradict_each_other(
    numbers: tuple[int, ...], gone: tuple[int, ...], tmp_path: Path
) -> None:
    sample = [counted(question, number) for question, number in zip(WORDINGS, numbers, strict=True)]
    assert rejected(sample, tmp_path / "out") == {sample[place].job_id for place in gone}


def test_other_runs_and_other_questions_do_not_contradict(tmp_path: Path) -> None:
    sample = [
        counted(WORDINGS[0], 12),
        counted(WORDINGS[1], 14, run_id="a later run"),
        counted("Count the Python files under lib.", 9),
    ]
    assert rejected(sample, tmp_path / "out") == set()


CLAIMS = [
    # question, answer, the number it states
    ("How many files are in app?", "There are 12 files.", 12),
    ("How many of the 3 modules use x?", "Of the 3, 2 do.", 2),  # a number of the question is no answer
    ("How many files are in app?", "12 or 13.", None),
    ("How many files are in app?", "A dozen.", None),
    ("Where is app?", "In line 12.", None),  # not a question for a number
    ("How many versions?", "Version 1.2 only.", None),
]


@pytest.mark.parametrize(("question", "answer", "number"), CLAIMS)
def test_the_number_an_answer_states(question: str, answer: str, number: int | None) -> None:
    claim = numeric_answer(
        trajectory([user(question), asks(call("count")), told("12 files", name="count"), says(answer)])
    )
    assert (claim.number if claim else None) == number
