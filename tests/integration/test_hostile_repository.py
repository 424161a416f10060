"""Reading a hostile repository runs nothing of its own and writes nothing outside; one that is too large is refused.

The file is long because all attacks change the same repository.
"""

import hashlib
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from config import git_tree
from config.errors import UsageError, WorkspaceError
from producer.mining.workspace_files import read_workspace
from worker.tools import checkout, names
from worker.tools.workspace import open_workspace


def git(where: Path, *arguments: str, given: bytes | None = None) -> str:
    """git without guards, as the attacker and the unsuspecting use it."""
    done = subprocess.run(["git", *arguments], cwd=where, input=given, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    made = tmp_path / "repo"
    made.mkdir()
    git(made, "init", "--quiet")
    git(made, "config", "user.name", "t")
    git(made, "config", "user.email", "t@example.org")
    (made / "a.py").write_text("def one():\n    return 1\n")
    (made / "b.txt").write_text("text\n")
    git(made, "add", ".")
    git(made, "commit", "--quiet", "-m", "one")
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that leaves a mark and passes its input on."""
    place = tmp_path / "trap"
    place.write_text(f"#!/bin/sh\necho ran >> '{tmp_path / 'mark'}'\nexec cat\n")
    place.chmod(0o755)
    return place


def ran(trap: Path) -> bool:
    return (trap.parent / "mark").exists()


def plant_filter(repository: Path, trap: Path) -> None:
    (repository / ".gitattributes").write_text("* filter=evil=1\n")
    git(repository, "add", ".gitattributes")
    git(repository, "commit", "--quiet", "-m", "attributes")
    for kind in ("clean", "smudge"):
        git(repository, "config", f"filter.evil=1.{kind}", str(trap))
    git(repository, "config", "filter.evil=1.required", "true")
    (repository / "a.py").write_text("def one():\n    return 2\n")  # git status now asks the clean filter


def test_filters_do_not_run(repository: Path, cache: Path, trap: Path) -> None:
    plant_filter(repository, trap)
    workspace = open_workspace(str(repository), cache=cache)
    assert (workspace.root / "a.py").read_text() == "def one():\n    return 1\n"
    assert workspace.pin.dirty
    assert read_workspace(repository).python == {"a.py": b"def one():\n    return 1\n"}
    assert not ran(trap)
    git(repository, "status")  # the attack works without the guards
    assert ran(trap)


def test_a_missing_object_is_not_fetched_with_a_command_of_the_repository(
    repository: Path, cache: Path, trap: Path
) -> None:
    blob = git(repository, "rev-parse", "HEAD:a.py")
    trap.write_text(trap.read_text().replace("exec cat", "exit 1"))  # as a transport it would wait for ever
    git(repository, "config", "core.repositoryformatversion", "1")
    git(repository, "config", "extensions.partialClone", "origin")
    git(repository, "config", "remote.origin.promisor", "true")
    git(repository, "config", "remote.origin.url", f"ext::{trap}")
    git(repository, "config", "protocol.ext.allow", "always")
    (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(WorkspaceError):
        open_workspace(str(repository), cache=cache)
    assert not ran(trap)
    subprocess.run(["git", "cat-file", "-e", blob], cwd=repository, capture_output=True, timeout=20)
    assert ran(trap)


def test_an_ext_url_is_not_cloned(cache: Path, trap: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError):
        open_workspace(f"ext::{trap}@main", cache=cache)
    with pytest.raises(WorkspaceError):
        open_workspace(f"ext://{trap}@main", cache=cache)
    assert not ran(trap)


def tree_of(repository: Path, *entries: tuple[str, bytes]) -> str:
    """Commit a tree with these paths, which git would not let anybody add."""
    lines = b""
    for mode, name in entries:
        blob = git(repository, "hash-object", "-w", "--stdin", given=b"/etc" if mode == "120000" else b"evil\n")
        lines += f"{mode} {'tree' if mode == '040000' else 'blob'} {blob}\t".encode() + name + b"\0"
    tree = git(repository, "mktree", "-z", given=lines)
    return git(repository, "commit-tree", tree, "-m", "evil")


@pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"."])
def test_a_path_that_leads_out_of_the_checkout_is_refused(repository: Path, cache: Path, name: bytes) -> None:
    commit = tree_of(repository, ("100644", name))
    with pytest.raises(WorkspaceError, match="leads out of it"):
        open_workspace(f"{repository}@{commit}", cache=cache)


def test_no_file_is_written_through_a_link(repository: Path, cache: Path) -> None:
    blob = git(repository, "hash-object", "-w", "--stdin", given=b"evil\n")
    inner = git(repository, "mktree", "-z", given=f"100644 blob {blob}\tplanted\0".encode())
    link = git(repository, "hash-object", "-w", "--stdin", given=str(cache.parent).encode())
    tree = git(repository, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", given=raw_tree(link, inner))
    commit = git(repository, "commit-tree", tree, "-m", "evil")
    with pytest.raises(WorkspaceError):
        open_workspace(f"{repository}@{commit}", cache=cache)
    assert not (cache.parent / "planted").exists()


def raw_tree(link: str, inner: str) -> bytes:
    """A tree object that holds "x" twice: a link, and a directory."""
    return b"120000 x\0" + bytes.fromhex(link) + b"40000 x\0" + bytes.fromhex(inner)


def test_a_repository_of_too_many_files_is_refused_before_anything_is_written(
    repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.tools.names.MAX_FILES", 1)
    with pytest.raises(WorkspaceError, match="more than 1 files and directories"):
        open_workspace(str(repository), cache=cache)
    assert not [path for path in (cache / "workspaces").iterdir() if path.is_dir()]


def evil_clone(repository: Path) -> Path:
    """A repository with the same commit, and another one with evil code."""
    evil = repository.with_name("evil")
    git(repository.parent, "clone", "--quiet", str(repository), str(evil))
    git(evil, "config", "user.name", "t")
    git(evil, "config", "user.email", "t@example.org")
    (evil / "a.py").write_text("EVIL = 1\n")
    git(evil, "commit", "--quiet", "-am", "evil")
    return evil


def test_a_commit_is_not_replaced_by_a_ref_of_its_repository(repository: Path, cache: Path) -> None:
    """Fails without GIT_NO_REPLACE_OBJECTS in config/git.py."""
    commit = git(repository, "rev-parse", "HEAD")
    evil = evil_clone(repository)
    git(evil, "replace", commit, "HEAD")
    assert "EVIL" in git(evil, "show", f"{commit}:a.py")  # the attack works without the guard
    assert "def one" in (open_workspace(f"{evil}@{commit}", cache=cache).root / "a.py").read_text()


def test_an_object_that_does_not_match_its_id_reaches_no_other_repository(repository: Path, cache: Path) -> None:
    """Fails without the repository in checkout._place: the good one's checkout is taken from the evil one's."""
    commit, blob = git(repository, "rev-parse", "HEAD"), git(repository, "rev-parse", "HEAD:a.py")
    evil = evil_clone(repository)
    objects, planted = evil / ".git/objects", git(evil, "rev-parse", "HEAD:a.py")
    there = objects / blob[:2] / blob[2:]
    there.unlink(missing_ok=True)
    there.parent.mkdir(exist_ok=True)
    there.write_bytes((objects / planted[:2] / planted[2:]).read_bytes())
    assert "EVIL" in (open_workspace(f"{evil}@{commit}", cache=cache).root / "a.py").read_text()
    assert "def one" in (open_workspace(f"{repository}@{commit}", cache=cache).root / "a.py").read_text()


def made_tree(where: Path, *entries: str) -> str:
    return git(where, "mktree", "-z", given=b"".join(entry.encode() + b"\0" for entry in entries))


def nested(where: Path, levels: int) -> str:
    """A file in so many directories. The objects are written here: a process for each would take a while."""
    made, mode, name = git(where, "hash-object", "-w", "--stdin", given=b"x"), b"100644", b"f.py"
    for _ in range(levels + 1):
        content = mode + b" " + name + b"\0" + bytes.fromhex(made)
        stored = b"tree %d\0" % len(content) + content
        made, mode, name = hashlib.sha1(stored).hexdigest(), b"40000", b"a"
        place = where / ".git/objects" / made[:2] / made[2:]
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(zlib.compress(stored))
    return made


def refused(repository: Path, cache: Path, tree: str, match: str) -> None:
    """The worker and `applejack mine` refuse the tree."""
    commit = git(repository, "commit-tree", tree, "-m", "evil")
    with pytest.raises(WorkspaceError, match=match):
        open_workspace(f"{repository}@{commit}", cache=cache)
    git(repository, "update-ref", "HEAD", commit)
    checkout._dirty.clear()
    with pytest.raises(WorkspaceError, match=match):
        open_workspace(str(repository), cache=cache)
    with pytest.raises(UsageError, match=match):
        read_workspace(repository)


def test_a_deep_tree_is_refused(repository: Path, cache: Path) -> None:
    """Fails without LEVELS in config/git_tree.py: RecursionError of Path.mkdir."""
    refused(repository, cache, nested(repository, 1_200), "more than 100 levels")


def test_directories_count_towards_the_size(repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails without -t of ls-tree in config/git_tree.py: 50 files are written, in 4,050 directories."""
    monkeypatch.setattr("worker.tools.names.MAX_FILES", 1_000)
    shared = nested(repository, 80)
    wide = made_tree(repository, *(f"040000 tree {shared}\td{number}" for number in range(50)))
    commit = git(repository, "commit-tree", wide, "-m", "evil")
    with pytest.raises(WorkspaceError, match="more than 1,000 files and directories"):
        open_workspace(f"{repository}@{commit}", cache=cache)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("empty", [False, True])
def test_a_bomb_of_trees_is_refused_before_it_is_listed(repository: Path, cache: Path, empty: bool) -> None:
    """Fails without the limit in list_files, or without -t for empty directories: 10**12 lines, or none for ever.

    Without it in checkout._status, `git status` takes 900 s.
    """
    blob = git(repository, "hash-object", "-w", "--stdin", given=b"x")
    level = made_tree(repository, *(() if empty else (f"100644 blob {blob}\tf{number}" for number in range(2))))
    for _ in range(12):
        level = made_tree(repository, *(f"040000 tree {level}\td{number}" for number in range(10)))
    refused(repository, cache, level, "more than 50,000 files and directories")


def test_the_limits_of_git_trees_and_directories_are_the_same() -> None:
    assert (git_tree.MOST_ENTRIES, git_tree.MOST_BYTES) == (names.MAX_FILES, names.MAX_BYTES)


def private(repository: Path) -> tuple[Path, str]:
    """Another repository, and its commit."""
    made = evil_clone(repository).rename(repository.with_name("private"))
    return made, git(made, "rev-parse", "HEAD")


def lend_alternates(repository: Path, other: Path) -> None:
    (repository / ".git/objects/info/alternates").write_text(f"{other}/.git/objects\n")


def lend_linked_packs(repository: Path, other: Path) -> None:
    git(other, "repack", "-a", "-d", "--quiet")
    shutil.rmtree(repository / ".git/objects/pack")
    (repository / ".git/objects/pack").symlink_to(other / ".git/objects/pack")


def lend_common_directory(repository: Path, other: Path) -> None:
    (repository / ".git/commondir").write_text(f"{other}/.git\n")


def lend_git_file(repository: Path, other: Path) -> None:
    shutil.rmtree(repository / ".git")
    (repository / ".git").write_text(f"gitdir: {other}/.git\n")


def lend_git_link(repository: Path, other: Path) -> None:
    shutil.rmtree(repository / ".git")
    (repository / ".git").symlink_to(other / ".git")


def lend_work_tree(repository: Path, other: Path) -> None:
    """The git directory of a work tree of the other one."""
    git(other, "worktree", "add", "--quiet", "--detach", str(other.with_name("beside")))
    shutil.rmtree(repository / ".git")
    (repository / ".git").write_text(f"gitdir: {other}/.git/worktrees/beside\n")


LENDERS = [
    lend_alternates, lend_linked_packs, lend_common_directory, lend_git_file, lend_git_link, lend_work_tree
]  # fmt: skip


@pytest.mark.parametrize("lend", LENDERS)
def test_a_repository_does_not_read_another_ones_objects(
    repository: Path, cache: Path, lend: Callable[[Path, Path], None]
) -> None:
    """Fails without require_own_objects in list_files; for file: URLs without the one in checkout._clone."""
    other, commit = private(repository)
    lend(repository, other)
    assert "EVIL" in git(repository, "show", f"{commit}:a.py")  # the attack works without the guard
    with pytest.raises(WorkspaceError, match="is refused"):
        open_workspace(f"{repository}@{commit}", cache=cache)
    with pytest.raises(WorkspaceError, match="cannot be cloned"):
        open_workspace(f"{repository.as_uri()}@{commit}", cache=cache)
    if lend is lend_alternates:
        git(repository, "update-ref", "HEAD", commit)
    with pytest.raises(UsageError, match="is refused"):
        read_workspace(repository)


def test_work_trees_submodules_and_repaired_alternates_are_read(repository: Path, cache: Path) -> None:
    beside, parent = repository.with_name("beside"), repository.with_name("parent")
    git(repository, "worktree", "add", "--quiet", "--detach", str(beside))
    git(repository.parent, "init", "--quiet", str(parent))
    git(parent, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository), "sub")
    shared = repository.with_name("shared")
    git(repository.parent, "clone", "--quiet", "--shared", str(repository), str(shared))
    with pytest.raises(WorkspaceError, match="git repack -a -d && rm"):
        open_workspace(str(shared), cache=cache)
    git(shared, "repack", "-a", "-d", "--quiet")
    (shared / ".git/objects/info/alternates").unlink()
    for place in (beside, parent / "sub", shared):
        assert (open_workspace(str(place), cache=cache).root / "b.txt").read_text() == "text\n"
        assert read_workspace(place).paths == ("a.py", "b.txt")


def test_git_does_not_find_a_repository_around_a_checkout(repository: Path) -> None:
    from worker.tools.run_command import run

    inside = repository / "cache" / "checkout"
    inside.mkdir(parents=True)
    assert "not a git repository" in run(inside, "git log --oneline", allow=["git"])
