"""Finds names that a reader takes for other ones: letters of other alphabets that look alike, invisible characters.

A name is such a one if it
- mixes ASCII letters with Cyrillic or Greek letters that look like them, or consists of those and, written in ASCII, is
  a name of the evidence;
- has letters that are variants of ASCII ones (full width, mathematical) beside ASCII ones, or three of them;
- holds an invisible character beside an ASCII letter or digit.

In a result it is accepted: it is what the code holds. In an answer it is an unsupported claim, in a call's arguments
malformed, unless the question or a result holds the same string. The result of a call that has the string in its
arguments proves nothing: it may repeat it.
"""

import re
import unicodedata
from collections.abc import Iterator

from config.errors import RejectionReason
from config.records import Finding, JsonObject, Trajectory
from worker.curate.chat import calls, results

INVISIBLE = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
HIDDEN = re.compile(f"[{INVISIBLE}]")
BESIDE = re.compile(f"[A-Za-z0-9_][{INVISIBLE}]|[{INVISIBLE}][A-Za-z0-9_]")
TOKEN = re.compile(rf"[\w{INVISIBLE}]+")
# Letters that common fonts draw as an ASCII letter (Unicode's confusables, single letters), and that letter.
ALIKE = str.maketrans(
    dict(
        zip(
            "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d"
            "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0406\u0408\u0405\u04ae"
            "\u03bf\u03bd\u03c1\u03b9\u03ba\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7",
            "aeopcyxijshdqwABEKMHOPCTXIJSYovpikABEZHIKMNOPTYX",
            strict=True,
        )
    )
)
ORDINALS = "\u00aa\u00ba"  # variants of a and o that are written beside numbers
VARIANTS = 3  # in a name without ASCII letters; fewer are symbols


def lookalike_name(trajectory: Trajectory) -> Iterator[Finding]:
    """Such names in the assistant's texts and in the arguments of its calls."""
    found = results(trajectory)
    texts = [(index, message.content or "") for index, message in enumerate(trajectory.messages)]
    arguments = [(index, call, _text(call.arguments)) for index, call in calls(trajectory)]
    said = [*arguments, *((i, None, text) for i, text in texts if trajectory.messages[i].role == "assistant")]
    if all(text.isascii() for _, _, text in said):
        return
    evidence: list[tuple[str | None, str]] = [(None, trajectory.prompt)]
    evidence += [(text, found[call.id].content or "") for _, call, text in arguments if call.id in found]
    for index, call, text in said:
        for name in dict.fromkeys(TOKEN.findall(text)):
            known = [result for asked, result in evidence if asked is None or name not in asked]
            if name.isascii() or any(name in result for result in known):
                continue
            if why := _deceives(name, known):
                yield Finding(
                    reason=RejectionReason.MALFORMED if call else RejectionReason.UNSUPPORTED_CLAIM,
                    detail=f"{'an argument' if call else 'the answer'} holds {ascii(name)[:80]}, {why}",
                    message=index,
                    call=call.id if call else None,
                )
                break


def _deceives(name: str, known: list[str]) -> str:
    """How a name differs from what it looks like, "" if it does not."""
    if BESIDE.search(name):
        return "with an invisible character"
    plain = HIDDEN.sub("", name).translate(ALIKE)
    ascii_letters = any(letter.isascii() and letter.isalpha() for letter in name)
    changed = plain != HIDDEN.sub("", name)
    if changed and (ascii_letters or (plain.isascii() and _is_word(plain, known))):
        return "with letters of another alphabet"
    variants = [letter for letter in name if not letter.isascii() and _is_variant(letter)]
    if variants and (ascii_letters or len(variants) >= VARIANTS):
        return "with variants of ASCII letters"
    return ""


def _is_variant(letter: str) -> bool:
    plain = unicodedata.normalize("NFKC", letter)
    return letter not in ORDINALS and letter.isalpha() and plain.isascii() and plain.isalpha()


def _is_word(name: str, known: list[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for text in known)


def _text(arguments: JsonObject | str) -> str:
    if isinstance(arguments, str):
        return arguments
    return "\n".join(str(value) for value in arguments.values())
