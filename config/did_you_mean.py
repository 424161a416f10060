"""Suggests the known name that is closest to a misspelt one."""

from difflib import get_close_matches


def did_you_mean(word: str, known: tuple[str, ...]) -> str:
    """End of an error message about an unknown word: "; did you mean 'x'?", or the valid words."""
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; expected one of {', '.join(known)}"
