"""The log of a training that failed stays beside the adapter that it would have become."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.errors import TrainingError
from worker.train.file_names import LOG


@contextmanager
def log_kept(log_file: Path, out: Path) -> Iterator[None]:
    """Move the log of a training that fails in the block to `out`, and name its place in the error.

    Everything else of an adapter already in `out` is not changed.
    """
    try:
        yield
    except TrainingError as error:
        raise TrainingError(f"{error}{_keep(log_file, out)}") from error
    except BaseException:
        _keep(log_file, out)
        raise


def _keep(log_file: Path, out: Path) -> str:
    """Move the log to `out`; returns where it is, for an error message, "" if the training has not written one."""
    kept = out.absolute() / LOG
    if not log_file.exists():
        return ""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        log_file.replace(kept)
    except OSError as error:
        return f" (its log could not be kept at {str(kept)!r}: {error.strerror or error})"
    return f" (log: {kept})"
