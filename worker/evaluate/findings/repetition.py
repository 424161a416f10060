"""Detects degenerate text: loops of words, sentences and list items as in curation, runs of characters, n-grams."""

import json
import re
from collections import Counter

from worker.curate.checks.repetition import repetition as repeated
from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.rollout import Rollout

SAME_CHARACTER = re.compile(r"([^\s\-_=*#.~|+/<>`])\1{29,}")  # drawn lines repeat the others
SAME_NUMBER = re.compile(r"(?<![\w.])(\d[\w.]*)(?:[,;\s]+\1(?![\w.])){14,}")  # a matrix has line breaks and fewer
FENCED = re.compile(r"(?s)```.*?(?:```|\Z)")
NGRAM = 6  # words; shorter ones recur in sound text about one subject
TIMES = 3
SHARE = 0.5  # of the words of the text stand in such n-grams
LEAST_WORDS = 30
IDENTIFIER = re.compile(r"`[^`\n]+`|\S*[\w)][/\\._:=(]\S*|\S*\d\S*")  # a list of paths or values has one frame


def repetition(rollout: Rollout) -> AnswerFinding | None:
    """A text, or the arguments of a call, that repeats itself."""
    detail = next(filter(None, map(degenerate, spoken_and_called(rollout))), "")
    return AnswerFinding(AnswerFault.REPETITION, detail) if detail else None


def spoken_and_called(rollout: Rollout) -> list[str]:
    """The assistant's texts and the arguments of its calls."""
    arguments = [call.arguments for call in rollout.trajectory.tool_calls]
    called = [text if isinstance(text, str) else json.dumps(text, ensure_ascii=False) for text in arguments]
    return [*rollout.texts, *called]


def degenerate(text: str) -> str:
    """The evidence that a text repeats itself, "" if it does not."""
    prose = FENCED.sub("\n", text)
    for pattern in (SAME_CHARACTER, SAME_NUMBER):
        if found := pattern.search(prose):
            return f"{found[1]!r} without end"
    return repeated(text) or repeated_ngrams(prose)


def repeated_ngrams(prose: str) -> str:
    """The most frequent sequence of NGRAM words if such sequences make up most of the text, wherever they stand.

    Lines of a list are left out: they may have one frame. Sequences with a path, a number or code do not count.
    """
    lines = (line for line in prose.splitlines() if not re.match(r"\s*(?:[-*\u2022|]|\d+[.)])", line))
    words = " ".join(lines).lower().split()
    if len(words) < LEAST_WORDS:
        return ""
    grams = [tuple(words[place : place + NGRAM]) for place in range(len(words) - NGRAM + 1)]
    often = {gram for gram, times in Counter(grams).items() if times >= TIMES and not IDENTIFIER.search(" ".join(gram))}
    covered = {place + offset for place, gram in enumerate(grams) if gram in often for offset in range(NGRAM)}
    if len(covered) < SHARE * len(words):
        return ""
    gram, times = next((gram, times) for gram, times in Counter(grams).most_common() if gram in often)
    return f"{' '.join(gram)!r} {times} times"
