"""Workspaces are pinned: what tools read is what the pin says, on real git repositories."""

import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.errors import WorkspaceError
from config.records import Pin
from worker.tools import checkout
from worker.tools.tree import Tree
from worker.tools.workspace import open_workspace, parse


def git(where: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=where, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits; HEAD holds "two"."""
    made = tmp_path / "repo"
    (made / "pkg").mkdir(parents=True)
    git(made, "init", "--quiet")
    (made / ".gitignore").write_text("installed/\n")
    (made / ".gitattributes").write_text("pkg/kept.py export-ignore\n")  # git archive would leave it out
    (made / "pkg/kept.py").write_text("kept\n")
    (made / "pkg/a.py").write_text("one\n")
    git(made, "add", ".")
    git(made, "commit", "--quiet", "-m", "one")
    git(made, "tag", "first")
    (made / "pkg/a.py").write_text("two\n")
    git(made, "commit", "--quiet", "-am", "two")
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    checkout._dirty.clear()
    return tmp_path / "cache"


def test_head_is_read_as_committed_and_changes_are_recorded(repository: Path, cache: Path) -> None:
    clean = open_workspace(str(repository), cache=cache)
    assert clean.pin == Pin(origin=str(repository), commit=git(repository, "rev-parse", "HEAD"))
    (repository / "pkg/a.py").write_text("changed, not committed\n")
    checkout._dirty.clear()
    dirty = open_workspace(str(repository), cache=cache)
    assert dirty.pin.dirty
    assert dirty.root == clean.root
    assert (dirty.root / "pkg/a.py").read_text() == "two\n"
    assert (dirty.root / "pkg/kept.py").exists()
    assert not (dirty.root / ".git").exists()


def test_the_origin_is_left_as_it_was(repository: Path, cache: Path) -> None:
    (repository / "pkg/a.py").write_text("staged\n")
    git(repository, "add", ".")
    hook = repository / ".git/hooks/post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch {cache}.hooked\n")
    hook.chmod(0o755)
    before = git(repository, "status", "--porcelain")
    Path(f"{cache}.hooked").unlink(missing_ok=True)
    open_workspace(f"{repository}@first", cache=cache)
    assert not Path(f"{cache}.hooked").exists()
    assert git(repository, "status", "--porcelain") == before


@pytest.mark.parametrize("rev", ["first", "main~1", "HEAD~1"])
def test_revision_is_opened(repository: Path, cache: Path, rev: str) -> None:
    opened = open_workspace(f"{repository}@{rev}", cache=cache)
    assert opened.pin.commit == git(repository, "rev-parse", "first")
    assert (opened.root / "pkg/a.py").read_text() == "one\n"


def test_directory_of_a_repository_is_the_workspace(repository: Path, cache: Path) -> None:
    opened = open_workspace(f"{repository / 'pkg'}@first", cache=cache)
    assert sorted(path.name for path in opened.root.iterdir()) == ["a.py", "kept.py"]


def test_directory_that_git_ignores_is_pinned_by_content(repository: Path, cache: Path) -> None:
    (repository / "installed").mkdir()
    (repository / "installed/x.py").write_text("x\n")
    opened = open_workspace(str(repository / "installed"), cache=cache)
    assert opened.pin.commit is None
    assert opened.pin.digest
    assert opened.root == repository / "installed"


def test_url_is_cloned_and_a_branch_followed(repository: Path, cache: Path) -> None:
    url = f"file://{repository}"
    assert (open_workspace(f"{url}@main", cache=cache).root / "pkg/a.py").read_text() == "two\n"
    (repository / "pkg/a.py").write_text("three\n")
    git(repository, "commit", "--quiet", "-am", "three")
    newest = git(repository, "rev-parse", "HEAD")
    assert open_workspace(f"{url}@{newest}", cache=cache).pin.commit == newest  # not there yet: fetched
    assert (open_workspace(f"{url}@first", cache=cache).root / "pkg/a.py").read_text() == "one\n"


def test_run_keeps_its_commit_when_head_moves_on(repository: Path, cache: Path) -> None:
    pin = open_workspace(str(repository), cache=cache).pin
    (repository / "pkg/a.py").write_text("three\n")
    git(repository, "commit", "--quiet", "-am", "three")
    again = open_workspace(str(repository), cache=cache, expect=pin)
    assert again.pin.commit == pin.commit
    assert (again.root / "pkg/a.py").read_text() == "two\n"


def test_plain_directory_that_differs_from_the_pin_is_refused(tmp_path: Path, cache: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "a.py").write_text("a\n")
    pin = open_workspace(str(plain), cache=cache).pin
    assert open_workspace(str(plain), cache=cache, expect=pin).pin == pin
    (plain / "__pycache__").mkdir()
    (plain / "__pycache__/a.pyc").write_bytes(b"made by an import")
    assert open_workspace(str(plain), cache=cache, expect=pin).pin == pin
    (plain / "a.py").write_text("b\n")
    with pytest.raises(WorkspaceError, match="different code here"):
        open_workspace(str(plain), cache=cache, expect=pin)


def test_digest_sees_a_rename_and_moved_content(tmp_path: Path) -> None:
    digests = set()
    for names in (("a", "b"), ("b", "a"), ("a", "c")):
        made = tmp_path / "-".join(names)
        made.mkdir()
        for name, content in zip(names, ("1", "2"), strict=True):
            (made / name).write_text(content)
        digests.add(Tree.read(made).digest)
    assert len(digests) == 3


def test_edited_checkout_is_made_anew(repository: Path, cache: Path) -> None:
    root = open_workspace(str(repository), cache=cache).root
    (root / "pkg/a.py").write_text("edited by hand\n")
    (root / "pkg/more.py").write_text("added\n")
    again = open_workspace(str(repository), cache=cache).root
    assert again == root
    assert (root / "pkg/a.py").read_text() == "two\n"
    assert not (root / "pkg/more.py").exists()


def test_half_made_checkout_is_made_anew(repository: Path, cache: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    place = checkout._place(repository, commit, "", cache)
    place.mkdir(parents=True)  # no digest beside it: somebody was killed
    left = cache / "workspaces" / f".{place.name}.k1ll3d.partial" / "new"
    others = cache / "workspaces" / f".{commit}-0123abcd.al1v3.partial"  # of another repository, being made
    for folder in (left, others):
        folder.mkdir(parents=True)
    assert (open_workspace(str(repository), cache=cache).root / "pkg/a.py").exists()
    assert not left.exists()
    assert others.exists()


def test_many_workers_open_one_commit_at_once(repository: Path, cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from worker.tools.workspace import open_workspace;"
        f"print((open_workspace({str(repository)!r}, cache=Path({str(cache)!r})).root / 'pkg/a.py').read_text())"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    with ThreadPoolExecutor(4) as pool:
        threads = list(pool.map(lambda _: open_workspace(str(repository), cache=cache).root, range(8)))
    assert [process.communicate() for process in processes] == [("two\n\n", "")] * 3
    assert len(set(threads)) == 1
    assert len([path for path in (cache / "workspaces").iterdir() if path.is_dir()]) == 1


def test_a_commit_is_checked_out_once(repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    really = checkout._write_files

    def slowly(where: Path, commit: str, prefix: str, into: Path) -> None:
        made.append(commit)
        time.sleep(0.2)
        really(where, commit, prefix, into)

    monkeypatch.setattr(checkout, "_write_files", slowly)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: open_workspace(str(repository), cache=cache), range(4)))
    assert len(made) == 1


def test_environment_of_a_git_hook_does_not_mislead(
    repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert open_workspace(str(repository), cache=cache).pin.commit


def test_cache_may_be_relative(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (open_workspace("repo", cache=Path("data/cache")).root / "pkg/a.py").exists()
    assert (open_workspace("repo/pkg@first", cache=Path("data/cache")).root / "a.py").read_text() == "one\n"
    assert (open_workspace(f"file://{repository}@first", cache=Path("data/cache")).root / "pkg/a.py").exists()


def test_newline_and_odd_names_are_checked_out(repository: Path, cache: Path) -> None:
    (repository / "pkg/ä b\n.py").write_text("odd\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "odd")
    assert (open_workspace(str(repository), cache=cache).root / "pkg/ä b\n.py").read_text() == "odd\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a workspace"),
        ("/no/such/place", f"there is no directory '/no/such/place' on {platform.node()}; copy it there"),
        ("{repository}@nope", "has no commit 'nope'"),
        ("{repository}@", "'' is not a revision"),
        ("{repository}@--upload-pack=x", "is not a revision"),
        ("{repository}/pkg@0123456789012345678901234567890123456789", "has no commit"),
        ("{repository}/installed@first", "does not hold the directory 'installed'"),
        ("{plain}@main", "cannot be read as a git work tree"),
        ("file://{repository}", "has no revision"),
        ("file://{repository}@nope", "has no revision 'nope'"),
        ("file://{repository}/nope@main", "cannot be cloned"),
        ("https://me:secret@host.invalid/x", "has no revision"),
    ],
)
def test_missing_workspace_is_one_clear_line(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, cache: Path, text: str, words: str
) -> None:
    (repository / "installed").mkdir()
    plain = tmp_path_factory.mktemp("plain")
    with pytest.raises(WorkspaceError) as raised:
        open_workspace(text.format(repository=repository, plain=plain), cache=cache)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_expected_commit_that_contradicts_the_text_is_refused(repository: Path, cache: Path) -> None:
    first, head = git(repository, "rev-parse", "first"), git(repository, "rev-parse", "HEAD")
    with pytest.raises(WorkspaceError, match="not the commit"):
        open_workspace(f"{repository}@{first}", cache=cache, expect=Pin(origin="x", commit=head))
    with pytest.raises(WorkspaceError, match="digest"):
        open_workspace(str(repository), cache=cache, expect=Pin(origin="x", digest="0" * 64))


def test_too_large_a_directory_is_refused(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.tools.names.MAX_FILES", 3)
    for number in range(4):
        (tmp_path / str(number)).touch()
    with pytest.raises(WorkspaceError, match="smaller directory"):
        open_workspace(str(tmp_path), cache=cache)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("src", ("src", None)),
        ("src@main", ("src", "main")),
        ("a@b/src@feature/x", ("a@b/src", "feature/x")),
        ("https://host/x.git@v1", ("https://host/x.git", "v1")),
        ("https://me@host/x.git@v1", ("https://me@host/x.git", "v1")),
        ("git@host:x/y.git@v1.0", ("git@host:x/y.git", "v1.0")),
        ("ssh://git@host:22/x@a1b2c3d", ("ssh://git@host:22/x", "a1b2c3d")),
    ],
)
def test_parse(text: str, expected: tuple[str, str | None]) -> None:
    assert parse(text) == expected


def test_directory_with_an_at_sign_is_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("types@1").mkdir()
    assert parse("types@1") == ("types@1", None)
