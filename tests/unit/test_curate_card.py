"""The dataset card and the licences it tells."""

import json
from pathlib import Path

import pytest
import yaml

from config.records import JsonObject
from tests.support.trajectories import from_memory, looked_up
from worker.curate.card import card, review_section
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
    assert licence_of("https://example.org/x.git") == "not checked: the code is not on this machine"


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
    _, header, body = (tmp_path / "out" / "README.md").read_text().split("---\n", 2)
    told = yaml.safe_load(header)
    assert told["size_categories"] == ["n<1K"]
    assert [file["split"] for file in told["configs"][0]["data_files"]] == ["train", "validation"]
    assert all((tmp_path / "out" / file["path"]).is_file() for file in told["configs"][0]["data_files"])
    assert "26 of 27 trajectories were kept: 20 with tools and real results, 6 without tools" in body
    assert "| code | MIT |" in body
    assert "Answered by `not recorded` (6), `t` (20)." in body
    assert str(tmp_path) not in body  # a card is published, where things lie on this machine is not
    assert "| null_result | 1 |" in body
    assert "Format `seed-text`, independent of the student" in body


SIZES = [
    # rows, the category a hub knows
    (0, "n<1K"),
    (999, "n<1K"),
    (1000, "1K<n<10K"),
    (99_999, "10K<n<100K"),
    (100_000, "100K<n<1M"),
    (1_000_000, "1M<n<10M"),
    (10_000_000, "10M<n<100M"),
]


@pytest.mark.parametrize(("rows", "category"), SIZES)
def test_the_size_is_one_a_hub_knows_and_cells_stay_cells(rows: int, category: str, tmp_path: Path) -> None:
    curate([looked_up(0)], out=tmp_path / "out", options=Options(format="seed-text"), student=None)
    manifest = json.loads((tmp_path / "out" / "dataset.json").read_text())
    made = card(manifest | {"splits": {"train": rows}, "by_category": {"a|b\nc": 3}})
    assert yaml.safe_load(made.split("---\n")[1])["size_categories"] == [category]
    assert "| a\\|b c | 3 |" in made


@pytest.mark.parametrize(
    ("keep_wrong", "kept", "correct"),
    [
        (
            False,
            5,
            "- Correct: 4 of 7 answers to prompts with an expected answer; 4 of 4 of the kept. "
            "Kept with an answer that could not be checked: 1.",
        ),
        (
            True,
            8,
            "- Correct: 4 of 7 answers to prompts with an expected answer; 4 of 7 of the kept. "
            "Kept with an answer that could not be checked: 1. Wrong answers were kept on request (`--keep-wrong`).",
        ),
    ],
)
def test_the_card_counts_right_answers(keep_wrong: bool, kept: int, correct: str, tmp_path: Path) -> None:
    graded = [from_memory(n, expect={"number": n + (1 if n < 4 else 2)}) for n in range(7)]
    options = Options(format="seed-text", keep_wrong=keep_wrong)
    summary = curate([*graded, from_memory(8)], out=tmp_path / "out", options=options, student=None).summary
    assert (summary.kept, summary.correct) == (kept, {"count": 4, "of": 7})
    manifest = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert manifest["correct"] == {"count": 4, "of": 7}
    assert manifest["kept_correct"] == {"count": 4, "of": 7 if keep_wrong else 4}
    assert correct in (tmp_path / "out" / "README.md").read_text().splitlines()


def test_without_expected_answers_the_card_claims_no_correctness(tmp_path: Path) -> None:
    curate([from_memory(n) for n in range(3)], out=tmp_path / "out", options=Options(format="seed-text"), student=None)
    assert (
        "- Correct: not known; no prompt has an expected answer that can be checked."
        in (tmp_path / "out/README.md").read_text()
    )


def test_a_weighted_rate_is_not_shown_as_a_plain_share() -> None:
    plain = {"count": 9, "of": 10, "rate": 0.9, "interval95": [0.6, 0.98]}
    weighted = {"count": 4, "of": 6, "rate": 0.9, "interval95": [0.82, 0.96]}
    review: JsonObject = {"people": 1, "marked": 16, "precision": plain, "recall": weighted, "agreement": None}
    text = "\n".join(review_section({"review": review}))
    assert "90.0% (9 of 10 marked, 95% interval 60.0% to 98.0%)" in text
    assert "90.0% (estimated from 6 marks, weighted for how" in text
    assert "4 of 6" not in text
