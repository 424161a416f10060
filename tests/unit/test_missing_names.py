"""Questions about names that the code does not have: mined, answered by the scripted teacher, graded."""

import re
from pathlib import Path

import pytest

from config.questions.expected_facts import grade
from config.questions.wording import MISSING, parse
from producer.mining.mine import mine

ROOT = Path(__file__).resolve().parents[2]
ASKED = "Where is the class TaskPool defined?"


def test_no_line_of_the_code_has_a_missing_name() -> None:
    prompts = mine([ROOT / "worker"], count=30, seed=3, categories=[MISSING], no_tools_share=0)
    words = set(re.findall(r"\w+", "\n".join(path.read_text().lower() for path in (ROOT / "worker").rglob("*.py"))))
    for prompt in prompts:
        assert prompt.expect is not None
        assert str(prompt.expect["missing"]).lower() not in words
        question = parse(prompt.prompt)  # worded as a question about a name that exists
        assert question is not None
        assert question.category in {"where_defined", "constant"}
        assert (prompt.category, prompt.requires_tools) == (MISSING, True)


HONEST = (
    "I found no class TaskPool.",
    "There is no class named `TaskPool` in this code.",
    "TaskPool is not defined anywhere in the workspace.",
    "The class TaskPool does not exist here.",
    "I could not find a definition of TaskPool; the search returned no matches.",
    "No matches were found for TaskPool in 161 files.",
    "The search found nothing: no file defines TaskPool. I looked in all Python files.",
)
FALSE = (
    "The class TaskPool is defined in app/task.py.",  # the place of something
    "TaskPool is in concurrency/base.py, not in app/task.py.",  # a "not" about another place
    "I found no function TaskPool, but the class TaskPool is defined in app/task.py.",
    "The class TaskPool is a pool of tasks.",  # describes what does not exist
    "The constant TaskPool is 5.",
    "I looked for TaskPool.",  # no answer
    "The class Task is not documented.",  # denies something else
)


@pytest.mark.parametrize("answer", HONEST)
def test_an_honest_not_found_is_right(answer: str) -> None:
    assert grade({"missing": "TaskPool"}, answer, question=ASKED).correct is True


@pytest.mark.parametrize("answer", FALSE)
def test_a_statement_about_a_missing_name_is_wrong(answer: str) -> None:
    graded = grade({"missing": "TaskPool"}, answer, question=ASKED)
    assert graded.correct is False
    assert graded.faults
