"""Whether a student is on this machine, or can come here by its hub id."""

from pathlib import Path

from config.records import JsonObject


def student_here(student: str) -> JsonObject:
    """`here`: True, False, or None for a hub id, which may be downloaded; `why` says what is missing."""
    path = Path(student).expanduser()
    if (path / "config.json").is_file():
        return {"here": True, "why": None}
    if student.startswith(("/", ".", "~")) or path.exists() or student.count("/") > 1:
        return {"here": False, "why": f"no model directory {student!r}"}
    return {"here": None, "why": None}
