"""`applejack precision`: marks of a dataset directory, its manifest and its card."""

import json
from pathlib import Path

import pytest
from typer import Exit

from config.errors import RejectionReason, UsageError
from config.fetched import sha256, write_manifest
from producer.fetch import require_unmodified
from tests.support.marked import example, marked
from tests.support.trajectories import looked_up
from worker.cli.precision import precision
from worker.curate.card import REVIEW_TITLE, with_review
from worker.curate.options import Options
from worker.curate.pipeline import curate
from worker.curate.review.examples import read_examples
from worker.curate.review.marks import marks_file, save_mark

R = RejectionReason


def dataset_in(folder: Path) -> Path:
    """A curated dataset of 12 kept and 4 rejected examples."""
    cut = [looked_up(n, messages=looked_up(n).messages[:2]) for n in range(90, 94)]
    curate(
        [*(looked_up(n) for n in range(12)), *cut], out=folder / "ds", options=Options(format="seed-text"), student=None
    )
    return folder / "ds"


def mark_all(dataset: Path, by: str = "ann", *, wrong: str = "") -> None:
    for one in read_examples(dataset):
        right = one.kept and one.job_id[:6] != wrong
        save_mark(marks_file(dataset), marked(one, "right" if right else "wrong", by))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            '{"job_id": "x", "mark": "maybe"}',
            r"ds\.marks\.jsonl:2 is not a mark: mark: Input should be 'right' or 'wrong'",
        ),
        ('{"job_id": "x"}', "jsonl:2 is not a mark: mark: Field required"),
        ('{"mark": "right"}', "jsonl:2 is not a mark: job_id: Field required"),
        ('{"job_id": "x", "mark"', "jsonl:2 is not a mark: not JSON"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_changed(line: str, complaint: str, tmp_path: Path) -> None:
    dataset = dataset_in(tmp_path)
    file = marks_file(dataset)
    text = '{"job_id": "y", "mark": "right"}\n' + line + "\n"
    file.write_text(text)
    before = {path.name: path.read_bytes() for path in dataset.iterdir()}
    with pytest.raises(UsageError, match=complaint):
        save_mark(file, marked(example(1), "right"))
    with pytest.raises(UsageError, match=complaint):
        precision(dataset)
    with pytest.raises(UsageError, match=complaint):
        dataset_in(tmp_path)
    assert file.read_text() == text
    assert {path.name: path.read_bytes() for path in dataset.iterdir()} == before


def test_curating_again_keeps_the_marks_and_writes_the_figures(tmp_path: Path) -> None:
    dataset = dataset_in(tmp_path)
    plain = {path.name: path.read_bytes() for path in dataset.iterdir()}
    mark_all(dataset, wrong="000003")
    saved = marks_file(dataset).read_bytes()
    dataset_in(tmp_path)
    manifest = json.loads((dataset / "dataset.json").read_text())
    assert marks_file(dataset).read_bytes() == saved
    assert manifest["content_hash"] == json.loads(plain["dataset.json"])["content_hash"]
    assert manifest["review"]["marked"] == 16
    assert manifest["review"]["precision"]["count"] == 11
    assert manifest["review"]["precision"]["of"] == 12
    assert "91.7% (11 of 12 marked, 95% interval" in (dataset / "README.md").read_text()
    assert {"ann"}.isdisjoint((dataset / "README.md").read_text().split())  # cards are published, names are not
    changed = {path.name for path in dataset.iterdir() if path.read_bytes() != plain[path.name]}
    assert changed == {"dataset.json", "README.md"}


def test_the_command_writes_what_curation_would_and_keeps_a_persons_edit_of_the_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = dataset_in(tmp_path)
    mark_all(dataset)
    precision(dataset, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert {"marked", "precision", "recall"} <= set(told)
    assert (told["precision"]["rate"], told["recall"]["rate"]) == (1.0, 1.0)
    by_command = {path.name: path.read_bytes() for path in dataset.iterdir()}
    dataset_in(tmp_path)
    assert {path.name: path.read_bytes() for path in dataset.iterdir()} == by_command
    readme = dataset / "README.md"
    readme.write_text(
        readme.read_text().replace("# Tool-calling", "My words.\n\n# Tool-calling") + "\n## Mine\n\nkept\n"
    )
    mark_all(dataset, by="bob")
    precision(dataset)
    text = readme.read_text()
    assert "My words." in text
    assert "## Mine\n\nkept" in text
    assert text.count(REVIEW_TITLE) == 1
    assert "2 people marked" in text


def test_a_card_loses_its_section_without_marks() -> None:
    assert with_review(f"# A\n\n{REVIEW_TITLE}\n\nold\n\n## B\n", {}) == "# A\n\n## B\n"


def test_a_fetched_dataset_can_be_fetched_again_after_its_figures_were_written(tmp_path: Path) -> None:
    dataset = dataset_in(tmp_path)
    fetched = {path.name: sha256(path) for path in dataset.iterdir()}
    dataset = dataset.rename(tmp_path / "dataset")
    write_manifest(tmp_path, {"dataset": fetched})
    mark_all(dataset)
    precision(dataset)
    recorded = json.loads((tmp_path / ".fetched.json").read_text())["dataset"]
    assert {name for name in fetched if fetched[name] != recorded[name]} == {"dataset.json", "README.md"}
    require_unmodified(dataset, fetched, recorded)
    (dataset / "README.md").write_text("mine\n")
    precision(dataset)  # a person's edit stays theirs: another fetch must not replace it
    recorded = json.loads((tmp_path / ".fetched.json").read_text())["dataset"]
    with pytest.raises(UsageError, match=r"README\.md' was not written by a fetch, or was changed since"):
        require_unmodified(dataset, fetched, recorded)


def test_no_marks_and_no_examples_are_told_in_one_line(tmp_path: Path) -> None:
    dataset = dataset_in(tmp_path)
    with pytest.raises(UsageError, match=r"no marks in '.*ds\.marks\.jsonl'; make some with `applejack review"):
        precision(dataset)
    save_mark(marks_file(dataset), marked(example(700), "right"))
    with pytest.raises(Exit) as ended:  # marks, but of nothing that is in the dataset
        precision(dataset)
    assert ended.value.exit_code == 1
    (dataset / "examples.jsonl").unlink()
    with pytest.raises(UsageError, match=r"has no examples\.jsonl: .* curate it again"):
        precision(dataset)
