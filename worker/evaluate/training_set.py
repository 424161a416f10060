"""Checks an evaluation against what the adapter was trained on, before any prompt is asked.

A held-out prompt that also stands in train.jsonl, or an adapter of another student, leaves no score that means
anything: EvaluationError names it. Other tools, another system prompt and a dataset that was changed since are named in
the report.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from config.errors import EvaluationError
from config.records import JsonObject, Prompt, Spec
from worker.curate.audit.rows import read_row, tool_names
from worker.curate.dataset import HELD_OUT, MANIFEST, SPLIT_FILES
from worker.curate.jsonlines import numbered_lines, parse_object
from worker.tools import toolset
from worker.train.file_names import RECIPE
from worker.train.recipe import dataset_hash, weights_of

MLX_CONFIG = "adapter_config.json"  # mlx_lm's record of a training; its "data" is the dataset's directory
TRAIN = SPLIT_FILES["train"]
SHOWN = 3  # leaked prompts in a message
SHOWN_CHARS = 80  # of each
PART_CHARS = 20  # a prompt of so many characters is also found inside a longer text
DIGITS = 12  # of a digest in a message


@dataclass
class TrainingRows:
    """What the rows of one train.jsonl show."""

    path: Path
    leaked: dict[str, int] = field(default_factory=dict)
    """prompt -> line"""
    tools: set[str] = field(default_factory=set)
    systems: set[str] = field(default_factory=set)
    only_messages: bool = True
    """every row is a list of messages, so that its system line is exact"""


def check_against_training(
    prompts: Sequence[Prompt], spec: Spec, *, dataset: Path | None, student: Path, adapter: Path | None
) -> tuple[str, ...]:
    """Notes for the report, one line each. `dataset` is the directory that the prompts are from, if they are from one.

    Raises EvaluationError if a prompt was trained on, or if the adapter was trained on another student.
    """
    if adapter is None:
        return ()
    recipe = _object(adapter / RECIPE)
    _require_same_student(recipe, student, adapter)
    trained_on = recipe.get("dataset_hash")
    sets = list(_training_sets(dataset, adapter, trained_on))
    read = [_read(directory / TRAIN, prompts) for directory in sets]
    for rows in read:
        _require_unseen(rows, len(prompts))
    notes: list[str] = []
    if not sets:
        notes.append(
            "It was not checked whether these prompts are in the training rows: the dataset of the adapter is not here."
        )
    elif trained_on and trained_on not in [dataset_hash(directory) for directory in sets]:
        notes.append(
            f"The adapter was trained on another version of the dataset (content hash {str(trained_on)[:DIGITS]}) than "
            f"{str(sets[0])!r} has ({dataset_hash(sets[0])[:DIGITS]}), so these prompts may have been trained on."
        )
    for directory, rows in zip(sets[:1], read, strict=False):
        notes += [*_changed(directory), *_other_tools(directory, rows, spec), *_other_system_prompt(rows, spec)]
    return tuple(notes)


def dataset_of(prompts: Path) -> Path | None:
    """The dataset's directory that prompts are from: the directory itself, or that of its held_out.jsonl."""
    directory = prompts if prompts.is_dir() else prompts.parent
    return directory if (directory / TRAIN).is_file() else None


def _require_same_student(recipe: JsonObject, student: Path, adapter: Path) -> None:
    trained = recipe.get("student")
    if not isinstance(trained, dict) or not (student / "config.json").is_file():
        return  # an adapter made elsewhere; or no model, which the server names
    named = trained.get("model") or trained.get("path")
    here = weights_of(student)
    if {key: trained.get(key) for key in here} != here:
        raise EvaluationError(
            f"no score: the adapter {str(adapter)!r} was trained on {str(named)!r}, whose files differ from those of "
            f"{str(student)!r}; evaluate with --student {named}"
        )


def _training_sets(dataset: Path | None, adapter: Path, trained_on: JsonValue) -> Iterator[Path]:
    """The directory of the prompts, and the one the adapter was trained on if it is still there unchanged."""
    if dataset is not None and (dataset / TRAIN).is_file():
        yield dataset
    named = _object(adapter / MLX_CONFIG).get("data")
    other = Path(named) if isinstance(named, str) and named else None
    if other is None or not (other / TRAIN).is_file() or (dataset and other.resolve() == dataset.resolve()):
        return
    if trained_on == dataset_hash(other):
        yield other


def _read(file: Path, prompts: Sequence[Prompt]) -> TrainingRows:
    found, wanted = TrainingRows(file), {_folded(prompt.prompt): prompt.prompt for prompt in prompts}
    with file.open("rb") as lines:
        for number, line in numbered_lines(lines):
            for prompt in _asked(line, wanted, found):
                found.leaked.setdefault(wanted[prompt], number)
    return found


