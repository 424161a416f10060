"""Ways of curating that take less time find exactly what the plain ways find."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_student import make_tiny_student
from tests.support.trajectories import looked_up
from worker.curate.chat import chat_messages
from worker.curate.checks.markup import IN_MARKUP, MARKUP, NAMES
from worker.curate.checks.support.answer import stands_whole
from worker.student.tokenizer import RenderError, Student

LETTERS = "ab_1 .é²\u4e00\n"  # word characters and none, of several kinds


@given(name=st.text(LETTERS, max_size=3), text=st.text(LETTERS, max_size=12))
def test_a_name_stands_whole_where_the_pattern_matches(name: str, text: str) -> None:
    assert stands_whole(name, text) == (re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None)


PIECES = ["<|", "|>", "</", "<", ">", "[", "/", "INST]", "SYS>>", "<<", "\uff5c", "_of_turn>", "start", "x", " "]


@given(st.lists(st.sampled_from([*PIECES, *re.findall(r"\w{3,}", NAMES), "tool_response", "tool_result"]), max_size=6))
def test_markup_is_only_where_its_parts_are(parts: list[str]) -> None:
    text = "".join(parts)
    assert any(part in text for part in IN_MARKUP) or not MARKUP.search(text)


def test_conversations_rendered_together_are_those_rendered_alone(tmp_path: Path) -> None:
    student = Student(make_tiny_student(tmp_path / "student"))
    sample = looked_up(1)
    messages = chat_messages(sample)
    prefixes = [messages[:end] for end in range(2, len(messages) + 1)]
    for prompt in (False, True):
        alone = [student.render(prefix, sample.tools, prompt=prompt) for prefix in prefixes]
        assert student.render_each(prefixes, sample.tools, prompt=prompt) == alone
    with pytest.raises(RenderError, match="no message"):
        student.render_each([messages, []], sample.tools)
