"""Nothing leaves the workspace."""

import contextlib
import os
import socket
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import WorkspaceError
from config.records import JsonObject, Pin
from worker.tools import names, run_command, sandbox, toolset
from worker.tools.files import locate
from worker.tools.names import find_names
from worker.tools.patterns import RefusedError
from worker.tools.tree import Tree
from worker.tools.workspace import Workspace

SECRET = "the secret outside"
HERE = Tree.read(Path(__file__).parent)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "root"
    (root / "src").mkdir(parents=True)
    (root / "src/a.py").write_text("inside\n")
    (tmp_path / "rootbeer").mkdir()  # its path starts like the workspace's
    (tmp_path / "rootbeer/secret.txt").write_text(SECRET)
    (tmp_path / "secret.txt").write_text(SECRET)
    (root / "link.txt").symlink_to("../secret.txt")
    (root / "up").symlink_to("..")
    (root / "beer").symlink_to(tmp_path / "rootbeer")
    (root / "chain").symlink_to("up")
    (root / "circle").symlink_to("circle")
    (root / "inner.py").symlink_to("src/a.py")
    (root / ".venv").mkdir()
    (root / ".venv/pyvenv.cfg").write_text(SECRET)
    (root / "env").symlink_to(".venv")
    os.mkfifo(root / "pipe")
    (root / "photo.png").write_bytes(b"\x89PNG\0\0")
    (root / "big.csv").write_text("1,2\n" * 600_000)
    return Workspace(root, Pin(origin="here"))


ESCAPES = [
    ("/etc/passwd", "absolute"),
    ("//etc/passwd", "absolute, twice"),
    (" /etc/passwd", "absolute behind a space"),
    ("../secret.txt", "parent"),
    ("src/../../secret.txt", "parent further in"),
    ("src/..", "parent that would stay inside"),
    ("~/secret.txt", "home"),
    ("link.txt", "link to a file outside"),
    ("up/secret.txt", "through a link to the parent"),
    ("chain/secret.txt", "through a link to a link"),
    ("beer/secret.txt", "a sibling whose name starts like the workspace's"),
    ("circle", "link to itself"),
    (".venv/pyvenv.cfg", "environment data"),
    ("env/pyvenv.cfg", "environment data through a link"),
    ("src/a.py\0.txt", "a NUL"),
    ("a" * 5000, "longer than any path"),
    ("x/" * 3000, "deeper than any path"),
    ("\ud800", "no text"),
    ("src/a.py/deeper", "below a file"),
]


@pytest.mark.parametrize("path", [path for path, _ in ESCAPES], ids=[why for _, why in ESCAPES])
@pytest.mark.parametrize("name", ["read_file", "grep", "list_dir", "find_files", "count"])
def test_path_is_refused(workspace: Workspace, name: str, path: str) -> None:
    arguments: JsonObject = {"path": path}
    arguments |= {"grep": {"pattern": "."}, "find_files": {"glob": "*"}}.get(name, {})
    with pytest.raises(RefusedError) as refused:
        toolset.build(workspace, names=(name,))[name](arguments)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("pipe", "device, pipe or socket"),  # opening it must not wait for a writer
        ("photo.png", "binary"),
        ("big.csv", "2,400,000 bytes"),
    ],
)
def test_file_that_holds_no_readable_text_is_refused(workspace: Workspace, path: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        toolset.build(workspace, names=("read_file",))["read_file"]({"path": path})


def test_socket_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.root)  # socket paths are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(RefusedError):
            toolset.build(workspace, names=("read_file",))["read_file"]({"path": "socket"})


def test_links_inside_the_workspace_can_be_read(workspace: Workspace) -> None:
    assert toolset.build(workspace, names=("read_file",))["read_file"]({"path": "inner.py"}) == "1: inside"


def test_search_does_not_follow_links_out(workspace: Workspace) -> None:
    built = toolset.build(workspace, names=("grep", "find_files"))
    assert SECRET not in built["grep"]({"pattern": "secret"})
    assert built["find_files"]({"glob": "*.txt"}).startswith("no file matches")


def test_names_that_are_no_text_are_not_listed(tmp_path: Path) -> None:
    with contextlib.suppress(OSError):  # macOS takes UTF-8 names only
        (tmp_path / os.fsdecode(b"bad\xff.py")).write_text("x")
    (tmp_path / "two\nlines.py").write_text("x")
    assert Tree.read(tmp_path).paths() == []
    listing = toolset.build(Workspace(tmp_path, Pin(origin="here")), names=("list_dir",))["list_dir"]
    assert listing({}) == "the directory is empty"


