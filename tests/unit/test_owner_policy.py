"""What a worker's owner lets runs read and start: each way out of a root is tried once."""

from pathlib import Path

import pytest

from config.errors import FailureKind, UsageError, WorkspaceError, WorkspaceRefusedError
from config.owner_policy import Policy
from config.records import Pin
from config.settings import Settings
from producer.stack.owner_settings import owner_settings
from worker.tools.workspace import open_workspace, reopen, require_allowed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a folder, beside a private one; links lead from one into the other."""
    for name in ("src/project", "src2", "private"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.py").write_text("secret = 1\n")
    (tmp_path / "src" / "link").symlink_to(tmp_path / "private")
    (tmp_path / "inward").symlink_to(tmp_path / "src" / "project")
    return tmp_path / "src"


@pytest.mark.parametrize(
    "named",
    [
        "{tmp}/private",
        "{tmp}/src/../private",
        "{tmp}/src/link",  # a link out of the root
        "{tmp}/src/link/../private",
        "{tmp}/src2",  # begins with the root's name
        "{tmp}",  # above it
        "{tmp}/src/none/../../private",
        "/",
        ".",
        "private",
        "file://{tmp}/private@main",
        "file://{tmp}/src/../private@main",
        "file://{tmp}/src/%2e%2e/private@main",  # git decodes it
        "~",
    ],
)
def test_a_folder_outside_the_roots_is_refused(root: Path, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails without Policy.require_origin in open_workspace, and for links without resolve()."""
    monkeypatch.chdir(root.parent)
    text = named.format(tmp=root.parent)
    with pytest.raises(WorkspaceRefusedError) as refused:
        open_workspace(text, cache=root.parent / "cache", policy=Policy(roots=(root,)))
    assert refused.value.kind is FailureKind.WORKSPACE_REFUSED
    assert repr(str(root)) in str(refused.value)
    assert "--workspace-root" in str(refused.value)
    assert not (root.parent / "cache").exists()


