"""Checkpoints on disk: complete or absent, only the newest, only of the same recipe."""

import os
from pathlib import Path

import pytest

from config.records import JsonObject
from worker.train.checkpoints import State, all_weights, checkpoints, folder_of, open_folder, remove, save

RECIPE: JsonObject = {"dataset_hash": "abc", "hyperparameters": {"iters": 10}}


def write(folder: Path) -> None:
    (folder / "adapters.safetensors").write_bytes(b"weights")
    (folder / "adapter_config.json").write_text("{}")


def saved(folder: Path, *iterations: int) -> list[int]:
    for iteration in iterations:
        state = State(iteration=iteration, seconds=1.0, random_key=(0, 7), trained_tokens=5)
        assert save(folder, state, write).state.iteration == iteration
    return [found.iteration for found in checkpoints(folder)]


def test_only_the_newest_checkpoints_stay_whole_and_the_weights_of_all(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "adapter")
    assert checkpoints(folder) == []
    assert open_folder(folder, RECIPE) == []
    assert saved(folder, 5, 10, 100) == [10, 100]
    assert saved(folder, 105, 110) == [105, 110]
    assert [weights.iteration for weights in all_weights(folder)] == [5, 10, 100, 105, 110]
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "0000005_adapters.safetensors", "0000010_adapters.safetensors", "0000100_adapters.safetensors",
        "0000105", "0000110", "recipe.json",
    ]  # fmt: skip
    remove(folder)
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_of_another_recipe_are_removed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "adapter")
    open_folder(folder, RECIPE)
    assert saved(folder, 5) == [5]
    assert [found.iteration for found in open_folder(folder, RECIPE)] == [5]
    assert open_folder(folder, {**RECIPE, "dataset_hash": "def"}) == []
    assert checkpoints(folder) == []


@pytest.mark.parametrize("name", ["adapters.safetensors", "state.json"])
def test_a_checkpoint_with_a_file_cut_short_does_not_count(name: str, tmp_path: Path) -> None:
    assert saved(tmp_path, 5, 10) == [5, 10]
    os.truncate(tmp_path / "0000010" / name, 3)
    assert [found.iteration for found in checkpoints(tmp_path)] == [5]


def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_ones(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        write(folder)
        raise OSError(28, "No space left on device")

    assert saved(tmp_path, 5, 10) == [5, 10]
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, State(iteration=15, seconds=1.0, random_key=(0, 7), trained_tokens=5), full)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["0000005", "0000010"]
