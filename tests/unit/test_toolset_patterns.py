"""The fast way over whole files finds the same lines as the plain way, line by line."""

from hypothesis import given
from hypothesis import strategies as st

from worker.generate.patterns import LinePattern, RefusedError, compiled, line_pattern

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
    plain = LinePattern(compiled(pattern), anywhere=None)
    return list(plain.matching_lines(content))


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join), TEXT.map(str.encode))
def test_whole_file_search_finds_what_line_search_finds(pattern: str, content: bytes) -> None:
    try:
        fast = line_pattern(pattern)
    except RefusedError:
        return
    assert list(fast.matching_lines(content)) == plainly(pattern, content)


def test_the_comparison_sees_a_search_that_misses() -> None:
    planted = LinePattern(compiled(r"\Ab"), anywhere=compiled(r"(?m:\Ab)"))  # what the anchors would do unchecked
    assert list(planted.matching_lines(b"a\nb")) != plainly(r"\Ab", b"a\nb")
