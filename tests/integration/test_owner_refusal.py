"""A worker's owner decides what runs may read and start there: what is refused fails with the reason, others go on."""

import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import FailureKind, UsageError
from config.ledger import Ledger
from config.owner_policy import Policy
from config.records import JobState, Prompt, Spec, Trajectory
from config.settings import Settings
from config.topology import Stage
from producer import enqueue
from producer.cli import app
from producer.commands import stack
from producer.model_check import require_allowed
from tests.integration.conftest import StartWorker
from tests.support.fleet import QUICK, until, worker_view
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.fleet.leases import Leases
from worker.fleet.owner_refusal import OwnerRefusal
from worker.generate.job import Workspaces
from worker.job_runner import JobRunner
from worker.stage_runner import StageRunner
from worker.tools.workspace import require_allowed as require_on_this_machine

QUESTION = Prompt(prompt="Where is BoxOfTheOwner?", category="definition")
PRIVATE = "class BoxOfTheOwner:\n    word = 'private-word-4711'\n"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The owner's root, and a private folder beside it."""
    root, private = tmp_path / "src", tmp_path / "private"
    for folder in (root, private):
        folder.mkdir()
        (folder / "box.py").write_text(PRIVATE)
    (root / "link").symlink_to(private)
    return root, private


def spec_of(run_id: str, workspace: Path, **fields: object) -> Spec:
    return Spec(
        run_id=run_id, workspace=str(workspace), teacher="scripted", dataset_format="seed-text", train=False, **fields
    )


def failure(ledger: Ledger, run_id: str) -> Trajectory:
    """The only trajectory of a run, which failed."""
    (job_id,) = ledger.jobs.ids(run_id)
    made = ledger.jobs.trajectory(run_id, job_id, 1)
    assert made is not None
    assert made.failure is not None
    return made


def reason(ledger: Ledger, run_id: str) -> str:
    """Why the only job of a run failed as workspace_refused."""
    found = failure(ledger, run_id).failure
    assert found is not None
    assert found.kind is FailureKind.WORKSPACE_REFUSED
    return found.message


def test_a_worker_refuses_what_its_owner_does_not_allow_and_goes_on_with_other_runs(
    folders: tuple[Path, Path], ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker, tmp_path: Path
) -> None:
    """Fails without Policy.require_origin in open_workspace, and without require_commands in Workspaces."""
    root, private = folders
    runs = {
        "outside": spec_of("outside", private),
        "dots": spec_of("dots", root / ".." / "private"),
        "link": spec_of("link", root / "link"),
        "program": spec_of("program", root, allow_commands=("awk",)),
        "allowed": spec_of("allowed", root, allow_commands=("git",)),
    }
    for spec in runs.values():
        enqueue.submit(ledger, Settings(redis_url=redis_url), spec, [QUESTION])
    env = {
        **QUICK,
        "APPLEJACK_LEASE_SECONDS": "1.1",
        "APPLEJACK_WORKSPACE_ROOTS": str(root),
        "APPLEJACK_COMMANDS": "git",
    }
    start_worker("generate", "w", env=env, wait=False)
    counts = ledger.jobs.counts
    until(lambda: counts("allowed")[JobState.GENERATED] == 1, "the run beside them", seconds=100)
    until(lambda: all(counts(name)[JobState.FAILED] == 1 for name in runs if name != "allowed"), "refused")
    for run_id, named in (("outside", str(private)), ("dots", f"{root}/../private"), ("link", f"{root}/link")):
        message = reason(ledger, run_id)
        assert repr(named) in message
        assert f"folders: {str(root)!r}" in message
        assert f"--workspace-root {private}" in message
    assert "'awk'; allowed programs: 'git'" in reason(ledger, "program")
    assert "--allow-command awk" in reason(ledger, "program")
    for run_id in ("outside", "dots", "link"):
        assert "4711" not in failure(ledger, run_id).model_dump_json()
    (done,) = ledger.jobs.ids("allowed")
    good = ledger.jobs.trajectory("allowed", done, 1)
    assert good is not None
    assert "box.py" in str(good.messages[-1].content)
    view = worker_view(ledger, "w@test")
    assert view is not None
    assert Policy.of_heartbeat(view.fields) == Policy((root,), ("git",))


