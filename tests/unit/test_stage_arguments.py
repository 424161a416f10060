"""Arguments of the stage commands that also take the id of a run."""

from pathlib import Path

import pytest

from config.errors import UsageError
from config.settings import Settings
from producer.commands.stages import review_run, take_run, with_local_run


def test_dir_beside_a_dataset_is_taken_out(tmp_path: Path) -> None:
    """Only the id of a run needs --dir; the worker's command does not know it."""
    assert take_run([str(tmp_path), "--dir", "d", "--json"]) == (None, None, [str(tmp_path), "--json"])
    assert take_run(["--json", "--dir=d"]) == (None, None, ["--json"])
    assert take_run(["--help"]) == (None, None, ["--help"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["night-1", "--dir", "d", "--most", "5", "--json"],
        ["--dir=d", "night-1", "--most", "5", "--json"],
        ["--most", "5", "--dir", "d", "night-1", "--json"],
    ],
)
def test_the_id_of_a_run_is_found_in_front(arguments: list[str]) -> None:
    assert take_run(arguments) == ("night-1", Path("d"), ["--most", "5", "--json"])


def test_a_run_that_is_nowhere_is_named(tmp_path: Path) -> None:
    settings = Settings(dir=tmp_path, redis_url=None)
    with pytest.raises(UsageError, match="'night-1' is neither a directory nor a run that can be read"):
        with_local_run("night-1", settings, trajectories=True)
    with pytest.raises(UsageError, match="'night-1' is neither a directory nor a run that can be read"):
        review_run("night-1", settings, [])
    with pytest.raises(UsageError, match="--most is 'few'"):
        review_run("night-1", settings, ["--most", "few"])
