"""A model is found in a hub-shaped cache: models--ORG--NAME/snapshots/COMMIT of links into blobs/."""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from config.errors import UsageError
from worker.models.resolve import LocalModel, NotHereError, hub_name, local_model

OLD, NEW = "1" * 40, "2" * 40
WEIGHTS = "model.safetensors"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cached(cache: Path, commit: str, *names: str, listed: tuple[str, ...] | None = None) -> Path:
    """A snapshot of ORG/NAME with these files; `listed` are those that huggingface_hub has seen on the hub."""
    folder = cache / "models--org--name"
    snapshot = folder / "snapshots" / commit
    for part in (snapshot, folder / "blobs", folder / "refs", folder / "trees"):
        part.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / "blobs" / f"{commit}-{name}").write_text("{}")
        (snapshot / name).symlink_to(f"../../blobs/{commit}-{name}")
    (folder / "refs" / "main").write_text(commit)
    if listed is not None:
        files = {name: {"size": 2, "blob_id": "0" * 40} for name in listed}
        (folder / "trees" / f"{commit}.json").write_text(json.dumps({"format_version": 1, "files": files}))
    return snapshot


def test_an_id_is_found_at_its_branch_tag_or_commit(cache: Path) -> None:
    old = cached(cache, OLD, "config.json", WEIGHTS)
    new = cached(cache, NEW, "config.json", WEIGHTS, listed=("config.json", WEIGHTS, "README.md", "extra.bin"))
    (cache / "models--org--name" / "refs" / "v1").write_text(OLD)
    assert local_model("org/name") == LocalModel(new, "org/name", NEW)  # what mlx_lm does not load may be missing
    for name in ("org/name@v1", f"org/name@{OLD}", f"org/name@{OLD[:7]}"):
        assert local_model(name) == LocalModel(old, "org/name", OLD)
    assert local_model("org/name", revision=OLD).path == old  # a run's pin
    assert hub_name(old) == ("org/name", OLD)


@pytest.mark.parametrize(
    ("names", "listed", "missing"),
    [
        (("config.json",), ("config.json", WEIGHTS), WEIGHTS),  # huggingface_hub knows the list
        (("config.json",), None, WEIGHTS),  # an earlier huggingface_hub did not
        ((WEIGHTS,), None, "config.json"),
    ],
)
def test_a_partial_snapshot_names_the_missing_file(
    cache: Path, names: tuple[str, ...], listed: tuple[str, ...] | None, missing: str
) -> None:
    cached(cache, NEW, *names, listed=listed)
    with pytest.raises(
        NotHereError, match=f"incomplete on this machine, without {missing}; run: applejack pull org/name$"
    ):
        local_model("org/name")


def test_a_link_without_its_blob_and_a_missing_shard_are_missing(cache: Path) -> None:
    snapshot = cached(cache, NEW, "config.json", "model.safetensors.index.json")
    shards = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(shards))
    (snapshot / "model-1.safetensors").symlink_to("../../blobs/gone")
    with pytest.raises(NotHereError, match=r"without model-1.safetensors, model-2.safetensors;"):
        local_model("org/name")
    assert local_model("org/name", weights=False).path == snapshot  # curation needs the tokenizer only


def test_another_revision_is_named(cache: Path) -> None:
    cached(cache, OLD, "config.json", WEIGHTS)
    with pytest.raises(
        NotHereError, match=f"has 'org/name' at revision {OLD[:12]}, not at 'v2'; run: applejack pull org/name@v2"
    ):
        local_model("org/name@v2")
    with pytest.raises(NotHereError, match="'org/other' is not on this machine; run: applejack pull org/other"):
        local_model("org/other")


def test_a_directory_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert local_model("~/model") == LocalModel(tmp_path / "model", str(tmp_path / "model"))
    with pytest.raises(UsageError, match="no model at '/no/where' on this machine"):
        local_model("/no/where")
