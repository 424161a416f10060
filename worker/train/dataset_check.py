"""Checks a dataset before a training, by mlx_lm or by a user's own trainer: rows, loss proof, lengths, stop tokens."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from config import hyperparameters, logs
from config.errors import TrainingError, UsageError
from config.records import JsonObject
from worker.student.tokenizer import RenderError, Student
from worker.train import student_files
from worker.train.training_size import DEFAULT_BATCH

SPLITS = ("train", "valid", "test")
CHECKED_ROWS = 100  # between checks for cancellation; they take well under a second

log = logs.get(__name__)


@dataclass(frozen=True)
class CheckedDataset:
    """A dataset that the student can be trained on."""

    kind: str
    """turns or text"""
    values: JsonObject
    """the hyperparameters"""
    tokens: dict[str, list[list[int]]]
    """of each row, by split"""

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows by split."""
        return {split: len(found) for split, found in self.tokens.items()}


def check_dataset(
    dataset: Path,
    *,
    student: Path,
    overrides: JsonObject,
    file: Path | None,
    cancelled: Callable[[], bool] = lambda: False,
) -> CheckedDataset:
    """Check dataset, student and hyperparameters, whatever trains on them. Raises as preflight() does."""
    if not dataset.is_dir():
        raise UsageError(f"no dataset at {str(dataset)!r}: give a directory with train.jsonl and valid.jsonl")
    rows = {split: read_rows(dataset / f"{split}.jsonl") for split in SPLITS}
    if not rows["train"]:
        raise TrainingError(
            f"the dataset {str(dataset)!r} has no training rows: nothing was kept; its rejected.jsonl has the reasons"
        )
    require_proof(dataset)
    kind = kind_of(rows["train"][0], dataset)
    values = hyperparameters.resolve(overrides, turns=kind == "turns", file=file or hyperparameters.DEFAULT_FILE)
    require_rows({split: len(found) for split, found in rows.items()}, values, dataset)
    student_files.require_loadable(student)
    tokens = require_lengths(dataset, rows, Student(student), cast("int", values["max_seq_length"]), cancelled)
    return CheckedDataset(kind, values, tokens)


def require_proof(dataset: Path) -> None:
    """Refuse a dataset whose loss-mask check failed; a dataset made elsewhere has no such check."""
    card = dataset / "dataset.json"
    try:
        content = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    except ValueError as error:
        raise TrainingError(f"{str(card)!r} is not JSON: {error}; curate again") from None
    proof = content.get("loss_proof") if isinstance(content, dict) else None
    if isinstance(proof, dict) and proof.get("passed") is False:
        faults = proof.get("faults") or ["its loss proof failed"]
        message = "; ".join(str(fault) for fault in faults) if isinstance(faults, list) else str(faults)
        raise TrainingError(
            f"{str(card)!r} reports that this dataset would teach the wrong thing: {message}. Curate again with "
            "--format turns or another chat template"
        )


def read_rows(file: Path) -> list[JsonObject]:
    """The rows of a split, none if the file is missing; TrainingError names a line that is not a JSON object."""
    if not file.is_file():
        return []
    rows: list[JsonObject] = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise TrainingError(f"{file}:{number} is not a JSON object: {line[:80].rstrip()!r}; curate again")
            rows.append(row)
    return rows


def kind_of(row: JsonObject, dataset: Path) -> str:
    """The format in which mlx_lm will read the rows: "turns" or "text"."""
    if isinstance(row.get("messages"), list):
        return "turns"
    if isinstance(row.get("text"), str):
        return "text"
    raise TrainingError(f"the rows of {str(dataset)!r} hold {sorted(row)!r}, but neither 'text' nor 'messages'")


def require_rows(counts: dict[str, int], values: JsonObject, dataset: Path) -> None:
    """Check row counts: mlx_lm raises, after loading, when a split has fewer rows than a batch."""
    batch = cast("int", values.get("batch_size", DEFAULT_BATCH))
    for split in SPLITS:
        required = split != "test" or bool(values.get("test"))
        if required and counts[split] < batch and (counts[split] or split != "valid"):
            raise TrainingError(
                f"{split}.jsonl of {str(dataset)!r} has {counts[split]} rows, fewer than batch_size={batch}: "
                f"set batch_size lower or generate more prompts"
            )
    if not counts["valid"]:
        log.warning("train.no_validation", dataset=str(dataset), reason="valid.jsonl is missing or empty")


def require_lengths(
    dataset: Path,
    rows: dict[str, list[JsonObject]],
    student: Student,
    limit: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, list[list[int]]]:
    """The rows' tokens by split; TrainingError when one would be cut, or does not end with a stop token."""
    read: dict[str, list[list[int]]] = {split: [] for split in rows}
    for split, found in rows.items():
        for number, row in enumerate(found, 1):
            if number % CHECKED_ROWS == 0 and cancelled():
                raise TrainingError("training was cancelled")
            where = f"{dataset / split}.jsonl:{number}"
            tokens = row_tokens(row, student, where)
            read[split].append(tokens)
            if len(tokens) > limit:
                raise TrainingError(
                    f"{where} has {len(tokens)} tokens, more than max_seq_length={limit}: mlx_lm would cut off the "
                    "answer and its stop token; raise max_seq_length or curate with a lower one"
                )
            if not student.eos_ids.intersection(tokens[-2:]):  # some templates close a turn with a newline
                raise TrainingError(
                    f"{where} does not end with a stop token of the student ({sorted(student.eos_texts)!r}): it would "
                    "never learn to stop; check the student's chat template and eos_token"
                )
    return read


def row_tokens(row: JsonObject, student: Student, where: str) -> list[int]:
    """The tokens mlx_lm trains on."""
    text, messages, tools = row.get("text"), row.get("messages"), row.get("tools")
    try:
        if isinstance(text, str):
            return student.text_ids(text)
        if isinstance(messages, list):
            rendered = student.render(
                cast("list[JsonObject]", messages), cast("list[JsonObject]", tools if isinstance(tools, list) else [])
            )
            return student.ids([rendered])[0]
    except RenderError as error:
        raise TrainingError(f"{where}: {error}") from None
    raise TrainingError(f"{where} holds {sorted(row)!r}, but neither 'text' nor 'messages'; curate again")
