"""Whether a folder is a copy of what the ledger holds."""

import hashlib
from pathlib import Path

import pytest

from config.fetched import has_files, read_manifest, write_manifest

HASHES = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("adapters.safetensors", "sub/file")}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"train.log": "another file"}, True),
        ({"sub/file": "of another training"}, False),  # trained again elsewhere
        ({"adapters.safetensors": None}, False),  # only the log of a failed training
    ],
)
def test_a_copy_has_each_file_unchanged(changed: dict[str, str | None], same: bool, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name, text in ({name: name for name in HASHES} | changed).items():
        if text is not None:
            (tmp_path / name).write_text(text)
    assert has_files(tmp_path, HASHES) is same


def test_a_manifest_knows_the_folders_of_earlier_adapters_and_no_others(tmp_path: Path) -> None:
    written = {"adapter": HASHES, "adapter@v12": HASHES, "report@v1": HASHES}
    write_manifest(tmp_path, {**written, "thesis": HASHES, "adapter@v": HASHES})
    assert read_manifest(tmp_path) == written
