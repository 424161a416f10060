"""The dataset card and the licences it tells."""

from pathlib import Path

import pytest
import yaml

from tests.trajectories import from_memory, looked_up
from worker.curate.licences import licence_of
from worker.curate.options import Options
from worker.curate.pipeline import curate

MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this"
BSD = "Redistribution and use in source and binary forms, with or without ...\nNeither the name of the"
LICENCES = [
    # file, words, what is told
    ("LICENSE", MIT, "MIT"),
    ("COPYING.txt", "GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007", "GPL-3.0"),
    ("licence.md", BSD, "BSD-3-Clause"),
    ("LICENSE", "All rights reserved.", "unknown (LICENSE)"),
    ("licenses.py", MIT, "none found"),  # code, not a licence
]


@pytest.mark.parametrize(("name", "words", "told"), LICENCES)
def test_a_licence_is_told_as_found(name: str, words: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(words)
    assert licence_of(str(tmp_path)) == told


def test_an_installed_package_keeps_its_licence_beside_it(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop-1.0.dist-info" / "licenses").mkdir(parents=True)
    (tmp_path / "shop-1.0.dist-info" / "licenses" / "LICENSE").write_text(MIT)
    assert licence_of(str(tmp_path / "shop")) == "MIT"


def test_code_that_is_elsewhere_is_said_to_be() -> None:
    assert licence_of("https://example.org/x.git") == "not looked at: the code is not on this machine"


def test_the_card_has_a_header_a_hub_reads_and_the_counts(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "LICENSE").write_text(MIT)
    provenance = {
        "teacher": "t", "endpoint": "e", "worker": "w", "applejack_version": "0", "toolset_digest": "d",
        "workspace": {"origin": str(tmp_path / "code")},
    }  # fmt: skip
    sample = [looked_up(n, provenance=provenance) for n in range(20)] + [from_memory(n) for n in range(6)]
    bad = looked_up(50, messages=looked_up(50).messages[:2])
    curate([*sample, bad], out=tmp_path / "out", options=Options(format="seed-text"), student=None)
    card = (tmp_path / "out" / "README.md").read_text()
    _, header, body = card.split("---\n", 2)
    told = yaml.safe_load(header)
    assert told["size_categories"] == ["n<1K"]
    assert [file["split"] for file in told["configs"][0]["data_files"]] == ["train", "validation"]
    assert all((tmp_path / "out" / file["path"]).is_file() for file in told["configs"][0]["data_files"])
    assert "26 of 27 trajectories were kept: 20 with tools and real results, 6 without tools" in body
    assert f"| {tmp_path / 'code'} | MIT |" in body
    assert "| null_result | 1 |" in body
