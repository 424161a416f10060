"""Recorded calls are executed again: on real git repositories, with real tools and the real agent's records."""

import shutil
import time
from pathlib import Path

import pytest

from config.errors import RejectionReason
from config.records import Finding, Message, Pin, Prompt, Spec, ToolCall, Trajectory
from tests.support.recorded_code import git
from tests.support.scripted_endpoint import Call, ScriptedEndpoint, call, calls, says
from worker.curate.replay import NotReplayed, Replay
from worker.generate.agent import endpoint_teacher
from worker.generate.rollout import run_rollout
from worker.tools import checkout, tools
from worker.tools.workspace import Workspace, open_workspace, reopen

CALLS = (
    call("grep", pattern="class \\w+"),
    call("read_file", path="pkg/a.py"),
    call("read_file", path="nowhere.py"),  # an error of the tool
    call("grep", pattern="("),
    call("count", pattern="def ", glob="*.py"),
    call("find_files", glob="*.py"),
    call("list_dir"),
    call("list_dir", folder="pkg"),  # an argument that does not exist
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits; the tag "first" is the older one."""
    made = tmp_path / "repo"
    (made / "pkg").mkdir(parents=True)
    git(made, "init", "--quiet")
    (made / "pkg/a.py").write_text("class One:\n    def run(self): ...\n")
    (made / "pkg/b.py").write_text("class Same: ...\n")
    git(made, "add", ".")
    git(made, "commit", "--quiet", "-m", "one")
    git(made, "tag", "first")
    (made / "pkg/a.py").write_text("class Two:\n    def run(self): ...\n")
    git(made, "commit", "--quiet", "-am", "two")
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    checkout._dirty.clear()
    return tmp_path / "cache"


def roll(workspace: Workspace, *asked: Call, **fields: object) -> Trajectory:
    """The trajectory of a model that makes these calls in one turn and then answers."""
    with ScriptedEndpoint([calls(*asked), says("Done.")]) as endpoint:
        made = run_rollout(
            Prompt(prompt="Which?"),
            spec=Spec.model_validate({"run_id": "r", **fields}),
            job_id="000000-aaaaaaaa",
            attempt=1,
            workspace=workspace,
            teacher=endpoint_teacher(endpoint.base_url, model="m", sampling=None, request_seconds=10),
            worker="w",
        )
    assert made.outcome == "completed", made.failure
    return made


def pinned(trajectory: Trajectory, **fields: object) -> Trajectory:
    """The trajectory with other fields of its pin."""
    assert trajectory.provenance is not None
    assert trajectory.provenance.workspace is not None
    pin = trajectory.provenance.workspace.model_copy(update=fields)
    return trajectory.model_copy(update={"provenance": trajectory.provenance.model_copy(update={"workspace": pin})})


def with_message(trajectory: Trajectory, index: int, **fields: object) -> Trajectory:
    messages = list(trajectory.messages)
    messages[index] = messages[index].model_copy(update=fields)
    return trajectory.model_copy(update={"messages": tuple(messages)})


def calling(trajectory: Trajectory, name: str, arguments: dict[str, str] | str, result: str = "x") -> Trajectory:
    """The trajectory with one other call and a recorded result."""
    asked = Message(role="assistant", tool_calls=(ToolCall(id="c", name=name, arguments=arguments),))
    told = Message(role="tool", tool_call_id="c", name=name, content=result)
    messages = (trajectory.messages[0], asked, told, trajectory.messages[-1])
    return trajectory.model_copy(update={"messages": messages})


def replayed(cache: Path, *given: Trajectory) -> tuple[list[Finding], Replay]:
    replay = Replay(cache)
    return [finding for one in given for finding in replay.check(one)], replay


def test_every_tool_and_every_error_matches_at_the_recorded_commit(repository: Path, cache: Path) -> None:
    made = roll(open_workspace(f"{repository}@first", cache=cache), *CALLS)
    assert [message.is_error for message in made.messages if message.role == "tool"].count(True) == 3
    (repository / "pkg/a.py").write_text("class Uncommitted: ...\n")
    checkout._dirty.clear()
    findings, replay = replayed(cache, Trajectory.model_validate_json(made.model_dump_json()), pinned(made, dirty=True))
    assert findings == []
    assert replay.counts() == {"calls": 16, "matched": 16, "differing": 0, "not_replayed": {}}


def test_a_result_of_another_commit_is_rejected_with_both_texts(repository: Path, cache: Path) -> None:
    made = roll(open_workspace(f"{repository}@first", cache=cache), *CALLS)
    head = git(repository, "rev-parse", "HEAD")
    findings, replay = replayed(cache, pinned(made, commit=head))
    assert {finding.reason for finding in findings} == {RejectionReason.REPLAY_MISMATCH}
    assert [made.messages[finding.message or 0].name for finding in findings] == ["grep", "read_file"]
    assert "class One" in findings[0].detail
    assert "class Two" in findings[0].detail
    assert head[:12] in findings[0].detail
    assert all(len(finding.detail.splitlines()) == 1 for finding in findings)
    assert (replay.matched, replay.differing) == (6, 2)


@pytest.mark.parametrize(
    ("index", "fields"),
    [
        (2, {"content": "pkg/a.py:1: class One:\npkg/b.py:1: class Same: ... "}),  # one blank
        (2, {"content": "pkg/a.py:1: class One:"}),  # a line is missing
        (2, {"is_error": True}),  # a result as an error
        (4, {"is_error": False}),  # an error as a result
        (4, {"content": '{"error":"there is no file"}'}),  # another error
        (6, {"content": "2 matching lines in 1 of 2 files"}),
    ],
)
def test_any_changed_result_is_caught(repository: Path, cache: Path, index: int, fields: dict[str, object]) -> None:
    made = roll(open_workspace(f"{repository}@first", cache=cache), *CALLS)
    findings, _ = replayed(cache, with_message(made, index, **fields))
    assert [finding.message for finding in findings] == [index]


def test_long_texts_are_shown_around_the_first_difference(tmp_path: Path, cache: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.py").write_text("".join(f"line_{number} = {number}\n" for number in range(60)))
    made = roll(open_workspace(str(code), cache=cache), call("read_file", path="a.py"))
    text = made.messages[2].content or ""
    (finding,), _ = replayed(cache, with_message(made, 2, content=text.replace("line_40 = 40", "line_40 = 41")))
    assert "line_40 = 41" in finding.detail
    assert "line_40 = 40" in finding.detail
    assert "line_30" not in finding.detail
    assert len(finding.detail) < 600


def test_an_id_that_is_used_again_is_paired_with_its_own_result(repository: Path, cache: Path) -> None:
    workspace = open_workspace(str(repository), cache=cache)
    first, second = (roll(workspace, call("list_dir", path=path)) for path in (".", "pkg"))
    same = [
        message.model_copy(
            update={"tool_call_id": "c"}
            if message.role == "tool"
            else {"tool_calls": tuple(one.model_copy(update={"id": "c"}) for one in message.tool_calls)}
        )
        for made in (first, second)
        for message in made.messages[1:3]
    ]
    findings, replay = replayed(cache, first.model_copy(update={"messages": tuple(same)}))
    assert (findings, replay.matched) == ([], 2)


@pytest.mark.parametrize("fields", [{}, {"secrets": "reject"}, {"allow_files": (".env",)}])
def test_code_with_secrets_is_replayed_as_the_run_read_it(
    tmp_path: Path, cache: Path, fields: dict[str, object]
) -> None:
    """The last fails without the mask over what a run with allowed files reads."""
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text(f"TOKEN = '{token}'\n")
    (tmp_path / "code" / ".env").write_text(f"TOKEN={token}\n")
    asked = [
        call("read_file", path=".env"),
        call("read_file", path="app.py"),
        call("count", pattern="T", path="app.py"),
    ]
    made = roll(open_workspace(str(tmp_path / "code"), cache=cache), *asked, **fields)
    assert (token in made.model_dump_json()) == (fields == {"secrets": "reject"})
    findings, replay = replayed(cache, made)
    assert findings == []
    assert replay.matched == 3


def test_a_directory_is_replayed_until_it_changes(tmp_path: Path, cache: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.py").write_text("class One: ...\n")
    made = roll(open_workspace(str(code), cache=cache), call("grep", pattern="class"))
    replay = Replay(cache)
    assert list(replay.check(made)) == []
    assert replay.matched == 1
    git(code, "init", "--quiet")  # of no importance for a directory that is pinned by its content
    assert replayed(cache, made)[1].matched == 1

    (code / "a.py").write_text("class Two: ...\n")
    other = calling(made, "grep", {"pattern": "cl"}, "a.py:1: class One: ...")
    assert list(replay.check(other)) == []  # changed while it was open: the record is not to blame
    assert list(Replay(cache).check(other)) == []
    assert replay.not_replayed == {NotReplayed.CHANGED: 1}


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"commit": None}, NotReplayed.UNPINNED),
        ({"origin": "/nowhere/repo"}, NotReplayed.UNREACHABLE),
        ({"origin": "~nobody-of-that-name/repo"}, NotReplayed.UNREACHABLE),
        ({"origin": "a\0b"}, NotReplayed.UNREACHABLE),
        ({"commit": "1" * 40}, NotReplayed.UNREACHABLE),  # not in the repository
        ({"commit": "HEAD"}, NotReplayed.UNREACHABLE),  # a name, which means other code tomorrow
        ({"commit": "--help"}, NotReplayed.UNREACHABLE),
        ({"origin": "https://example.invalid/repo.git"}, NotReplayed.UNREACHABLE),
        ({"commit": None, "digest": "0" * 64}, NotReplayed.CHANGED),
    ],
)
def test_code_that_is_not_at_hand_is_counted(
    repository: Path, cache: Path, fields: dict[str, object], cause: NotReplayed
) -> None:
    made = pinned(roll(open_workspace(str(repository), cache=cache), *CALLS), **fields)
    findings, replay = replayed(cache.with_name("empty"), with_message(made, 2, content="false"))
    assert findings == []
    assert replay.counts() == {"calls": 0, "matched": 0, "differing": 0, "not_replayed": {cause.value: 1}}


def test_a_remote_repository_is_replayed_from_the_cache_and_never_fetched(repository: Path, cache: Path) -> None:
    url = repository.as_uri()
    made = roll(open_workspace(f"{url}@first", cache=cache), *CALLS)
    elsewhere = cache.with_name("other")
    assert replayed(elsewhere, made)[1].not_replayed == {NotReplayed.UNREACHABLE: 1}
    assert not (elsewhere / "mirrors").exists()

    shutil.rmtree(repository)
    assert replayed(cache, made)[1].matched == len(CALLS)
    shutil.rmtree(cache / "workspaces")
    assert replayed(cache, made)[1].matched == len(CALLS)  # from the clone
    assert replayed(cache, pinned(made, commit="1" * 40))[1].not_replayed == {NotReplayed.UNREACHABLE: 1}
    shutil.rmtree(cache / "mirrors")
    (next((cache / "workspaces").glob("*/pkg")) / "a.py").write_text("changed in the cache\n")
    assert replayed(cache, made)[1].not_replayed == {NotReplayed.UNREACHABLE: 1}


def test_a_changed_or_deleted_checkout_is_made_anew(repository: Path, cache: Path) -> None:
    workspace = open_workspace(str(repository), cache=cache)
    made = roll(workspace, *CALLS)
    (workspace.root / "pkg/a.py").write_text("changed in the cache\n")
    assert replayed(cache, made)[1].matched == len(CALLS)

    replay = Replay(cache)
    assert list(replay.check(calling(made, "list_dir", {"path": "."}, "pkg/"))) == []
    shutil.rmtree(cache)
    assert list(replay.check(made)) == []
    assert replay.matched == 1 + len(CALLS)


def test_other_tools_are_not_replayed(repository: Path, cache: Path) -> None:
    made = roll(open_workspace(str(repository), cache=cache), *CALLS)
    assert made.provenance is not None
    fewer = made.model_copy(update={"tools": made.tools[:2]})
    named = made.provenance.model_copy(update={"toolset_digest": "0" * 64})
    unknown = made.model_copy(update={"tools": ({"type": "function", "function": {"name": "web_search"}}, {"x": None})})
    _, replay = replayed(cache, fewer, made.model_copy(update={"provenance": named}), unknown)
    assert replay.counts()["not_replayed"] == {"other_tools": 3}
    only = roll(open_workspace(str(repository), cache=cache), call("grep", pattern="class"), tools=("grep",))
    assert replayed(cache, only)[1].matched == 1


def test_run_command_is_never_executed(repository: Path, cache: Path, tmp_path: Path) -> None:
    workspace = open_workspace(str(repository), cache=cache)
    made = roll(workspace, call("list_dir"), call("run_command", command="ls"), allow_commands=("ls", "touch"))
    findings, replay = replayed(cache, made, calling(made, "run_command", {"command": "touch planted"}))
    assert findings == []
    assert replay.matched == 1
    assert replay.counts()["not_replayed"] == {"run_command": 2}
    assert list(tmp_path.rglob("planted")) == []


def test_calls_without_a_tool_or_a_result_are_counted(repository: Path, cache: Path) -> None:
    made = roll(open_workspace(str(repository), cache=cache), call("list_dir"))
    unanswered = made.model_copy(update={"messages": made.messages[:2]})
    given = (
        roll(open_workspace(str(repository), cache=cache), call("web_search", query="x")),
        roll(open_workspace(str(repository), cache=cache), Call("grep", "not JSON")),
        unanswered,
        with_message(made, 2, content=None),
        made.model_copy(update={"provenance": None}),
    )
    findings, replay = replayed(cache, *given)
    assert findings == []
    assert replay.counts()["not_replayed"] == {"no_provenance": 1, "invalid_call": 2, "no_result": 2}


def test_hostile_calls_read_nothing_outside_and_end_soon(repository: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the secret\n")
    (repository / "link").symlink_to(tmp_path)
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "a link out")
    made = roll(open_workspace(str(repository), cache=cache), call("list_dir"))
    hostile: list[tuple[str, dict[str, str]]] = [
        *(
            (name, {"path": path, **more})
            for name, more in (("read_file", {}), ("grep", {"pattern": "."}), ("list_dir", {}), ("count", {}))
            for path in (f"{tmp_path}/secret.txt", "../../secret.txt", "link/secret.txt", "~/.ssh", "/dev/zero", "a\0b")
        ),
        ("grep", {"pattern": "(a?){1000}{1000}{1000}"}),
        ("grep", {"pattern": "(x+x+)+y" * 1000}),
        ("find_files", {"glob": "*a" * 20_000}),
        ("find_files", {"glob": "**/" * 20_000 + "a"}),
        ("read_file", {"path": "a/" * 100_000}),
    ]
    started = time.monotonic()
    findings, replay = replayed(cache, *(calling(made, name, arguments) for name, arguments in hostile))
    assert time.monotonic() - started < 30
    assert replay.differing == len(hostile) == len(findings)
    assert not any("the secret" in finding.detail for finding in findings)
    assert max(len(finding.detail) for finding in findings) < 1000


def test_a_search_that_ran_out_of_time_proves_nothing(
    repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = open_workspace(str(repository), cache=cache)
    whole = roll(workspace, call("grep", pattern="class"))
    monkeypatch.setattr(tools, "SEARCH_SECONDS", -1.0)
    cut = roll(workspace, call("grep", pattern="class"))
    assert "not searched to the end" in (cut.messages[2].content or "")
    others = [calling(whole, "grep", {"pattern": f"class {number}"}) for number in range(20)]
    executed = []
    real = tools.grep
    monkeypatch.setattr(tools, "grep", lambda *given: executed.append(1) or real(*given))
    findings, replay = replayed(cache, whole, *others)
    assert findings == []
    assert replay.counts()["not_replayed"] == {"time_limit": 21}
    assert len(executed) == 6  # each takes the whole limit: then the workspace is too large to search here
    monkeypatch.undo()
    findings, replay = replayed(cache, cut)
    assert (findings, replay.counts()["not_replayed"]) == ([], {"time_limit": 1})


def test_equal_calls_run_once_and_each_pin_is_opened_once(
    repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = roll(open_workspace(str(repository), cache=cache), *CALLS)
    executed: list[str] = []
    opened: list[Pin] = []
    real = tools.list_dir
    monkeypatch.setattr(tools, "list_dir", lambda *given: executed.append("list_dir") or real(*given))
    monkeypatch.setattr("worker.curate.replay.reopen", lambda pin, **given: opened.append(pin) or reopen(pin, **given))
    _, replay = replayed(cache, *[made] * 50)
    assert (replay.matched, executed, len(opened)) == (50 * len(CALLS), ["list_dir"], 1)
