"""What the tools say: usable text, capped with a marker, the same each time."""

import contextlib
import json
import time
from pathlib import Path

import pytest

from config.errors import UsageError
from config.records import TOOL_NAMES, JsonObject, Pin
from worker.tools import tools, toolset
from worker.tools.patterns import RefusedError
from worker.tools.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "src").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "src/a.py").write_text("import os\n\nclass Apple(Fruit):\n    def eat(self): return 1\n")
    (tmp_path / "src/b.py").write_text("import sys\nimport os\r\n")
    (tmp_path / "notes.md").write_text("# Notes\n")
    (tmp_path / "blank.txt").write_text("")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_text("import nothing\n")
    return Workspace(tmp_path, Pin(origin="here"))


def use(workspace: Workspace, name: str, **arguments: object) -> str:
    built = toolset.build(workspace, names=(name,), allow_commands=())
    return built[name](json.loads(json.dumps(arguments)))


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("read_file", {"path": "src/b.py"}, "1: import sys\n2: import os"),
        # a range
        (
            "read_file",
            {"path": "src/a.py", "start": 3, "end": 3},
            "3: class Apple(Fruit):\n[lines 4-4 not shown; use start=4]",
        ),
        # small models write numbers as text, and null for what they leave out
        ("read_file", {"path": "src/b.py", "start": "2", "end": None}, "2: import os"),
        # an empty file is not an empty result
        ("read_file", {"path": "blank.txt"}, "blank.txt is empty (0 lines)"),
        ("grep", {"pattern": r"class \w+"}, "src/a.py:3: class Apple(Fruit):"),
        # sorted by path and line; version control is not searched
        ("grep", {"pattern": "^import"}, "src/a.py:1: import os\nsrc/b.py:1: import sys\nsrc/b.py:2: import os"),
        # an empty line, and none behind the last newline
        ("grep", {"pattern": "^$"}, "src/a.py:2: "),
        # nothing found is said, with what was searched
        ("grep", {"pattern": "zebra"}, "no matches in 4 files"),
        ("grep", {"pattern": "zebra", "path": "src/a.py"}, "no matches in 1 file"),
        # a carriage return is no part of the line
        ("grep", {"pattern": "import os$", "glob": "b.py"}, "src/b.py:2: import os"),
        ("find_files", {"glob": "*.py"}, "src/a.py\nsrc/b.py"),
        ("find_files", {"glob": "**/a.py"}, "src/a.py"),
        ("find_files", {"glob": "src/*"}, "src/a.py\nsrc/b.py"),
        ("find_files", {"glob": "*.rs"}, "no file matches '*.rs' among 4 files"),
        ("list_dir", {}, "blank.txt\nempty/\nnotes.md\nsrc/"),
        ("list_dir", {"path": "./src/"}, "a.py\nb.py"),
        ("list_dir", {"path": "empty"}, "the directory is empty"),
        ("count", {"glob": "*.py"}, "2 files"),
        ("count", {"glob": "*.md"}, "1 file"),
        ("count", {"pattern": "import"}, "3 matching lines in 2 of 4 files"),
        ("count", {"pattern": "zebra", "glob": "*.py"}, "0 matching lines in 0 of 2 files"),
        ("count", {"glob": "*.rs"}, "0 files"),
    ],
)
def test_result_is_text_a_model_can_use(workspace: Workspace, name: str, arguments: JsonObject, expected: str) -> None:
    assert use(workspace, name, **arguments) == expected


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("read_file", {"path": "a.py"}, "there is 'src/a.py'"),  # the model forgot the directory
        ("read_file", {"path": "zebra.py"}, "find_files or list_dir can look"),
        ("read_file", {"path": "src"}, "list_dir"),
        ("read_file", {"path": "src/a.py", "start": 40}, "has 4 lines"),
        ("read_file", {"path": "src/a.py", "start": 3, "end": 2}, "before start"),
        ("read_file", {}, "read_file takes path, start, end; argument 'path'"),
        ("read_file", {"path": "src/a.py", "lines": 3}, "argument 'lines'"),
        ("read_file", {"path": ["src/a.py"]}, "argument 'path'"),
        ("list_dir", {"path": "notes.md"}, "read_file"),
        ("grep", {"pattern": ""}, "empty"),
        ("grep", {"pattern": "("}, "not valid"),
        ("grep", {"pattern": "(?<=a)b"}, "no look-around"),
        ("grep", {"pattern": "x" * 301}, "301 characters"),
        ("grep", {"pattern": "\ud800"}, "not valid text"),
        ("grep", {"pattern": "a", "glob": "*.rs"}, "no file matches glob '*.rs' among 4 files"),
        ("find_files", {"glob": ""}, "empty"),
    ],
)
def test_refusal_says_what_to_do_instead(workspace: Workspace, name: str, arguments: JsonObject, words: str) -> None:
    with pytest.raises(RefusedError) as refused:
        use(workspace, name, **arguments)
    assert words in str(refused.value)