@pytest.mark.parametrize(
    "named", ["{tmp}/src", "{tmp}/src/project", "{tmp}/src/../src/project", "{tmp}/inward", "src/project"]
)
def test_a_folder_in_a_root_is_opened(root: Path, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    opened = open_workspace(
        named.format(tmp=root.parent), cache=root.parent / "cache", policy=Policy(roots=(root.parent / "else", root))
    )
    assert opened.root.is_relative_to(root)


def test_a_root_may_be_a_link(root: Path) -> None:
    (root.parent / "shown").symlink_to(root)
    policy = Policy(roots=(root.parent / "shown",))
    assert open_workspace(f"{root}/project", cache=root.parent / "cache", policy=policy).root == root / "project"
    assert policy.heartbeat()["workspace_roots"] == [str(root.parent / "shown"), str(root)]


@pytest.mark.parametrize("text", ["https://host/a.git@main", "git://host/a@main"])
def test_a_public_git_url_needs_no_root(text: str) -> None:
    require_allowed(text, Policy(roots=()))
    assert Policy(roots=()).objection(text) == ""


SSH = ("git@host:me/a.git", "ssh://git@host/me/a")


@pytest.mark.parametrize("url", SSH)
def test_ssh_needs_the_owners_word(url: str) -> None:
    """Fails without Policy.lends_credentials in require_origin: the keys of the worker's user open it."""
    with pytest.raises(WorkspaceRefusedError, match=r"git credentials for '.*/a.*`--workspace-root .*git@host.me/`"):
        require_allowed(f"{url}@main", Policy(roots=()))
    assert "git credentials for: none, not" in Policy(roots=()).objection(f"{url}@main")
    for policy in (Policy(), Policy(roots=(Path("/"),)), Policy(roots=(), urls=(url.rpartition("/")[0],))):
        require_allowed(f"{url}@main", policy)
        assert policy.objection(f"{url}@main") == ""


@pytest.mark.parametrize(
    ("url", "lent"),
    [
        ("https://host/me/a.git", True),
        ("https://host/me/deep/a", True),
        ("https://host/me", True),
        ("https://host/media/a", False),  # begins with the same letters
        ("https://host/me/../you/a", False),
        ("https://host/me/%2e%2e/you/a", False),  # curl and servers resolve it
        ("https://host/me/..%2Fyou/a", False),
        ("https://host@other/me/a", False),
        ("http://host/me/a", False),
        ("https://HOST/me/a", False),
        ("git@host:team/a.git", True),
        ("git@host:teams/a.git", False),
        ("git@host:team/../me/a.git", False),
        ("git@whole:a.git", True),
        ("git@whole.com:a.git", False),
    ],
)
def test_credentials_are_for_what_the_owner_names(url: str, lent: bool) -> None:
    named = "/src;https://host/me;git@host:team/;git@whole:"
    policy = Settings(workspace_roots=named).policy
    assert policy.roots == (Path("/src"),)
    assert policy.lends_credentials(url) is lent


def test_an_installed_package_needs_no_root_and_one_of_a_folder_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without Policy.require_package: `pip install -e` makes any folder an installed package."""
    require_allowed("package:pytest@" + pytest.__version__, Policy(roots=()))
    package, metadata = tmp_path / "mine", tmp_path / "mine-1.0.dist-info"
    for folder in (package, metadata):
        folder.mkdir()
    (package / "__init__.py").touch()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorkspaceRefusedError, match="mine"):
        open_workspace("package:mine@1.0", cache=tmp_path / "cache", policy=Policy(roots=()))
    require_allowed("package:mine@1.0", Policy(roots=(tmp_path,)))


def test_recorded_code_outside_the_roots_is_not_read_again(root: Path) -> None:
    """As curation and `verify` open it. Fails without require_origin in reopen."""
    private = root.parent / "private"
    digest = open_workspace(str(private), cache=root.parent / "cache").pin.digest
    for pin in (Pin(origin=str(private), digest=digest), Pin(origin=str(root / "link"), digest=digest)):
        with pytest.raises(WorkspaceRefusedError):
            reopen(pin, cache=root.parent / "cache", policy=Policy(roots=(root,)))
        assert reopen(pin, cache=root.parent / "cache").pin == pin


def test_a_path_without_meaning_is_a_failure_of_the_workspace(root: Path) -> None:
    (root / "cycle").symlink_to(root / "cycle")
    for named in ("~nobody-of-this-name/x", f"{root}/cycle"):
        with pytest.raises(WorkspaceError):
            open_workspace(named, cache=root.parent / "cache", policy=Policy(roots=(root,)))


def test_programs_are_those_that_the_owner_allows() -> None:
    with pytest.raises(WorkspaceRefusedError, match=r"start 'awk'; allowed programs: 'git'; .* `--allow-command awk`"):
        Policy(commands=("git",)).require_commands(("git", "awk"))
    Policy(commands=("git",)).require_commands(("git",))
    Policy().require_commands(("awk",))


@pytest.mark.parametrize(
    ("workspace", "objects"),
    [
        ("/src/celery@0123456789", False),
        ("/src", False),
        ("/src@main", False),
        ("/real/celery", False),  # the root's links resolved
        ("/src2/celery", True),
        ("/src/../etc", True),
        ("file:///etc@main", True),
        ("file:///src/a@main", False),
        ("https://host/a@main", False),
        ("package:kombu@5.7.0", False),
        (None, False),
    ],
)
def test_another_machine_judges_by_names(workspace: str | None, objects: bool) -> None:
    fields = {"workspace_roots": ["/src", "/real"], "commands": []}
    assert bool(Policy.of_heartbeat(fields).objection(workspace)) is objects  # type: ignore[arg-type]
    assert Policy.of_heartbeat({}).objection(workspace, ("git",)) == ""  # a worker of an earlier version
    assert Policy.of_heartbeat(fields).objection(workspace, ("git",))  # type: ignore[arg-type]


def test_a_heartbeat_carries_the_policy() -> None:
    urls = ("https://host/me/", "git@host:me/")
    for policy in (Policy(), Policy(roots=()), Policy(roots=(Path("/"),), commands=("git",)), Policy((), (), urls)):
        assert Policy.of_heartbeat(policy.heartbeat()) == policy


def test_a_worker_without_settings_allows_nothing_and_a_command_by_hand_everything() -> None:
    """Fails without Settings.of_worker, which worker/app.py calls."""
    assert Settings().policy == Policy()
    assert Settings().of_worker().policy == Policy(roots=(), commands=())
    own = Settings(workspace_roots="/src;~/code", commands="git;rg").of_worker().policy
    assert own == Policy((Path("/src"), Path.home() / "code"), ("git", "rg"))
    assert Settings(commands="git;*").policy.commands is None


FLEET = "redis://:pw@redis.local:6379/0"


def allowed(settings: Settings, **options: object) -> Policy:
    """The policy of a worker with these options."""
    made = owner_settings(settings, **options)  # type: ignore[arg-type]
    return Settings(workspace_roots=made["APPLEJACK_WORKSPACE_ROOTS"], commands=made["APPLEJACK_COMMANDS"]).policy


def test_the_embedded_server_is_its_users_own_and_a_fleet_is_not(tmp_path: Path) -> None:
    assert allowed(Settings()) == Policy(roots=(Path("/"),))
    fleet = Settings(redis_url=FLEET)  # type: ignore[arg-type]
    assert allowed(fleet) == Policy((), ())
    assert allowed(fleet, roots=[str(tmp_path)], commands=["git"]) == Policy((tmp_path,), ("git",))
    assert allowed(fleet, roots=["git@host:me/"]) == Policy((), (), ("git@host:me/",))
    assert allowed(Settings(workspace_roots=str(tmp_path), commands="")) == Policy((tmp_path,), ())
    assert allowed(Settings(workspace_roots="")).roots == ()
    assert owner_settings(fleet, unsandboxed=True)["APPLEJACK_UNSANDBOXED"] == "1"
    assert "APPLEJACK_UNSANDBOXED" not in owner_settings(fleet)


def test_a_relative_root_is_that_of_the_folder_in_which_the_worker_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    assert allowed(Settings(), roots=["src"]).roots == (tmp_path / "src",)
    assert allowed(Settings(workspace_roots="src;")).roots == (tmp_path / "src",)


@pytest.mark.parametrize("named", ["missing", "a;b", "file:///"])
def test_a_root_that_cannot_be_meant_is_refused(tmp_path: Path, named: str) -> None:
    (tmp_path / "a;b").mkdir()
    with pytest.raises(UsageError, match=named):
        owner_settings(Settings(), roots=[named if ":" in named else str(tmp_path / named)])
