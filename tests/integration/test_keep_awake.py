"""A worker keeps its Mac awake while it has work, shown with a stub of caffeinate: no Mac is needed."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from producer.cli import app
from producer.commands import stack
from producer.overview.workers import worker_notes
from tests.integration.conftest import StartWorker
from tests.support.caffeinate import BROKEN, make_stub, recorded
from tests.support.fleet import QUICK, answering, prompts, submit, until, worker_view
from tests.support.scripted_endpoint import ScriptedEndpoint
from worker.fleet.keep_awake import IDLE_SECONDS, RETRY_SECONDS, KeepAwake


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return make_stub(tmp_path / "bin")


def test_a_worker_killed_while_it_works_leaves_no_caffeinate_behind(
    record: Path, ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without -w: nobody is left who could end it."""
    with ScriptedEndpoint(answering(slow=40.0)) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        start_worker("generate", "w", env=env, app="tests.support.planted.on_a_mac")
        assert recorded(record) == []  # it has no work yet
        submit(ledger, redis_url, prompts(1))
        until(lambda: recorded(record), "caffeinate starts")
        view = until(lambda: (seen := worker_view(ledger, "w@test")) and seen.fields["awake"] and seen, "it says so")
        pid = view.fields["pid"]
        assert isinstance(pid, int)
        assert recorded(record) == [f"start -i -m -w {pid}"]
        assert worker_notes([view]) == [f"keeps its Mac awake: {view.name}"]
        os.kill(pid, signal.SIGKILL)  # the worker alone
        until(lambda: recorded(record)[1:] == [f"end: {pid} is gone"], "caffeinate ends", seconds=10)


def test_it_ends_after_an_idle_minute_and_starts_again_with_the_next_work(record: Path) -> None:
    clock = Clock()
    keep = KeepAwake(enabled=True, system="darwin", clock=clock)
    keep.adjust(busy=False)
    assert keep.status() == {"awake": False}
    keep.adjust(busy=True)
    until(lambda: recorded(record), seconds=5)
    clock.now += IDLE_SECONDS - 1
    keep.adjust(busy=False)
    assert keep.status() == {"awake": True}
    clock.now += 1
    keep.adjust(busy=False)
    assert keep.status() == {"awake": False}
    started = f"start -i -m -w {os.getpid()}"
    assert recorded(record) == [started, "end: terminated"]
    keep.adjust(busy=True)
    assert keep.status() == {"awake": True}
    keep.stop()


@pytest.mark.parametrize(("enabled", "system"), [(False, "darwin"), (True, "linux")])
def test_nothing_is_started_when_switched_off_or_on_another_system(record: Path, enabled: bool, system: str) -> None:
    keep = KeepAwake(enabled=enabled, system=system)
    keep.adjust(busy=True)
    assert not keep.status().get("awake")
    assert recorded(record) == []


@pytest.mark.parametrize(("options", "setting"), [([], None), (["--no-caffeinate"], "0")])
def test_no_caffeinate_reaches_the_workers(
    options: list[str], setting: str | None, redis_url: SecretStr, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[Mapping[str, str]] = []
    monkeypatch.setenv("APPLEJACK_REDIS_URL", redis_url.get_secret_value())
    monkeypatch.setattr(os, "execve", lambda _program, _command, environment: started.append(environment))
    monkeypatch.setattr(stack, "run_up", lambda up, **_: started.append(up.env))
    monkeypatch.chdir(tmp_path)  # the command goes to another directory
    for command in ("worker curate", "up"):
        app([*command.split(), *options, "--dir", str(tmp_path)], standalone_mode=False)
    assert [environment.get("APPLEJACK_CAFFEINATE") for environment in started] == [setting, setting]


def test_a_caffeinate_that_ends_by_itself_is_not_restarted_in_a_tight_loop(record: Path) -> None:
    make_stub(record.parent, BROKEN)
    clock = Clock()
    keep = KeepAwake(enabled=True, system="darwin", clock=clock)
    for _ in range(5):
        keep.adjust(busy=True)
        until(lambda: not keep.status()["awake"], seconds=5)
    assert len(recorded(record)) == 1
    clock.now += RETRY_SECONDS
    keep.adjust(busy=True)
    until(lambda: len(recorded(record)) == 2, seconds=5)
    keep.stop()


def test_a_missing_caffeinate_does_not_disturb_the_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    keep = KeepAwake(enabled=True, system="darwin")
    keep.adjust(busy=True)
    assert keep.status() == {"awake": False}
