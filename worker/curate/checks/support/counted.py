"""Compares the count that an answer states with what the results count of the thing that was asked for."""

import re
from collections.abc import Iterator

from config.questions.grading.quantities import noun_of
from worker.curate.checks.support.answer import WORDS, Answer, numbers, stands_whole
from worker.curate.checks.support.asked import Asked
from worker.curate.checks.support.evidence import Evidence
from worker.curate.checks.support.results import plain_path
from worker.curate.checks.support.searched import would_have_found

COUNTED_NOUN = re.compile(
    r"\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten)\s+(?:matching |different |python |distinct )*"
    r"(?:`?\.py`? )?"
    r"(files?|modules?|lines?|class(?:es)?|functions?|methods?|director(?:y|ies)|folders?|packages?|times|matches"
    r"|occurrences?|places?|mentions?|scripts?)\b"
)


def miscounted(answer: Answer, query: Asked, evidence: Evidence) -> str:
    """How the count in the answer differs from what the results count, "" if it does not."""
    if not all(result.is_read for result in evidence.found):
        return ""
    stated = set(numbers(answer.affirmed)) | {
        float(number) for number, word in enumerate(WORDS) if stands_whole(word, answer.text.lower())
    }
    if answer.denies and not stated:
        stated = {0.0}
    counted = set(_counted(query, evidence))
    if (stated & counted and not _miscalled(answer, query)) or (
        answer.denies and not counted and would_have_found(query, evidence)
    ):
        return ""
    return f"no result counts what the question asks about {query.subject!r} as the answer does"


def _miscalled(answer: Answer, query: Asked) -> bool:
    """Whether every number of the answer counts something else than was asked for: "2 classes" for 2 lines."""
    kinds = {noun_of(noun) for noun in COUNTED_NOUN.findall(answer.affirmed.lower())}
    return bool(kinds) and ("lines" if query.category == "count_matches" else "files") not in kinds


def _counted(query: Asked, evidence: Evidence) -> Iterator[float]:
    """Counts in results of calls that are about what was asked."""
    slots = query.question.slots
    name, place = slots.get("name", ""), plain_path(slots.get("path") or slots.get("folder") or "")
    files: set[str] = set()
    for result in evidence.results:
        arguments = result.arguments
        about = place.rpartition("/")[2] in arguments and (not result.argument("pattern") or name in arguments)
        if result.message.is_error or not about:
            continue
        if result.call and result.call.name == "count":
            lines = re.match(r"\d+ matching lines? in \d+ of (\d+) ", result.text)
            number = lines if lines and not name else re.match(r"(\d+) ", result.text)
            if number and (name or "py" in result.argument("glob")):
                yield float(number[1])
        elif name:
            yield float(sum(name in line.text for line in result.lines) + result.left_out)
        else:
            files |= {path for path in (result.listed or [line.path for line in result.lines]) if path.endswith(".py")}
            yield float(len(files) + result.left_out)
