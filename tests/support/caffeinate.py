"""A stub of macOS' caffeinate: records its start with its arguments, and its end with the reason."""

from pathlib import Path

STUB = """\
#!/bin/sh
echo "start $*" >>"{record}"
trap 'echo "end: terminated" >>"{record}"; exit 0' TERM
while [ "$1" != -w ]; do shift; done
while kill -0 "$2" 2>/dev/null; do sleep 0.05; done
echo "end: $2 is gone" >>"{record}"
"""
BROKEN = """\
#!/bin/sh
echo "start $*" >>"{record}"
exit 1
"""


def make_stub(folder: Path, script: str = STUB) -> Path:
    """Write folder/caffeinate; returns the file that it records to."""
    folder.mkdir(exist_ok=True)
    record = folder / "record"
    (folder / "caffeinate").write_text(script.format(record=record))
    (folder / "caffeinate").chmod(0o755)
    return record


def recorded(record: Path) -> list[str]:
    """The lines so far."""
    return record.read_text().splitlines() if record.exists() else []