def test_caps_say_what_was_left_out(tmp_path: Path) -> None:
    for number in range(tools.ENTRIES + 7):
        (tmp_path / f"f{number:03}.txt").write_text("apple\n" * 2)
    (tmp_path / "f000.txt").write_text("apple " * 1000 + "\n" + "line\n" * 500)
    many = Workspace(tmp_path, Pin(origin="here"))
    found = tools.ENTRIES + 7
    assert use(many, "grep", pattern="apple").endswith(
        f"\n[{2 * found - 1 - tools.MATCHES} more matches not shown; narrow the pattern]"
    )
    assert use(many, "find_files", glob="*").endswith("\n[7 more files not shown; narrow the glob]")
    assert use(many, "list_dir").endswith("\n[7 more entries not shown; find_files takes a glob]")
    read = use(many, "read_file", path="f000.txt")
    assert "[5760 more characters]" in read.splitlines()[0]
    assert read.endswith("[lines 61-501 not shown; use start=61]")
    assert max(map(len, (read, use(many, "grep", pattern="apple")))) < tools.RESULT_CHARS


def test_large_files_are_said_to_be_left_out_and_binary_ones_hold_no_lines(tmp_path: Path) -> None:
    (tmp_path / "big.txt").write_text("apple\n" * 400_000)
    (tmp_path / "photo.bin").write_bytes(b"apple\0apple")
    (tmp_path / "small.txt").write_text("apple\n")
    assert use(Workspace(tmp_path, Pin(origin="here")), "count", pattern="apple") == (
        "1 matching line in 1 of 1 file\n[1 large or unreadable file not searched]"
    )


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|aa)+$",  # exponential in a backtracking engine
        "(a?){1000000000}",  # took all memory of one
        "((((a{0,99}){0,9})*)*)*b",
        ".*" * 100 + "b",
    ],
)
def test_regex_bomb_ends_soon(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "a.txt").write_text(("a" * 7_000 + "\n") * 3)
    started = time.monotonic()
    with contextlib.suppress(RefusedError):  # refused is as good as answered
        use(Workspace(tmp_path, Pin(origin="here")), "grep", pattern=pattern)
    assert time.monotonic() - started < 8


def test_search_that_takes_too_long_says_what_it_did_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / name).write_text("apple\n")
    monkeypatch.setattr(tools, "SEARCH_SECONDS", -1.0)
    assert use(Workspace(tmp_path, Pin(origin="here")), "count", pattern="apple") == (
        "0 matching lines in 0 of 0 files\n[3 files not searched to the end in time; narrow the path]"
    )


def test_glob_bomb_ends_soon(tmp_path: Path) -> None:
    deep = tmp_path / "/".join("a" * 40)
    deep.mkdir(parents=True)
    (deep / "aaa.py").write_text("")
    started = time.monotonic()
    for glob in ("**/*/" * 30 + "b", "**/*/" * 5 + "b", "*a" * 40 + "b"):
        with contextlib.suppress(RefusedError):  # refused is as good as answered
            use(Workspace(tmp_path, Pin(origin="here")), "find_files", glob=glob)
    assert time.monotonic() - started < 5


def test_five_tools_fit_a_small_prompt() -> None:
    compact = json.dumps(toolset.schemas(TOOL_NAMES), separators=(",", ":"))
    assert len(compact) < 1500  # about 3.7 characters a token: 405 tokens


def test_run_command_is_offered_only_when_a_program_is_allowed() -> None:
    assert toolset.offered(("grep", "run_command"), ()) == ("grep",)
    assert toolset.offered(("grep",), ("ls",)) == ("grep", "run_command")
    with pytest.raises(UsageError, match="'gerp'"):
        toolset.offered(("gerp",), ())


def test_digest_tells_toolsets_apart() -> None:
    one, other = toolset.schemas(("grep",)), toolset.schemas(("grep", "count"))
    assert toolset.digest(one) == toolset.digest(toolset.schemas(("grep",)))
    assert toolset.digest(one) != toolset.digest(other)