def test_a_worker_that_nobody_gave_a_root_reads_no_folder(
    folders: tuple[Path, Path], ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without Settings.of_worker in worker/app.py. A git URL is cloned into the worker's cache."""
    root, _ = folders
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(root)]
    subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "one"], check=True)
    unset = dict.fromkeys(("APPLEJACK_WORKSPACE_ROOTS", "APPLEJACK_COMMANDS"), "")
    env = {**QUICK, "APPLEJACK_LEASE_SECONDS": "1.1", **unset}
    for run_id, named in (("folder", str(root)), ("file", f"file://{root}@main")):
        spec = spec_of(run_id, root).model_copy(update={"workspace": named})
        enqueue.submit(ledger, Settings(redis_url=redis_url), spec, [QUESTION])
    start_worker("generate", "w", env=env, wait=False, app="tests.support.planted.no_owner_settings")
    for run_id in ("folder", "file"):
        until(lambda run=run_id: ledger.jobs.counts(run)[JobState.FAILED] == 1, "refused", seconds=100)  # type: ignore[misc]
        assert "folders: none" in reason(ledger, run_id)


@pytest.fixture
def runner(ledger: Ledger, tmp_path: Path) -> Callable[..., JobRunner]:
    """A worker's job runner without its process."""

    def build(name: str, *, lease_seconds: float = 20, **settings: object) -> JobRunner:
        chosen = Settings(dir=tmp_path / name, **settings)  # type: ignore[arg-type]
        return JobRunner(
            ledger, Leases(ledger.fleet, lease_seconds=lease_seconds), chosen, name, ConcurrencyLimiter(most=1)
        )

    return build


def test_a_refused_job_waits_for_a_worker_whose_owner_allows_it(
    folders: tuple[Path, Path], ledger: Ledger, runner: Callable[..., JobRunner]
) -> None:
    """And costs no attempt. Fails without OwnerRefusal.left_to_others: the first worker would fail every job."""
    root, _ = folders
    (job,) = ledger.create(spec_of("r", root), [QUESTION]).job_ids
    ledger.fleet.heartbeat("able", {"queues": ["generate"], **Policy(roots=(root,)).heartbeat()})
    requeued: list[float] = []
    refusing = runner("other", workspace_roots="/else")
    refusing.requeue = lambda _run, _job, seconds: requeued.append(seconds)
    refusing.__post_init__()
    refusing.run("r", job)
    assert ledger.jobs.counts("r")[JobState.QUEUED] == 1
    assert len(requeued) == 1
    runner("able", workspace_roots=str(root)).run("r", job)
    assert ledger.jobs.counts("r")[JobState.GENERATED] == 1
    assert [event.event for event in ledger.jobs.view("r", job).history] == ["started", "generated"]


