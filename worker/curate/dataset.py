"""Writes a dataset directory: whole or not at all, and the same bytes for the same content."""

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
MANIFEST = "dataset.json"
CARD = "README.md"
HELD_OUT_ENOUGH = 8  # questions; with fewer in test, those of valid are asked too


def require_free(out: Path) -> None:
    """UsageError when `out` holds anything that is not a dataset made here."""
    if out.name in ("", ".."):  # it is replaced by renaming, which the directory one stands in does not allow
        raise UsageError(f"{str(out)!r} has no name of its own; name a directory for the dataset")
    if out.is_dir() and any(out.iterdir()) and not _ours(out):
        raise UsageError(f"{str(out)!r} is not empty and holds no dataset of applejack's; name another directory")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{str(out)!r} is a file; name a directory for the dataset")


def write_splits(place: Path, sides: Mapping[Split, Sequence[CuratedRow]], spool: Spool, *, mixed: bool) -> str:
    """Write the split files; returns the content hash, hex sha256 over their names and contents.

    Each entry is given its split and the lines of its rows.
    `mixed` spreads the rows of one conversation over the file: mlx_lm 0.32 takes rows of a batch as they stand in it.
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


def write_held_out(place: Path, sides: Mapping[Split, Sequence[CuratedRow]], spool: Spool) -> int:
    """The questions of the test split, each once, for evaluation to ask; returns how many.

    Each names the job it comes from. It names its workspace where the dataset knows more than one; otherwise it is the
    run's.
    """
    several = len({entry.workspace for side in sides.values() for entry in side if entry.tools}) > 1
    seen: set[str] = set()
    asked = list(_questions(sides["test"], spool, seen, several=several))
    if len(asked) < HELD_OUT_ENOUGH:
        asked += _questions(sides["valid"], spool, seen, several=several)
    (place / HELD_OUT).write_bytes(b"".join(line + b"\n" for line in asked))
    return len(asked)


def write_json(file: Path, content: JsonObject) -> None:
    """Indented JSON, keys in the given order."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _rows(entries: Sequence[CuratedRow], *, mixed: bool) -> Iterator[tuple[CuratedRow, Span]]:
    rows = ((entry, n, row) for entry in entries for n, row in enumerate(entry.rows))
    for entry, _, row in sorted(rows, key=_mixed_key) if mixed else rows:
        yield entry, row


def _mixed_key(item: tuple[CuratedRow, int, Span]) -> tuple[bytes, Span]:
    entry, n, row = item
    return hashlib.sha256(entry.order + bytes([n % 256])).digest(), row


def _questions(entries: Sequence[CuratedRow], spool: Spool, seen: set[str], *, several: bool) -> Iterator[bytes]:
    """Those of the prompts that `seen` does not hold yet; they are added to it."""
    for entry in entries:
        if entry.member.prompt not in seen:
            seen.add(entry.member.prompt)
            asked = spool.get(entry.prompt)
            yield json.dumps({**json.loads(asked), "workspace": entry.pinned or None}).encode() if several else asked


def _ours(out: Path) -> bool:
    try:
        return "applejack" in json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