@given(st.text(st.sampled_from("./~\\ ab\0linkup")) | st.text())
def test_any_path_stays_inside_or_is_refused(path: str) -> None:
    with contextlib.suppress(RefusedError):
        assert (HERE.root / locate(HERE, path)).resolve(strict=True).is_relative_to(HERE.root)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("rm -rf src", "'rm' is not allowed; allowed programs: ls, cat, sleep, yes, sh"),
        ("", "is not allowed"),
        ("./ls", "not allowed"),
        ("/bin/ls", "not allowed"),
        ("cat /etc/passwd", "out of the workspace"),
        ("cat ../secret.txt", "out of the workspace"),
        ("cat src/../../secret.txt", "out of the workspace"),
        ("cat --file=/etc/passwd", "out of the workspace"),
        ("cat -f/etc/passwd", "out of the workspace"),
        ("cat ~/x", "out of the workspace"),
        ("cat file:///etc/passwd", "out of the workspace"),
        ("cat link.txt", "link out"),
        ("cat up/secret.txt", "link out"),
        ("cat --file=beer/secret.txt", "link out"),
        ("cat -fbeer/secret.txt", "out of the workspace"),
        ("cat -nflink.txt", "link out"),
        ("cat circle", "no path"),
        ("cat src/a.py | wc -l", "no shell"),
        ("cat src/a.py; ls", "no shell"),
        ("cat src/a.py > out", "no shell"),
        ("cat $(ls)", "no shell"),
        ("cat 'src", "cannot be read"),
    ],
)
def test_command_is_refused(workspace: Workspace, command: str, words: str) -> None:
    with pytest.raises(RefusedError) as refused:
        run_command.run(workspace.root, command, allow=("ls", "cat", "sleep", "yes", "sh"))
    assert words in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("cat src/a.py", "exit code 0\nstdout:\ninside\nstderr is empty"),
        ("true", "exit code 0\nstdout is empty\nstderr is empty"),
        ("false", "exit code 1\nstdout is empty\nstderr is empty"),
        # what a program says about its failure is in the result
        ("sh -c 'echo no >&2; exit 3'", "exit code 3\nstdout is empty\nstderr:\nno"),
        ("sh -c 'kill -9 $$'", f"exit code {-9 if sandbox.missing() else 137}\nstdout is empty\nstderr is empty"),
        # nothing of this process's environment
        ("printenv PLANTED", "exit code 1\nstdout is empty\nstderr is empty"),
    ],
)
def test_command_result_tells_exit_code_and_both_streams(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, command: str, expected: str
) -> None:
    monkeypatch.setenv("PLANTED", "a secret")
    allow = ("cat", "true", "false", "sh", "printenv")
    assert run_command.run(workspace.root, command, allow=allow) == expected


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sleep 30", "it took longer"),
        ("yes", "it printed more than"),
    ],
)
def test_command_that_does_not_end_is_ended(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, command: str, words: str
) -> None:
    monkeypatch.setattr(run_command, "COMMAND_SECONDS", 0.3)
    result = run_command.run(workspace.root, command, allow=("sleep", "sh", "yes"))
    assert result.startswith(f"ended by us: {words}")
    assert len(result) < 2 * run_command.STREAM_CHARS


def test_what_a_command_started_is_ended_with_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_command, "COMMAND_SECONDS", 0.5)
    run_command.run(workspace.root, "sh -c 'setsid sleep 31.4159 & sleep 31.4159; wait'", allow=("sh",))
    deadline = time.monotonic() + 5
    while any("31.4159" in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_missing_program_is_told(workspace: Workspace) -> None:
    with pytest.raises(RefusedError, match="'no-such-program' is not installed"):
        run_command.run(workspace.root, "no-such-program", allow=("no-such-program",))


def test_chains_of_links_are_followed_as_far_as_the_system_does(tmp_path: Path) -> None:
    """Fails without stat() before resolve(), which follows each link of a chain to its end: quadratic time."""
    (tmp_path / "end").write_text("x")
    for number in range(400):
        (tmp_path / f"l{number:03d}").symlink_to(f"l{number - 1:03d}" if number else "end")
    links = find_names(tmp_path.resolve()).links
    assert 30 < len(links) < 45
    assert set(links.values()) == {"end"}


def test_links_count_as_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails without the count of links: a directory of links alone has no limit."""
    monkeypatch.setattr(names, "MAX_FILES", 20)
    for number in range(21):
        (tmp_path / f"l{number}").symlink_to("nowhere")
    with pytest.raises(WorkspaceError, match="more than 20 files"):
        find_names(tmp_path.resolve())
