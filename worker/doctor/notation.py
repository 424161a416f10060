"""Checks of a student's notation: turn markers, stop tokens, and the tags around calls."""

import re
from collections.abc import Iterator

from config.diagnostics import Diagnosis
from config.records import JsonObject
from worker.doctor import embeddings
from worker.doctor.conversations import ANSWER, written
from worker.student.tokenizer import REMEDY, Student

TURN_MARKER = re.compile(r"<\|[^<>|\s]+\|>|<(?:start|end)_of_turn>")
TAG_PAIRS = (("<tool_call>", "</tool_call>"), ("<tool_response>", "</tool_response>"))
CODER = re.compile(r"qwen2\.?5-coder", re.IGNORECASE)
HUB_FOLDER = "models--"  # prefix of a model's directory in the hub cache, two levels above its files
UNTRAINED = 0.99  # cosine of two embeddings that were never trained; trained pairs are far below it
STOP_REMEDY = "set eos_token_id in config.json and generation_config.json to that token's id (a list may hold several)"
FENCE_REMEDY = (
    "copy worker/student/templates/qwen25_coder_fenced.jinja into its directory as chat_template.jinja and set "
    '"tool_parser_type": "fenced_json" in tokenizer_config.json; or rename the two tokens in tokenizer.json, so that '
    "the tags are spelt out"
)


def markers(student: Student) -> Iterator[Diagnosis]:
    """Each turn marker is one token. The two tags of a pair are both one token or both spelt out."""
    text = written(student, prompt=True)
    for marker in sorted(set(TURN_MARKER.findall(text))):
        if (size := tokens(student, marker)) != 1:
            yield Diagnosis(
                "marker_split",
                "error",
                f"the template's marker {marker!r} is {size} tokens of this tokenizer, not one",
                "use the tokenizer that belongs to the template, or add the marker as a special token",
            )
    for opening, closing in TAG_PAIRS:
        if opening in text and (tokens(student, opening) == 1) != (tokens(student, closing) == 1):
            yield Diagnosis(
                "marker_pair",
                "error",
                f"{opening!r} is {tokens(student, opening)} tokens and {closing!r} is {tokens(student, closing)}: "
                "only one of the pair is a single token",
                "define both tags as tokens in tokenizer.json, or neither",
            )


def stop(student: Student) -> Iterator[Diagnosis]:
    """The server stops at the token that ends an assistant turn, and the tokenizer knows every stop token."""
    for number in sorted(student.eos_ids):
        if student.ids([student.decode([number])])[0] != [number]:
            yield Diagnosis(
                "stop_token_unknown",
                "error",
                f"the server stops at the token with id {number}, which the tokenizer cannot produce from any text "
                f"(it decodes to {student.decode([number])!r})",
                STOP_REMEDY,
            )
    ending = written(student).rpartition(ANSWER)[2].strip()
    if not ending:
        yield Diagnosis(
            "no_end_of_turn", "error", "the template writes nothing after an answer, so no turn ever ends", REMEDY
        )
        return
    first = student.ids([ending])[0][0]
    if first not in student.eos_ids:
        yield Diagnosis(
            "end_of_turn_is_no_eos",
            "error",
            f"a turn ends with {student.decode([first])!r} (id {first}), but the server stops at "
            f"{sorted(student.eos_texts)} only: when served, the student goes on to write the user's next turn",
            STOP_REMEDY,
        )


def tags(student: Student, config: JsonObject) -> Iterator[Diagnosis]:
    """LoRA hardly trains tags that the base model never learnt. Qwen2.5-Coder, in every size, is a known case."""
    opening, closing = TAG_PAIRS[0]
    if opening not in written(student) or tokens(student, opening) != 1:
        return
    if any(CODER.search(name) for name in names(student, config)):
        yield Diagnosis(
            "qwen25_coder_calls",
            "warning",
            f"Qwen2.5-Coder writes fenced json whatever its template shows, never {opening!r}",
            FENCE_REMEDY,
        )
        return
    ids = [student.ids([tag])[0][0] for tag in (opening, closing) if tokens(student, tag) == 1]
    if len(ids) == len(TAG_PAIRS[0]) and embeddings.cosine(student.directory, *ids) > UNTRAINED:
        yield Diagnosis(
            "untrained_tags",
            "warning",
            f"the embeddings of {opening!r} and {closing!r} are equal: the model was never trained on them",
            FENCE_REMEDY,
        )


def names(student: Student, config: JsonObject) -> list[str]:
    """The names of a student: its directory, its directory in the hub cache, and the name in config.json."""
    there = student.directory.resolve()
    hub = [part for part in there.parts if part.startswith(HUB_FOLDER)]
    return [student.directory.name, there.name, *hub, str(config.get("_name_or_path", ""))]


def tokens(student: Student, text: str) -> int:
    """Number of tokens of a text."""
    return len(student.ids([text])[0])