def _asked(line: bytes, wanted: Iterable[str], found: TrainingRows) -> Iterator[str]:
    """The wanted prompts that a row asks: as a user turn, or inside its text where its turns are unknown."""
    try:
        record = parse_object(line)
    except ValueError:
        return  # not a training row; `applejack audit` names it
    try:
        row = read_row(record)
    except ValueError:
        row = None
    if row is None or not row.turns:
        texts = [_folded(text) for text in _strings(record)]
    else:
        texts = [_folded(turn.text) for turn in row.turns if turn.role == "user"]
        found.tools |= tool_names(row)
        found.systems.add(row.system)
        found.only_messages = found.only_messages and not row.is_text
    for prompt in wanted:
        if any(prompt == text or (len(prompt) >= PART_CHARS and _inside(prompt, text)) for text in texts):
            yield prompt


def _require_unseen(rows: TrainingRows, asked: int) -> None:
    if not rows.leaked:
        return
    shown = "; ".join(f"{prompt[:SHOWN_CHARS]!r} (line {line})" for prompt, line in list(rows.leaked.items())[:SHOWN])
    more = f" and {len(rows.leaked) - SHOWN} more" if len(rows.leaked) > SHOWN else ""
    raise EvaluationError(
        f"no score: {len(rows.leaked)} of {asked} prompts were trained on, they are in {str(rows.path)!r}: "
        f"{shown}{more}. Evaluate without them, or remove their rows and train again"
    )


def _changed(directory: Path) -> Iterator[str]:
    """Files of a dataset that are not those that curation wrote."""
    manifest = _object(directory / MANIFEST)
    written = manifest.get("content_hash")
    if isinstance(written, str) and written != (now := _content_hash(directory)):
        yield (
            f"The rows of {str(directory)!r} were changed after curation: their content hash is {now[:DIGITS]}, "
            f"dataset.json says {written[:DIGITS]}."
        )
    count, file = manifest.get("held_out"), directory / HELD_OUT
    if isinstance(count, int) and file.is_file():
        lines = sum(bool(line.strip()) for line in file.read_bytes().splitlines())
        if lines != count:
            yield f"{str(file)!r} has {lines} prompts; curation wrote {count}."


def _content_hash(directory: Path) -> str:
    """As curate/dataset.py computes it."""
    content = hashlib.sha256()
    for name in SPLIT_FILES.values():
        file = directory / name
        rows = hashlib.sha256(file.read_bytes() if file.is_file() else b"")
        content.update(f"{name} {rows.hexdigest()}\n".encode())
    return content.hexdigest()


def _other_tools(directory: Path, rows: TrainingRows, spec: Spec) -> Iterator[str]:
    names = toolset.offered(spec.tools, spec.allow_commands)
    trained, now = _object(directory / MANIFEST).get("toolset_digest"), toolset.digest(toolset.schemas(names))
    if rows.tools and rows.tools != set(names):
        yield (
            f"The evaluation offered the tools {', '.join(sorted(names))}; the training rows offer "
            f"{', '.join(sorted(rows.tools))}."
        )
    elif isinstance(trained, str) and trained and trained != now:
        yield (
            "The tools of the evaluation have other descriptions or parameters than those of the training rows "
            f"(digest {now[:DIGITS]}, trained with {trained[:DIGITS]})."
        )


def _other_system_prompt(rows: TrainingRows, spec: Spec) -> Iterator[str]:
    """A template may add the tools to the system line of rendered rows, so there it is searched inside."""
    asked = spec.system_prompt.strip()
    same = (asked in system if asked or not rows.only_messages else not system.strip() for system in rows.systems)
    if rows.systems and not any(same):
        trained = sorted(rows.systems)[0].strip()
        yield (
            f"The evaluation used the system prompt {asked[:SHOWN_CHARS]!r}; the training rows have "
            f"{trained[:SHOWN_CHARS]!r}."
        )


def _folded(text: str) -> str:
    """Lower case, white space folded, as `applejack audit` compares questions."""
    return " ".join(text.lower().split())


def _inside(part: str, text: str) -> bool:
    """Whether the text has the part, not within a longer word."""
    at = text.find(part)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(part) : at + len(part) + 1]
        if not before.isalnum() and not (after.isalnum() and part[-1].isalnum()):
            return True
        at = text.find(part, at + 1)
    return False


def _strings(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _object(file: Path) -> JsonObject:
    """The JSON object of a file; {} without one."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
