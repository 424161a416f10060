"""Names of models: directories and hub ids, as options and as what a server serves."""

from pathlib import Path

import pytest

from config.errors import UsageError
from config.model_names import ModelName, download_text, is_served, parse_model
from config.records import Spec
from producer.commands.model_options import Students, absolute, parse_students
from producer.commands.resubmit import with_students


def test_a_name_is_a_path_where_it_looks_like_one_or_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "there").mkdir(parents=True)
    table = {
        "/models/x": ModelName(path=Path("/models/x")),  # may be on another machine
        "~/models/x": ModelName(path=tmp_path / "models/x"),
        "./models/x": ModelName(path=Path("models/x")),
        "org/there": ModelName(path=Path("org/there")),  # a directory here
        "org/name": ModelName(id="org/name"),
        "org/name@v1.5": ModelName(id="org/name", revision="v1.5"),
        "mlx-community/Qwen2.5-Coder-7B-Instruct-4bit@refs/pr/1": ModelName(
            id="mlx-community/Qwen2.5-Coder-7B-Instruct-4bit", revision="refs/pr/1"
        ),
    }
    assert {text: parse_model(text) for text in table} == table


@pytest.mark.parametrize("text", ["", "name", "a/b/c", "org/name@", "org/na me", "org/-name", "org/a--b", "org/x@-r"])
def test_what_is_neither_path_nor_id_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="neither a directory here nor a hub id"):
        parse_model(text)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        parse_model(str(tmp_path / "model.gguf"))


@pytest.mark.parametrize(
    ("serve", "model", "same"),
    [
        ("org/a", "org/a", True),
        ("org/a@v1", "org/a", True),  # the run leaves the revision to the machine
        ("org/a@v1", "org/a@v1", True),
        ("org/a", "org/a@v1", False),
        ("org/a", "org/b", False),
        ("/m/a", "/m/a/", True),
        ("/m/a", "org/a", False),
        ("org/a", "qwen3:8b", False),  # another server's name
        (None, "org/a", False),
    ],
)
def test_a_run_may_name_the_served_model_in_several_ways(serve: str | None, model: str, same: bool) -> None:
    assert is_served(serve, model) is same


def test_a_student_may_be_named_per_role(tmp_path: Path) -> None:
    table = {
        ("org/a",): Students("org/a"),
        ("curate=org/a", "train=/gpu/a"): Students("org/a", "/gpu/a"),
        ("org/a", "train=/gpu/a"): Students("org/a", "/gpu/a"),
        ("train=org/a",): Students(None, "org/a"),  # seed-text needs none for curation
        ("curate=org/a", "train=org/a"): Students("org/a"),
        (str(tmp_path / "x" / ".."),): Students(str(tmp_path)),
        (): Students(),
    }
    (tmp_path / "x").mkdir()
    assert {options: parse_students(options) for options in table} == table
    for options in (("org/a", "org/b"), ("train=org/a", "train=org/b"), ("org/a", "curate=org/b", "train=org/c")):
        with pytest.raises(UsageError, match="--student"):
            parse_students(options)


def test_a_relative_directory_must_be_here() -> None:
    with pytest.raises(UsageError, match=r"there is no directory '\./nowhere' here"):
        absolute("./nowhere")
    assert absolute("~/nowhere/at/all") == "~/nowhere/at/all"  # expanded where it is used


def test_the_spec_stores_a_second_student_only_where_there_is_one() -> None:
    spec = Spec(run_id="r", student="org/a")
    assert "train_student" not in spec.model_dump()
    assert spec.trained_student == "org/a"
    other = with_students(spec, Students("org/a", "/gpu/a"))
    assert Spec.model_validate_json(other.model_dump_json()).trained_student == "/gpu/a"
    assert with_students(other, Students("org/b")).trained_student == "org/b"
    assert with_students(other, Students(None, "/gpu/b")).student == "org/a"


def test_progress_has_the_unit_of_the_total() -> None:
    assert download_text("org/a", 3_100_000_000, 17_200_000_000) == "downloading org/a: 3.1 of 17.2 GB"
    assert download_text("org/a", 1_000_000, 269_000_000) == "downloading org/a: 1.0 of 269.0 MB"
