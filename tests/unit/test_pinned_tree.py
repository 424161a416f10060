"""Tools never return the content of a file that was edited after its workspace was opened."""

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.errors import WorkspaceError
from config.owner_policy import Policy
from config.records import Pin
from tests.support.recorded_code import git
from worker.tools import open_workspaces, toolset, tree
from worker.tools.open_workspaces import OpenWorkspaces
from worker.tools.tree import EditedError, Tree
from worker.tools.workspace import Workspace, open_workspace

Edit = Callable[[Path], object]


def in_place(root: Path) -> None:
    (root / "pkg/a.py").write_text("two\n")


def in_place_with_the_old_times(root: Path) -> None:
    before = (root / "pkg/a.py").stat()
    (root / "pkg/a.py").write_text("two\n")
    os.utime(root / "pkg/a.py", ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(root: Path) -> None:
    before = (root / "pkg/a.py").stat()
    (root / "new").write_text("two\n")
    os.utime(root / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (root / "new").rename(root / "pkg/a.py")


def truncated(root: Path) -> None:
    (root / "pkg/a.py").write_text("")


def removed(root: Path) -> None:
    (root / "pkg/a.py").unlink()


def linked(root: Path) -> None:
    (root / "pkg/a.py").unlink()
    (root / "pkg/a.py").symlink_to("b.py")


def made_a_fifo(root: Path) -> None:
    (root / "pkg/a.py").unlink()
    os.mkfifo(root / "pkg/a.py")


def directory_swapped(root: Path) -> None:
    shutil.copytree(root / "pkg", root / "other")
    shutil.rmtree(root / "pkg")
    (root / "other/a.py").write_text("two\n")
    (root / "pkg").symlink_to("other")


EDITS: tuple[Edit, ...] = (
    in_place,
    in_place_with_the_old_times,
    replaced,
    truncated,
    removed,
    linked,
    made_a_fifo,
    directory_swapped,
)
ADDITIONS: tuple[Edit, ...] = (
    lambda root: (root / "pkg/c.py").write_text("one\n"),
    lambda root: (root / "pkg/link.py").symlink_to("a.py"),
    lambda root: (root / "empty").mkdir(),
    lambda root: ((root / "way").unlink(), (root / "way").symlink_to("pkg/b.py")),
)


@pytest.fixture(params=["settled", "just written"])
def code(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With signatures that are trusted, and so new that only the hash can tell."""
    monkeypatch.setattr(tree, "SETTLED_NS", 0 if request.param == "settled" else 3_600_000_000_000)
    root = tmp_path / "code"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg/a.py").write_text("one\n")
    (root / "pkg/b.py").write_text("bee\n")
    (root / "way").symlink_to("pkg/a.py")
    time.sleep(0.02)  # an edit within one tick of the file system's clock is what the second case is for
    return root


def use(workspace: Workspace, name: str, **arguments: str) -> str:
    allowed = ("cat",) if name == "run_command" else ()
    return toolset.build(workspace, names=(name,), allow_commands=allowed)[name](dict(arguments))


READS = (("read_file", {"path": "pkg/a.py"}), ("grep", {"pattern": "o"}), ("count", {"pattern": "o"}))


@pytest.mark.parametrize("edit", EDITS)
def test_edited_file_is_not_read(code: Path, edit: Edit) -> None:
    workspace = open_workspace(str(code), cache=code.parent / "cache")
    assert "one" in use(workspace, "read_file", path="pkg/a.py")
    edit(code)
    for name, arguments in (*READS, ("run_command", {"command": "cat pkg/a.py"})):
        with pytest.raises(EditedError, match="was edited, added or removed"):
            use(workspace, name, **arguments)
    assert "bee" in use(workspace, "read_file", path="pkg/b.py") or edit is directory_swapped
    with pytest.raises(EditedError):
        workspace.tree.verify()


@pytest.mark.parametrize("addition", ADDITIONS)
def test_added_name_is_not_shown(code: Path, addition: Edit) -> None:
    workspace = open_workspace(str(code), cache=code.parent / "cache")
    calls = (*READS, ("list_dir", {}), ("list_dir", {"path": "pkg"}), ("find_files", {"glob": "*"}))
    calls += (("count", {}), ("read_file", {"path": "way"}))
    before = [use(workspace, name, **arguments) for name, arguments in calls]
    addition(code)
    assert [use(workspace, name, **arguments) for name, arguments in calls] == before
    with pytest.raises(EditedError):
        workspace.tree.verify()


def test_touched_or_copied_file_is_still_the_pinned_one(code: Path) -> None:
    workspace = open_workspace(str(code), cache=code.parent / "cache")
    (code / "pkg/a.py").touch()
    shutil.copytree(code, code.with_name("copy"), symlinks=True)
    shutil.rmtree(code)
    code.with_name("copy").rename(code)
    assert use(workspace, "read_file", path="pkg/a.py") == "1: one"
    workspace.tree.verify()


def test_unchanged_file_is_hashed_once(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SETTLED_NS", 0)
    opened = Tree.read(code)
    opened.content("pkg/a.py")  # a signature of the opening may have been too new
    monkeypatch.setattr(tree.hashlib, "sha256", lambda _: pytest.fail("hashed again"))
    assert opened.content("pkg/a.py") == b"one\n"
    opened.verify()


def test_edited_checkout_is_made_anew_during_a_job(code: Path) -> None:
    commit(code)
    workspace = open_workspace(str(code), cache=code.parent / "cache")
    for edit in (in_place_with_the_old_times, removed, lambda root: shutil.rmtree(root.parents[1])):  # the cache
        edit(workspace.root)
        with ThreadPoolExecutor(4) as pool:
            read = list(pool.map(lambda _: use(workspace, "read_file", path="pkg/a.py"), range(4)))
        assert read == ["1: one"] * 4
        edit(workspace.root)
        assert use(workspace, "run_command", command="cat pkg/a.py").startswith("exit code 0\nstdout:\none")


def commit(code: Path) -> None:
    git(code, "init", "--quiet")
    git(code, "add", ".")
    git(code, "commit", "--quiet", "-m", "one")


@pytest.mark.parametrize("in_git", [True, False])
def test_workspace_stays_open_until_it_is_edited(code: Path, in_git: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if in_git:
        commit(code)
    cache, name, opened = code.parent / "cache", str(code), OpenWorkspaces()
    first = opened.open(name, cache=cache, expect=None, policy=Policy())
    assert opened.find(name, first.pin) is first
    assert opened.find(name, Pin(origin=name, commit="1" * 40)) is None
    (first.root / "pkg/c.py").write_text("added\n")
    assert opened.find(name, first.pin) is first
    monkeypatch.setattr(open_workspaces, "VERIFY_SECONDS", -1.0)
    assert opened.find(name, first.pin) is None
    if in_git:
        assert not (opened.open(name, cache=cache, expect=first.pin, policy=Policy()).root / "pkg/c.py").exists()
    else:
        with pytest.raises(WorkspaceError, match="different code here"):
            opened.open(name, cache=cache, expect=first.pin, policy=Policy())
        (first.root / "pkg/c.py").unlink()
    again = opened.open(name, cache=cache, expect=first.pin, policy=Policy())
    assert opened.find(name, first.pin) is again
    shutil.rmtree(again.root)
    assert opened.find(name, first.pin) is None


def test_edited_file_closes_the_workspace_for_the_next_job(code: Path) -> None:
    name, opened = str(code), OpenWorkspaces()
    first = opened.open(name, cache=code.parent / "cache", expect=None, policy=Policy())
    in_place(code)
    with pytest.raises(EditedError):
        use(first, "read_file", path="pkg/a.py")
    assert opened.find(name, first.pin) is None


def test_only_the_latest_workspaces_stay_open(tmp_path: Path) -> None:
    opened = OpenWorkspaces()
    pins = {}
    for number in range(open_workspaces.OPEN + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        pins[str(folder)] = opened.open(str(folder), cache=tmp_path / "cache", expect=None, policy=Policy()).pin
    found = [opened.find(name, pin) is not None for name, pin in pins.items()]
    assert found == [False, *[True] * open_workspaces.OPEN]
