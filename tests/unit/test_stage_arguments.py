"""Arguments of the stage commands that also take the id of a run."""

from pathlib import Path

import pytest

from config.errors import UsageError
from producer.commands.stages import with_local_run


def test_dir_beside_a_dataset_is_taken_out(tmp_path: Path) -> None:
    """Only the id of a run needs --dir; the worker's command does not know it."""
    assert with_local_run([str(tmp_path), "--dir", "d", "--json"]) == [str(tmp_path), "--json"]
    assert with_local_run(["--json", "--dir=d"]) == ["--json"]


def test_a_run_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'night-1' is neither a directory nor a run that can be read"):
        with_local_run(["night-1", "--dir", str(tmp_path)])
