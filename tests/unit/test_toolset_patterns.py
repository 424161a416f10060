"""The fast way over whole files finds the same lines as the plain way, line by line."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.tools import patterns
from worker.tools.patterns import LinePattern, RefusedError, compiled, line_pattern

PIECES = [
    "a",
    "b",
    "^",
    "$",
    r"\b",
    r"\B",
    r"\s",
    r"\S+",
    ".",
    ".*",
    "[^a]",
    r"\A",
    r"\z",
    "|",
    "(?i)",
    "(?s)",
    "(?-m)",
    "(?m)",
    "(a|b)*",
    "\n",
]
TEXT = st.text(st.sampled_from("aAb \n\r"), max_size=30)


def plainly(pattern: str, content: bytes) -> list[tuple[int, bytes]]:
    line_by_line = content.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n") if content else []
    wanted = compiled(pattern)
    return [(number, line) for number, line in enumerate(line_by_line, 1) if wanted.search(line) is not None]


def found(pattern: LinePattern, content: bytes) -> list[tuple[int, bytes]]:
    return list(pattern.matching_lines(content, deadline=time.monotonic() + 60))


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> Iterator[None]:
    """Several pieces in a short text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patterns, "PIECE_BYTES", 6)
        yield


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join), TEXT.map(str.encode))
def test_whole_file_search_finds_what_line_search_finds(pattern: str, content: bytes) -> None:
    try:
        fast = line_pattern(pattern)
    except RefusedError:
        return
    assert found(fast, content) == plainly(pattern, content)


def test_the_comparison_sees_a_search_that_misses() -> None:
    planted = LinePattern(compiled(r"\Ab"), anywhere=compiled(r"(?m:\Ab)"))  # what the anchors would do unchecked
    assert found(planted, b"a\nb") != plainly(r"\Ab", b"a\nb")
