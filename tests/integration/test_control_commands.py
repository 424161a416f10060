"""`applejack cancel`, `pause`, `resume` and `worker pause|resume|drain` on a ledger without workers."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.records import Prompt, Spec, Trajectory, WorkerControl
from tests.integration.test_commands import Applejack, Result, assert_refused
from tests.support.ended_run import ended_run

RUN_COMMANDS = ("cancel", "pause", "resume")


@pytest.fixture
def applejack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_url: SecretStr, tmp_path: Path
) -> Applejack:
    monkeypatch.setenv("APPLEJACK_REDIS_URL", redis_url.get_secret_value())
    monkeypatch.chdir(tmp_path)
    return Applejack(monkeypatch, capsys)


@pytest.fixture
def jobs(ledger: Ledger) -> tuple[str, ...]:
    """A run "r" of four jobs: one is generated, one is running."""
    ids = ledger.create(Spec(run_id="r", train=False), [Prompt(prompt=f"q{number}") for number in range(4)]).job_ids
    ledger.jobs.begin("r", ids[1], worker="w", lease_seconds=60, delivery_limit=4)
    ledger.jobs.finish(Trajectory(run_id="r", job_id=ids[0], prompt="q", outcome="completed"), worker="w")
    return ids


def body(result: Result) -> dict[str, object]:
    assert result.code == 0, result
    found: dict[str, object] = json.loads(result.out.splitlines()[-1])
    return found


@pytest.mark.usefixtures("jobs")
def test_a_run_is_cancelled_and_resumed_and_each_command_can_be_repeated(applejack: Applejack, ledger: Ledger) -> None:
    for _ in range(2):
        result = applejack("cancel", "r", "--json")
        assert body(result) == {"run_id": "r", "state": "cancelled", "cancelled": 3}
        assert "3 jobs will not run, 1 finished job is kept; `applejack resume r` queues them again" in result.err
    assert "run r is cancelled" in applejack("pause", "r").out
    assert_refused(applejack("resubmit", "r", "--all"), "run 'r' is cancelled; let it go on first")
    first, second = applejack("resume", "r", "--json"), applejack("resume", "r", "--json")
    assert body(first) == {"run_id": "r", "state": "running", "cancelled": 0, "queued": 3}
    assert "3 cancelled jobs queued again" in first.err
    assert body(second) == {"run_id": "r", "state": "running", "cancelled": 0, "queued": 0}
    assert "nothing was changed" in second.err


@pytest.mark.usefixtures("jobs")
def test_a_run_is_paused_and_resumed(applejack: Applejack) -> None:
    result = applejack("pause", "r", "--json")
    assert body(result) == {"run_id": "r", "state": "paused", "cancelled": 0}
    assert result.err == (
        "run r is paused: 1 job in flight will end, no other starts; `applejack resume r` lets it go on\n"
    )
    assert "let it go on: `applejack resume r`" in applejack("status", "r").out
    assert "run r goes on; follow it with" in applejack("resume", "r").out


@pytest.mark.usefixtures("jobs")
def test_a_cancelled_run_is_followed_to_its_end_and_curated_or_archived_as_it_is(
    applejack: Applejack, ledger: Ledger
) -> None:
    applejack("cancel", "r")
    for arguments in (("status", "r", "--watch", "--json"),):
        result = applejack(*arguments)
        assert result.code == 1
        assert json.loads(result.out.splitlines()[-1])["stage"] == "cancelled"
        assert "r is cancelled: 1 of 4 jobs generated, 3 cancelled" in result.err
    result = applejack("archive", "r", "--keep", "--out", "kept", "--json")
    assert (body(result)["jobs"], body(result)["trajectories"]) == (4, 1)
    assert "goes on without its 3 cancelled jobs" in applejack("resume", "r", "--without-cancelled").out
    assert ledger.fleet.active_runs() == ["r"]


def test_a_run_without_a_finished_job_is_not_curated(applejack: Applejack, ledger: Ledger) -> None:
    ledger.create(Spec(run_id="r", train=False), [Prompt(prompt="q")])
    applejack("cancel", "r")
    assert_refused(applejack("resume", "r", "--without-cancelled"), "has no finished job to curate")


def test_an_ended_run_stays_as_it_is(applejack: Applejack, ledger: Ledger) -> None:
    ended_run(ledger, "r")
    for command in RUN_COMMANDS:
        result = applejack(command, "r", "--json")
        assert (body(result)["state"], body(result)["cancelled"]) == ("ended", 0)
        assert result.err == "run r has ended; nothing was changed\n"


@pytest.mark.parametrize("command", RUN_COMMANDS)
def test_an_unknown_run_is_refused(command: str, applejack: Applejack, ledger: Ledger) -> None:
    assert_refused(applejack(command, "nigth"), "there is no run 'nigth'")


def test_a_worker_is_paused_resumed_and_drained_by_its_short_name(applejack: Applejack, ledger: Ledger) -> None:
    ledger.fleet.heartbeat("mac@one", {})
    for _ in range(2):
        result = applejack("worker", "pause", "mac", "--json")
        assert body(result) == {"worker": "mac@one", "state": "paused"}
        assert "`applejack worker resume mac@one` lets it go on (within a few seconds)" in result.err
    assert body(applejack("worker", "drain", "mac@one", "--json")) == {"worker": "mac@one", "state": "draining"}
    assert ledger.fleet.control("mac@one") is WorkerControl.DRAINING
    ledger.fleet.leave("mac@one")
    result = applejack("worker", "resume", "mac", "--json")
    assert body(result) == {"worker": "mac@one", "state": "consuming"}
    assert "it does not run now" in result.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("pause",), "name the worker to pause: applejack worker pause NAME"),
        (("pause", "mca"), "no worker 'mca' in the fleet; did you mean 'mac'?"),
        (("drain", "mac", "--concurrency", "2"), "--concurrency is for starting a worker"),
        (("generate", "mac"), "a new generate worker takes its name from --name: applejack worker generate --name mac"),
        (("gnerate",), "unknown role 'gnerate'; did you mean 'generate'?"),
    ],
)
def test_bad_usage_of_worker_is_refused(
    arguments: tuple[str, ...], line: str, applejack: Applejack, ledger: Ledger
) -> None:
    ledger.fleet.heartbeat("mac@one", {})
    assert_refused(applejack("worker", *arguments), line)
    assert ledger.fleet.controls() == {}
