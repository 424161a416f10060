from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.questions import general_knowledge
from config.questions.expected_facts import grade, holds
from config.questions.wording import (
    FORMS,
    GENERAL_FORMS,
    KIND_NEEDLES,
    NEEDLES,
    SLOTS,
    TOOL_FORMS,
    Question,
    fits,
    parse,
    render,
)

ANY_QUESTION = st.sampled_from(sorted(FORMS)).flatmap(
    lambda category: st.builds(
        Question,
        st.just(category),
        st.fixed_dictionaries({slot: st.from_regex(SLOTS[slot], fullmatch=True) for slot in _slots(category)}),
    )
)


def _slots(category: str) -> list[str]:
    return [slot for slot in SLOTS if f"{{{slot}}}" in FORMS[category][0]]


@given(question=ANY_QUESTION.filter(fits), form=st.integers(0, 3))
def test_rendered_questions_parse_back(question: Question, form: int) -> None:
    assert parse(render(question, form)) == question


@pytest.mark.parametrize("category", FORMS)
def test_wordings_of_a_category_differ_and_have_the_same_slots(category: str) -> None:
    forms = FORMS[category]
    assert len(set(forms)) == len(forms) >= 3
    assert all(f"{{{slot}}}" in form for form in forms for slot in _slots(category))


def test_every_tool_category_can_be_answered_by_search() -> None:
    assert len(TOOL_FORMS) >= 8
    assert set(NEEDLES) <= set(TOOL_FORMS)
    assert {"class", "function"} == set(KIND_NEEDLES)


UNKNOWN = [
    "",  # nothing
    "What is the meaning of it all?",  # not a known term
    "Which classes inherit from Base and why?",  # a known wording with text after it
    "Where is the method run defined?",  # not a known kind
    "Count the Python files under my dir.",  # a space in a path
]


@pytest.mark.parametrize("prompt", UNKNOWN)
def test_unknown_prompts_do_not_parse(prompt: str) -> None:
    assert parse(prompt) is None


TABLES = [
    ("definition", "term", general_knowledge.TERMS),
    ("builtin", "builtin", general_knowledge.BUILTINS),
    ("keyword", "keyword", general_knowledge.KEYWORDS),
    ("exception", "exception", general_knowledge.EXCEPTIONS),
]


@pytest.mark.parametrize(("category", "slot", "table"), TABLES)
def test_every_general_entry_has_an_answer_and_needs_no_call(
    category: str, slot: str, table: Mapping[str, str]
) -> None:
    for entry in table:
        answer = general_knowledge.answer(category, {slot: entry})
        expect = general_knowledge.expectation(category, {slot: entry})
        assert answer is not None
        assert grade(expect, answer).correct is None  # no sound check of such an answer is known
        assert grade(expect, answer, calls=1).faults


SUMS = [("plus", "42", "58"), ("minus", "16", "50"), ("times", "56", "400")]


@pytest.mark.parametrize(("operator", "right", "wrong"), SUMS)
def test_arithmetic_answers_are_correct(operator: str, right: str, wrong: str) -> None:
    slots = dict(zip("ab", {"plus": "17 25", "minus": "40 24", "times": "7 8"}[operator].split(), strict=True))
    slots["operator"] = operator
    assert right in (general_knowledge.answer("arithmetic", slots) or "")
    assert not holds(general_knowledge.expectation("arithmetic", slots), f"It is {wrong}.")


def test_answer_for_incompatible_units_states_that_they_cannot_be_converted() -> None:
    assert "cannot" in (general_knowledge.answer("units", {"amount": "3", "large": "hours", "small": "grams"}) or "")
    assert (
        general_knowledge.answer("units", {"amount": "3", "large": "hours", "small": "minutes"})
        == "3 hours are 180 minutes."
    )


def test_questions_about_code_have_no_general_answer() -> None:
    assert general_knowledge.answer("subclasses", {"name": "Base"}) is None
    assert not set(GENERAL_FORMS) & set(TOOL_FORMS)
