"""Finds degenerate text: the same sentence, list item or run of words again and again. Used by curation and evaluation.

Not judged: code in fences, tables, loops of numbers and values such as True. A span in backticks is one word, so that
`f(int, int, int)` is not a loop. Items with a common beginning ("- a.py: a test", "- b.py: a test") are not repeats.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from config.errors import RejectionReason
from config.records import Finding, Trajectory

FENCED = re.compile(r"(?s)```.*?(?:```|\Z)")
TABLE = re.compile(r"(?m)^[ \t]*\|.*$")
WORD = re.compile(r"`[^`\n]+`|\S+")
EDGES = " \t*_.,;:!?\"'()[]{}-\u2022"
VALUES = frozenset({"true", "false", "none", "null", "nan"})
MARKER = re.compile(r"^\s*(?:[-*\u2022]|\d+[.)])\s+")
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
CHUNK = re.compile(r"([^\W\d_].{1,19}?)\1{9,}")  # one word that goes on for ever: "foofoofoo..."
LONGEST_LOOP = 60  # words of a loop: two or three sentences
LOOPS = {1: 6, 2: 4}  # words of a loop -> times in a row; "very, very", "no, no, no" and "None, None" are language
LONG_LOOP = 3  # times in a row, for longer ones; twice for a list of names
NAME = re.compile(r"^`|[A-Za-z][./]\w")
SENTENCE_WORDS = 5  # of a sentence that is said twice in a row: "It is. It is." may be emphasis
ANYWHERE = 4  # times that a sentence of ANYWHERE_WORDS or a list item occurs, not in a row
ANYWHERE_SHARE = 0.25  # of all sentences: a long text may refer to one thing often
ANYWHERE_WORDS = 6  # "It takes no arguments." may stand under each of four headings


def repetition(text: str) -> str:
    """The evidence that a text repeats itself, "" if it does not."""
    prose = TABLE.sub("", FENCED.sub("\n", text))
    if found := CHUNK.search(prose):
        return f"{found[1]!r} without end"
    return _repeated_sentence(prose) or _repeated_item(prose) or _loop(prose)


def repeated_text(trajectory: Trajectory) -> Iterator[Finding]:
    """An assistant's text that repeats itself: a student that learns it never stops."""
    for index, message in enumerate(trajectory.messages):
        if message.role == "assistant" and (evidence := repetition(message.content or "")):
            detail = f"the assistant's text repeats itself: {evidence}"
            yield Finding(reason=RejectionReason.MALFORMED, detail=detail, message=index)


def _repeated_sentence(prose: str) -> str:
    sentences = [_words(part) for part in SENTENCE.split(prose)]
    sentences = [words for words in sentences if not all(map(_is_value, words))]
    for first, second in pairwise(sentences):
        if first == second and len(first) >= SENTENCE_WORDS:
            return f"{_shown(first)} twice in a row"
    counts = Counter(tuple(words) for words in sentences if len(words) >= ANYWHERE_WORDS)
    often = max(ANYWHERE, ANYWHERE_SHARE * len(sentences))
    return next((f"{_shown(words)} {times} times" for words, times in counts.items() if times >= often), "")


def _repeated_item(prose: str) -> str:
    items = Counter(tuple(_words(line)) for line in prose.splitlines() if MARKER.match(line))
    often = ((item, times) for item, times in items.items() if times >= (2 if _is_name(item) else ANYWHERE))
    return next((f"the list item {_shown(item)} {times} times" for item, times in often if item), "")


def _is_name(item: tuple[str, ...]) -> bool:
    """Whether a list item is a name and nothing else: such a list names a thing once."""
    return len(item) == 1 and NAME.search(item[0]) is not None


def _loop(prose: str) -> str:
    """The shortest run of words that stands several times in a row."""
    words = [word for word in _words(prose) if word not in ("and", "or")]
    for size in _possible_loops(words):
        least = LOOPS.get(size, LONG_LOOP)
        same = 0  # words in a row that equal the word `size` before them
        for place in range(size, len(words)):
            same = same + 1 if words[place] == words[place - size] else 0
            times, loop = 1 + same // size, words[place - size + 1 : place + 1]
            if times < 2 or all(map(_is_value, loop)):
                continue
            if times >= (2 if size > 1 and all(map(NAME.search, loop)) else least):
                return f"{_shown(loop)} {times} times in a row"
    return ""


def _possible_loops(words: list[str]) -> list[int]:
    """Lengths at which enough words equal the word that far before them, in ascending order."""
    equal: Counter[int] = Counter()
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, word in enumerate(words):
        for before in reversed(places[word]):
            if place - before > LONGEST_LOOP:
                break
            equal[place - before] += 1
        places[word].append(place)
    return sorted(size for size, times in equal.items() if times >= size)


def _is_value(word: str) -> bool:
    return word in VALUES or not any(map(str.isalpha, word))


def _words(text: str) -> list[str]:
    """The words in lower case without punctuation around them; drawn lines are left out."""
    stripped = (found.group().strip(EDGES).lower() for found in WORD.finditer(MARKER.sub("", text)))
    return [word for word in stripped if any(map(str.isalnum, word))]


def _shown(words: tuple[str, ...] | list[str]) -> str:
    return repr(" ".join(words)[:60])
