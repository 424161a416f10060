"""A disk of a test's own that can be full: a tmpfs, whose size changes at once."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.faults import PAGE, ROOMY


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk at a folder. Skips the test where this user may not mount."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOMY},mode=700", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a tmpfs cannot be mounted here (needs root on Linux): {getattr(error, 'stderr', '') or error}")
    try:
        (folder / "ballast").write_bytes(bytes(PAGE))  # a size of 0 would mean no limit, so that something is used
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
