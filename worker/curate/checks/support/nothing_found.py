"""Answers after nothing but empty or failed results: an honest "not found" is sound, an assertion is not."""

import builtins
import keyword
import re
import sys
from collections.abc import Iterator

from worker.curate.checks.support.answer import QUOTED, Answer, Clause, names, numbers, paths
from worker.curate.checks.support.asked import Asked
from worker.curate.checks.support.evidence import Evidence
from worker.curate.checks.support.searched import would_have_found

REPORTS = re.compile(
    r"(?i)\b(?:missing|absent|fail(?:s|ed)?|lacks?|empty|error|invalid|refused|outside|in vain"
    r"|without (?:success|luck|results?))\b"
)
SEARCHING = re.compile(
    r"(?i)\b(?:search\w*|look\w*|tried|ran|grep\w*|checked|patterns?|called|used|using|quer\w+|tools?)\b"
)
VERB = r"(?:is|are|was|has|have|does|do|can|will|\w{2,}s)\b"
SUBJECT = r"(?:and )?(?:it|they|which|(?:this|that) (?:class|function|method|module|file|constant|name))"
# Parts of a definition: who denies them asserts that there is a definition.
PART = re.compile(r"(?i)\b(?:parameters?|arguments?|decorat\w+|docstrings?|return\w*|defaults?)\b")
EXISTENCE = re.compile(
    r"(?i)\b(?:defin\w+|exist\w*|found|find|locat\w+|match\w*|present|appear\w*|occur\w*|such|contain\w*|see|results?"
    r"|available|search\w*|(?:no|any) (?:function|method|class|definition|file|module|constant)s?)\b"
)


def assertion(answer: Answer, query: Asked | None, evidence: Evidence) -> str:
    """What the answer asserts although nothing was found; "" for an honest "not found"."""
    denials = [clause for clause in answer.clauses if clause.denies or REPORTS.search(clause.text)]
    zero = set(numbers(answer.text)) == {0} or re.search(r"(?i)\bzero\b", answer.text)
    if not denials and not zero:
        return "every result is empty or failed, and the answer does not say that nothing was found"
    for clause in answer.clauses:
        if not clause.denies and not clause.hedged and (claim := _claim(clause, evidence)):
            return f"every result is empty or failed, but the answer asserts {claim!r}"
        if clause.hedged and (guess := next((path for path in paths(clause.text) if not evidence.asked(path)), "")):
            return f"every result is empty or failed, but the answer guesses {guess!r}"
    if denials and all(PART.search(clause.text) and not EXISTENCE.search(clause.text) for clause in denials):
        return f"every result is empty or failed, but the answer describes {evidence_subject(query, evidence)}"
    if not would_have_found(query, evidence):
        return "the answer denies what none of its searches would have found"
    return ""


def evidence_subject(query: Asked | None, evidence: Evidence) -> str:
    """What the question is about, for a message."""
    return repr(query.subject if query else next(iter(_asked_names(evidence)), "what was asked for"))


def _claim(clause: Clause, evidence: Evidence) -> str:
    """A name, path or number that nobody asked for, or a statement about what was asked for."""
    searching = SEARCHING.search(clause.text)
    for token in (*paths(clause.text), *(name for name, _ in names(clause.text)), *_digits(clause.text)):
        known = evidence.asked(token) or token in evidence.tools or _is_python(token)
        if not known and not (searching and token.lower() in f"{evidence.arguments}\n{_texts(evidence)}"):
            return clause.text[:80]
    if searching or REPORTS.search(clause.text):
        return ""
    plain = QUOTED.sub(r"\1", clause.text)
    if re.match(rf"(?i){SUBJECT}\s+{VERB}", plain) and not all(map(_is_python, _asked_names(evidence))):
        return clause.text[:80]
    for name in _asked_names(evidence):
        about = re.search(rf"(?<!\w){re.escape(name)}(?:\(\))?\s+{VERB}", plain)
        if about and not _is_python(name):
            return clause.text[:80]
    return ""


def _digits(text: str) -> Iterator[str]:
    return (f"{number:g}" for number in numbers(text) if number > 0)


def _texts(evidence: Evidence) -> str:
    return "\n".join(result.text for result in evidence.results).lower()


def _asked_names(evidence: Evidence) -> set[str]:
    """Symbols, paths and the names after "class", "function" and the like in the question."""
    prompt = evidence.trajectory.prompt
    kinds = r"(?:class|function|method|module|constant|file|directory|decorator|variable|folder|import|imports)"
    named = re.findall(rf"\b{kinds} `?([A-Za-z_][\w./]*\w)", prompt)
    return {*named, *(name for name, _ in names(prompt)), *paths(prompt)}


def _is_python(name: str) -> bool:
    """Whether Python itself has the name: its meaning needs no result."""
    return hasattr(builtins, name) or keyword.iskeyword(name) or name.partition(".")[0] in sys.stdlib_module_names
