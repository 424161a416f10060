"""Rejects answers in another language than the question.

Two signs, both judged on prose only: without code, quotations and names, and without words that a tool result or the
question has in the same order, because a docstring may be in any language.
- Letters of a script that the question does not use: two ideographs or three other letters in a row. Single ones are
  symbols ("π", "Δt").
- Function words: those of another language, and next to none of the question's. Short answers and lists of names have
  too few of them to be judged.
Not judged: questions that name a language or ask for a translation, and languages without a word list here that share
the question's script.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache

from config.errors import RejectionReason
from config.records import Finding, Trajectory

NOT_PROSE = re.compile(
    r"(?s)```.*?(?:```|\Z)|`[^`\n]*`|\"[^\"\n]*\"|\u201c[^\u201d\n]*\u201d|\u00ab[^\u00bb\n]*\u00bb"
    r"|(?<!\w)'[^'\n]*'(?!\w)|\S*[\w)\]][/\\._:=(\[<>@#]\S+|\S*\d\S*"
)
WORD = re.compile(r"[^\W\d_]+")
WRITTEN_ALIKE = 3  # words in a row that stand in a result: a quotation
IDEOGRAPHS = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL"})
RUN = 3  # letters in a row of any other script
LEAST_WORDS = 3  # of prose
LEAST_HITS = 2  # function words of a language; words with other letters than English ones count beside one of them
SHARE = 0.2  # of the words; running text has 0.3 to 0.5
MOST_OWN = 0.25  # of the question's function words for each of the other language's: names and quotations slip through
LANGUAGE_NAMES = re.compile(
    r"(?i)\b(?:translat\w*|language|english|german|french|spanish|portuguese|italian|dutch|swedish|polish|russian|chinese"
    r"|japanese|korean|arabic|greek|hindi|\u00fcbersetz\w*|deutsch\w*|englisch\w*|fran\u00e7ais\w*|anglais\w*"
    r"|espa\u00f1ol\w*|ingl\u00e9s\w*)\b"
)
# The most frequent function words of the languages that models drift into. English words of the other lists ("in",
# "no", "was") are left out; "die" is too frequent in German for that. Related languages share words; the one with most
# of them is meant.
FUNCTION_WORDS: Mapping[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "en": "the of and is are to that it this these those for with by from not there which or be has have does "
        "were its what where how many who when why did can could should would you they them list find up",
        "de": "die der das dem des ist sind und oder nicht ein eine einen einem einer eines wird werden wurde wurden "
        "mit für von zu zum zur im auf aus bei nach über wie wo welche welcher welches dass diese dieser "
        "dieses ich habe es gibt kein keine auch als sich er sie wir nur wenn dann hat haben",
        "fr": "le la les un une des du de et ou est sont dans pour pas ne que qui sur avec par ce cette ces il "
        "elle ils au aux se sa ses leur nous vous à y où quel quelle quels plus aucun aucune comme définie "
        "défini",
        "es": "el la los las un una unos unas de del y es son está están en para por que se con su sus lo al como "
        "más este esta estos hay qué dónde cuántos ningún ninguna tiene definida definido",
        "pt": "os um uma uns umas de da dos das e é são está estão em na nos nas para por que se com não seu sua "
        "ao mais este esta há onde quantos nenhum nenhuma tem definida definido",
        "it": "il lo la gli le un uno una di del della dei delle e è sono nel nella che si con non su da al come "
        "più questo questa ci dove quanti nessun nessuna ha definita definito",
        "nl": "de het een en zijn van voor met niet dat dit deze er wordt worden te naar bij ook als aan uit door "
        "waar welke hoeveel geen heeft",
        "sv": "och att det som en ett är på för av med inte den till från har de var vilken vilka inga",
        "pl": "na nie z jest się że są przez dla jak od po oraz który która które gdzie ile",
    }.items()
}


def other_language(trajectory: Trajectory) -> Iterator[Finding]:
    """A text of the assistant in another language than the question."""
    if LANGUAGE_NAMES.search(trajectory.prompt):
        return
    evidence = [trajectory.prompt, *(m.content or "" for m in trajectory.messages if m.role == "tool")]
    for index, message in enumerate(trajectory.messages):
        text = message.content or ""
        if message.role != "assistant" or not text.strip():
            continue
        detail = _other_script(text, evidence) or _other_words(text, trajectory.prompt, evidence)
        if detail:
            yield Finding(reason=RejectionReason.MALFORMED, detail=detail, message=index)


def _other_script(text: str, evidence: list[str]) -> str:
    if text.isascii():
        return ""
    asked = {script(letter) for word in WORD.findall(evidence[0]) for letter in word}
    for found in WORD.finditer(text):
        word = found.group()
        for name in {script(letter) for letter in word} - asked - {"LATIN", ""}:
            own = "".join(letter for letter in word if script(letter) == name)
            enough = len(own) >= (2 if name in IDEOGRAPHS else RUN)
            if enough and not any(word in known for known in evidence):
                return f"{word[:40]!r} is {name.lower()} writing, which the question does not use"
    return ""


def _other_words(text: str, prompt: str, evidence: list[str]) -> str:
    asked = language(_prose_words(prompt), least=1)
    if not asked:
        return ""
    prose = _prose_words(text)
    if all(len(_hits(prose, name)) < LEAST_HITS for name in FUNCTION_WORDS if name != asked):
        return ""  # the usual case, decided before the results are read
    words = _unquoted(prose, evidence)
    answered = language(words)
    if not answered or answered == asked:
        return ""
    theirs, own = (_hits(words, name) for name in (answered, asked))
    if len(own) > MOST_OWN * len(theirs):
        return ""
    return f"the question is in {asked!r}, this text in {answered!r}: {', '.join(dict.fromkeys(theirs))[:60]}"


def language(words: list[str], *, least: int = LEAST_HITS) -> str:
    """The language of these lower-case words, as in FUNCTION_WORDS; "" if it has fewer than `least` of them."""
    if len(words) < LEAST_WORDS:
        return ""
    hits = {name: len(_hits(words, name)) for name in FUNCTION_WORDS}
    best = max(hits, key=lambda name: hits[name])
    return best if hits[best] >= max(least, SHARE * len(words)) else ""


@lru_cache(maxsize=1024)
def script(letter: str) -> str:
    """The first word of a letter's Unicode name, "LATIN" or "CJK"; "" for modifiers and letters of no script."""
    name = unicodedata.name(letter, "").split(" ")[0]
    return (
        "" if name in ("MODIFIER", "MICRO", "FEMININE", "MASCULINE", "SCRIPT", "DOUBLE-STRUCK", "FULLWIDTH") else name
    )


def _prose_words(text: str) -> list[str]:
    return WORD.findall(NOT_PROSE.sub(" ", text).lower())


def _unquoted(words: list[str], evidence: list[str]) -> list[str]:
    """The words without those that are part of WRITTEN_ALIKE words in a row of the evidence."""
    known = " ".join(WORD.findall(" ".join(evidence).lower()))
    quoted: set[int] = set()
    for start in range(len(words) - WRITTEN_ALIKE + 1):
        if " ".join(words[start : start + WRITTEN_ALIKE]) in known:
            quoted.update(range(start, start + WRITTEN_ALIKE))
    return [word for place, word in enumerate(words) if place not in quoted]


def _hits(words: list[str], name: str) -> list[str]:
    found = [word for word in words if word in FUNCTION_WORDS[name]]
    accented = [word for word in words if not word.isascii() and word not in FUNCTION_WORDS[name]]
    return [*found, *accented] if found and name != "en" else found
