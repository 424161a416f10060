"""The verdict and the content hash of each example: examples.jsonl in the dataset directory."""

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from config.errors import RejectionReason, UsageError
from config.records import Verdict

EXAMPLES = "examples.jsonl"
OF_THE_SET = frozenset({RejectionReason.DUPLICATE, RejectionReason.OVER_LENGTH, RejectionReason.SAMPLED_OUT})
"""Reasons that say nothing about the content of an example."""


class Example(BaseModel):
    """One line of examples.jsonl."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    run_id: str
    kept: bool | None
    """None: left out without a judgement of its content, see `judgement`"""
    content: str
    """worker.curate.review.marks.content_hash"""


def judgement(verdict: Verdict) -> bool | None:
    """Whether curation accepts the content: kept, or rejected for it.

    None for a failed rollout, which has no answer to judge, and for a duplicate, an over-long example and one that was
    sampled out: a person who finds it right does not contradict curation.
    """
    reasons = set(verdict.reasons)
    if RejectionReason.FAILED_GENERATION in reasons or (reasons and reasons <= OF_THE_SET):
        return None
    return verdict.kept


def write_examples(dataset: Path, examples: Iterable[Example]) -> None:
    """Write examples.jsonl, sorted, so that the same examples give the same bytes."""
    ordered = sorted(examples, key=lambda example: (example.job_id, example.run_id, example.content, str(example.kept)))
    with (dataset / EXAMPLES).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(example.model_dump(), ensure_ascii=False) + "\n" for example in ordered)


def read_examples(dataset: Path) -> list[Example]:
    """The examples of a dataset directory. Raises UsageError if it has no list of them."""
    file = dataset / EXAMPLES
    if not file.is_file():
        raise UsageError(
            f"{str(dataset)!r} has no {EXAMPLES}: it is not a dataset directory, or was made by an earlier version; "
            "curate it again"
        )
    examples = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                examples.append(Example.model_validate_json(line))
            except ValidationError as error:
                raise UsageError(f"{file}:{number} is not an example: {error.errors()[0]['msg']}") from error
    return examples