def test_a_refused_job_fails_once_no_live_worker_may_allow_it(
    folders: tuple[Path, Path], ledger: Ledger, runner: Callable[..., JobRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that starts again within the grace finds the jobs queued; afterwards they do not wait for ever."""
    monkeypatch.setattr("worker.fleet.owner_refusal.LOOK_SECONDS", -1.0)
    root, _ = folders
    (job,) = ledger.create(spec_of("r", root), [QUESTION]).job_ids
    ledger.fleet.heartbeat("third", {"queues": ["generate"], **Policy(roots=()).heartbeat()})
    ledger.fleet.heartbeat("curator", {"queues": ["curate"]})  # takes no jobs
    patient, hasty = runner("w", workspace_roots="/else"), runner("w", lease_seconds=0.0, workspace_roots="/else")
    patient.run("r", job)
    assert ledger.jobs.counts("r")[JobState.QUEUED] == 1
    hasty.run("r", job)
    assert "allowed" not in reason(ledger, "r")
    assert "--workspace-root" in reason(ledger, "r")


def test_a_job_that_two_workers_would_hand_to_each_other_for_ever_fails(
    folders: tuple[Path, Path], ledger: Ledger, runner: Callable[..., JobRunner]
) -> None:
    """Fails without objection in left_to_others: by its name the link is below both roots."""
    root, _ = folders
    (job,) = ledger.create(spec_of("r", root / "link"), [QUESTION]).job_ids
    ledger.fleet.heartbeat("twin", {"queues": ["generate"], **Policy(roots=(root,)).heartbeat()})
    runner("w", workspace_roots=str(root)).run("r", job)
    assert "leads to" in reason(ledger, "r")


def test_a_worker_that_allows_everything_reads_no_prompt_for_it(ledger: Ledger) -> None:
    (job,) = ledger.create(spec_of("r", Path("/x")), [QUESTION]).job_ids
    run = ledger.run("r")
    ledger.jobs.prompt = None  # type: ignore[method-assign,assignment]
    assert OwnerRefusal(ledger, Policy(), 20.0, require_on_this_machine).left_to_others(run, job, worker="w") == ""


def test_an_evaluation_opens_no_folder_outside(folders: tuple[Path, Path], ledger: Ledger, tmp_path: Path) -> None:
    """Fails without policy= in Workspaces, with which generation and evaluation open workspaces."""
    root, private = folders
    settings = Settings(dir=tmp_path / "data", workspace_roots=str(root))
    spec = spec_of("r", private)
    ledger.create(spec, [QUESTION])
    with pytest.raises(Exception, match="does not let runs read") as refused:
        Workspaces(ledger, settings, spec).of(QUESTION)
    assert getattr(refused.value, "kind", None) is FailureKind.WORKSPACE_REFUSED
    inside = QUESTION.model_copy(update={"workspace": str(root)})
    assert Workspaces(ledger, settings, spec).of(inside) is not None


@pytest.mark.parametrize(("roots", "counted"), [("src", {}), ("else", {"refused": 1})])
def test_curation_executes_no_call_again_in_a_folder_outside(
    folders: tuple[Path, Path],
    ledger: Ledger,
    runner: Callable[..., JobRunner],
    tmp_path: Path,
    roots: str,
    counted: dict[str, int],
) -> None:
    """Fails without the policy of Replay in curate_run."""
    root, _ = folders
    spec = spec_of("r", root, test_share=0, valid_share=0)
    (job,) = ledger.create(spec, [QUESTION]).job_ids
    runner("w").run("r", job)
    settings = Settings(dir=tmp_path / "data", workspace_roots=str(tmp_path / roots))
    StageRunner(ledger, Leases(ledger.fleet, lease_seconds=30), settings, "w").run("r", Stage.CURATE)
    result = ledger.stages.view("r", Stage.CURATE).result
    assert result["replayed"]["not_replayed"] == counted  # type: ignore[index,call-overload]


def test_a_run_that_no_live_worker_may_run_is_refused_before_it_is_created(
    folders: tuple[Path, Path], ledger: Ledger
) -> None:
    root, private = folders
    require_allowed(ledger, spec_of("r", private), [QUESTION])  # no worker is alive yet
    ledger.fleet.heartbeat("w@mac", {"queues": ["generate"], **Policy((root,), ()).heartbeat()})
    require_allowed(ledger, spec_of("r", root), [QUESTION])
    for spec, why in (
        (spec_of("r", private), f"w@mac allows folders: {str(root)!r}, not {str(private)!r}"),
        (spec_of("r", root, allow_commands=("git",)), "w@mac allows programs: none, not 'git'"),
    ):
        with pytest.raises(UsageError) as refused:
            require_allowed(ledger, spec, [QUESTION])
        assert why in str(refused.value)
        assert "--force" in str(refused.value)
    own = QUESTION.model_copy(update={"workspace": str(private)})
    with pytest.raises(UsageError, match="private"):
        require_allowed(ledger, spec_of("r", root), [QUESTION, own])
    ledger.fleet.heartbeat("older@mac", {"queues": ["generate"]})  # of a version without roots
    require_allowed(ledger, spec_of("r", private), [QUESTION])
    training = spec_of("r", root).model_copy(update={"train": True})
    ledger.fleet.heartbeat("trainer@gpu", {"queues": ["train"], **Policy(()).heartbeat()})
    with pytest.raises(UsageError, match="no live train worker"):
        require_allowed(ledger, training, [QUESTION])


FLEET = (["--workspace-root", "src", "--allow-command", "git", "--unsandboxed"], "{src}", "git", "1")


@pytest.mark.parametrize("command", ["worker train", "up"])
@pytest.mark.parametrize(
    ("server", "options", "roots", "commands", "unsandboxed"),
    [
        ("fleet", *FLEET),
        ("fleet", [], "", "", None),  # who has its password may submit
        ("own", [], "/", "*", None),  # only this user can
        ("own", *FLEET),
    ],
)
def test_the_owners_options_reach_the_workers(
    command: str,
    server: str,
    options: list[str],
    roots: str,
    commands: str,
    unsandboxed: str | None,
    redis_url: SecretStr,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Fails without owner_settings in `worker` and `up`."""
    (tmp_path / "src").mkdir()
    started: list[Mapping[str, str]] = []
    if server == "fleet":
        monkeypatch.setenv("APPLEJACK_REDIS_URL", redis_url.get_secret_value())
    monkeypatch.setattr(os, "execve", lambda _program, _command, environment: started.append(environment))
    monkeypatch.setattr(stack, "run_up", lambda up, **_: started.append(up.env))
    monkeypatch.setattr(
        stack, "open_ledger", lambda _: nullcontext((None, Settings(redis_url=redis_url, dir=tmp_path)))
    )
    monkeypatch.chdir(tmp_path)  # the command goes to another directory
    app([*command.split(), *options, "--dir", str(tmp_path)], standalone_mode=False)
    (environment,) = started
    assert environment["APPLEJACK_WORKSPACE_ROOTS"] == roots.format(src=tmp_path / "src")
    assert environment["APPLEJACK_COMMANDS"] == commands
    assert environment.get("APPLEJACK_UNSANDBOXED") == unsandboxed
