"""Writes the files of a dataset directory. The same content gives the same bytes."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from config.errors import UsageError
from config.records import JsonObject, Split
from worker.curate.row import CuratedRow
from worker.curate.spool import Span, Spool

SPLIT_FILES: Mapping[Split, str] = {"train": "train.jsonl", "valid": "valid.jsonl", "test": "test.jsonl"}
REJECTED = "rejected.jsonl"
HELD_OUT = "held_out.jsonl"
VALID_PROMPTS = "valid_prompts.jsonl"
MANIFEST = "dataset.json"
CARD = "README.md"
HELD_OUT_ENOUGH = 8  # questions; if test has fewer, those of valid are added


def require_free(out: Path) -> None:
    """Raise UsageError if `out` contains anything other than a dataset of applejack."""
    if out.name in ("", ".."):  # the output directory is renamed; "." and ".." cannot be
        raise UsageError(f"{str(out)!r} cannot be replaced; choose a named directory for the dataset")
    if out.is_dir() and any(out.iterdir()) and not _ours(out):
        raise UsageError(f"{str(out)!r} is not empty and not a dataset of applejack; choose another directory")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{str(out)!r} is a file; choose a directory for the dataset")


def write_splits(place: Path, sides: Mapping[Split, Sequence[CuratedRow]], spool: Spool, *, mixed: bool) -> str:
    """Write the split files; return the content hash: sha256 of their names and contents, in hex.

    Sets the split and the line numbers of each entry.
    `mixed` spreads the rows of one conversation over the file, because mlx_lm 0.32 batches rows in file order.
    """
    content = hashlib.sha256()
    for split, name in SPLIT_FILES.items():
        digest = hashlib.sha256()
        with (place / name).open("wb") as file:
            for number, (entry, row) in enumerate(_rows(sides[split], mixed=mixed), 1):
                line = spool.get(row)
                file.write(line)
                digest.update(line)
                entry.split = split
                entry.lines.append(number)
        content.update(f"{name} {digest.hexdigest()}\n".encode())
    return content.hexdigest()


def write_rejected(place: Path, entries: Sequence[CuratedRow]) -> None:
    """One line per rejected trajectory: job_id, reasons, detail."""
    with (place / REJECTED).open("w", encoding="utf-8") as file:
        for entry in sorted((e for e in entries if not e.kept), key=lambda e: (e.job_id, e.order)):
            verdict = entry.verdict
            line: JsonObject = {
                "job_id": entry.job_id,
                "reasons": [reason.value for reason in verdict.reasons],
                "detail": [finding.model_dump(mode="json", exclude_none=True) for finding in verdict.findings],
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_questions(place: Path, sides: Mapping[Split, Sequence[CuratedRow]], spool: Spool) -> dict[str, int]:
    """Write held_out.jsonl and valid_prompts.jsonl; return the number of questions of each, by its name without suffix.

    held_out has the distinct questions of the test split, for the evaluation. valid_prompts has those of the valid
    split that held_out has not, for the choice of the checkpoint: no question may both choose and score.
    Each line has its job_id. It has a workspace only if the dataset uses more than one; the default is the run's.
    """
    with_workspace = len({entry.workspace for side in sides.values() for entry in side if entry.tools}) > 1
    seen: set[str] = set()
    questions = list(_questions(sides["test"], spool, seen, with_workspace=with_workspace))
    if len(questions) < HELD_OUT_ENOUGH:
        questions += _questions(sides["valid"], spool, seen, with_workspace=with_workspace)
    choosing = list(_questions(sides["valid"], spool, seen, with_workspace=with_workspace))
    for name, lines in ((HELD_OUT, questions), (VALID_PROMPTS, choosing)):
        (place / name).write_bytes(b"".join(line + b"\n" for line in lines))
    return {"held_out": len(questions), "valid_prompts": len(choosing)}


def write_json(file: Path, content: JsonObject) -> None:
    """Write indented JSON; keys keep their order."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _rows(entries: Sequence[CuratedRow], *, mixed: bool) -> Iterator[tuple[CuratedRow, Span]]:
    rows = ((entry, n, row) for entry in entries for n, row in enumerate(entry.rows))
    for entry, _, row in sorted(rows, key=_mixed_key) if mixed else rows:
        yield entry, row


def _mixed_key(item: tuple[CuratedRow, int, Span]) -> tuple[bytes, Span]:
    entry, n, row = item
    return hashlib.sha256(entry.order + bytes([n % 256])).digest(), row


def _questions(entries: Sequence[CuratedRow], spool: Spool, seen: set[str], *, with_workspace: bool) -> Iterator[bytes]:
    """Yield the prompts that are not in `seen`, and add them to it."""
    for entry in entries:
        if entry.member.prompt not in seen:
            seen.add(entry.member.prompt)
            line = spool.get(entry.prompt)
            if with_workspace:
                line = json.dumps({**json.loads(line), "workspace": entry.pinned or None}).encode()
            yield line


def _ours(out: Path) -> bool:
    try:
        return "applejack" in json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
