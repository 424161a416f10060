"""Notices of real runs: each event once however many watch, and a run that does not mind."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
import redis
from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.records import Prompt, Spec, Trajectory, WorkerControl
from config.topology import Stage
from producer.control import cancel, resume
from producer.notify.events import Rules
from producer.notify.targets import parse_targets
from producer.notify.watcher import Notifier
from tests.support.webhook import SECRET, Webhook, webhook

ROOT = Path(__file__).parents[2]
RUN = "night"
POLL = 0.05


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def new_run(ledger: Ledger, jobs: int = 2) -> tuple[str, ...]:
    return ledger.create(Spec(run_id=RUN, train=False), [Prompt(prompt=f"q{n}") for n in range(jobs)]).job_ids


def finish(ledger: Ledger, job_id: str, attempt: int = 1) -> None:
    ledger.jobs.begin(RUN, job_id, worker="w", lease_seconds=9, delivery_limit=3)
    made = Trajectory(run_id=RUN, job_id=job_id, attempt=attempt, prompt="q", outcome="completed")
    assert ledger.jobs.finish(made, worker="w") in {"stored", "last"}


def curate(ledger: Ledger, *, error: str = "") -> None:
    claim = ledger.stages.begin(RUN, Stage.CURATE, worker="w", lease_seconds=9)
    assert isinstance(claim, StageClaim)
    ledger.stages.finish(claim, result={"kept": 2, "rejected": 0}, error=error)


def notifier(url: SecretStr, hook: Webhook, told: list[str], **rules: float) -> Notifier:
    """A watcher of all runs with its own connection."""
    ledger = Ledger.connect(url.get_secret_value())
    targets = parse_targets([hook.url], None)
    return Notifier(ledger, targets, run_id=None, rules=Rules(**rules), tell=told.append, poll=POLL)


def test_two_watchers_send_each_event_once(ledger: Ledger, redis_url: SecretStr) -> None:
    told: list[str] = []
    ids = new_run(ledger)
    with webhook(seconds=0.2) as hook:
        watchers = [notifier(redis_url, hook, told) for _ in range(4)]
        for watcher in watchers:
            watcher.start()
        time.sleep(0.5)
        for job_id in ids:
            finish(ledger, job_id)
        curate(ledger)
        until(lambda: hook.received)
        time.sleep(1.0)  # the others would have sent theirs
        assert hook.texts() == [":white_check_mark: Run night is done: 2 kept, 0 rejected, 0 of 2 jobs failed.\n"
                                "Next: `applejack review night`"]  # fmt: skip
        ledger.jobs.resubmit(RUN, ids[:1], train=False, evaluate=False)
        time.sleep(0.5)
        finish(ledger, ids[0], 2)
        curate(ledger, error="disk full")
        until(lambda: len(hook.received) == 2)
        time.sleep(0.5)
        assert len(hook.received) == 2
        assert "Run night failed in curate: disk full" in hook.texts()[1]
        for watcher in watchers:
            watcher.close(wait=True)
        assert len(hook.received) == 2
    assert told == []


def test_a_notice_that_one_watcher_cannot_send_is_sent_by_another(ledger: Ledger, redis_url: SecretStr) -> None:
    """Both know the same URL; for the first to try, the webhook refuses."""
    told: list[str] = []
    ids = new_run(ledger)
    with webhook(403) as hook:
        watchers = [notifier(redis_url, hook, told) for _ in range(2)]
        for watcher in watchers:
            watcher.start()
        time.sleep(0.5)
        for job_id in ids:
            finish(ledger, job_id)
        curate(ledger)
        until(lambda: len(hook.received) == 2)
        for watcher in watchers:
            watcher.close(wait=True)
        assert len(hook.received) == 2
    assert len(told) == 1
    assert "status 403" in told[0]


def test_an_end_before_the_watch_is_not_told_and_a_run_that_comes_and_goes_is(
    ledger: Ledger, redis_url: SecretStr
) -> None:
    told: list[str] = []
    for job_id in new_run(ledger):
        finish(ledger, job_id)
    curate(ledger)
    with webhook() as hook:
        watcher = notifier(redis_url, hook, told)
        watcher.look()
        spec = Spec(run_id="quick", train=False)
        (only,) = ledger.create(spec, [Prompt(prompt="q")]).job_ids
        ledger.jobs.begin("quick", only, worker="w", lease_seconds=9, delivery_limit=3)
        ledger.jobs.finish(Trajectory(run_id="quick", job_id=only, prompt="q", outcome="completed"), worker="w")
        claim = ledger.stages.begin("quick", Stage.CURATE, worker="w", lease_seconds=9)
        assert isinstance(claim, StageClaim)
        ledger.stages.finish(claim, result={})
        watcher.look()
        until(lambda: hook.received)
        watcher.look()
        time.sleep(0.3)
        assert len(hook.received) == 1
        assert "Run quick is done" in hook.texts()[0]
    assert told == []


def test_a_cancelled_run_is_told_and_told_again_when_it_is_cancelled_again(
    ledger: Ledger, redis_url: SecretStr
) -> None:
    new_run(ledger)
    with webhook() as hook:
        watcher = notifier(redis_url, hook, [])
        for number in (1, 2):
            watcher.look()
            cancel(ledger, RUN)
            watcher.look()
            watcher.look()
            until(lambda wanted=number: len(hook.received) == wanted)  # type: ignore[misc]
            assert "was cancelled with 2 jobs left" in hook.texts()[-1]
            resume(ledger, RUN)
            time.sleep(0.01)  # cancelled at another millisecond


def test_a_stall_and_its_end_are_told(ledger: Ledger, redis_url: SecretStr) -> None:
    ids = new_run(ledger)
    finish(ledger, ids[0])
    ledger.fleet.heartbeat("w@mac", {"queues": ["generate", "curate"]})
    with webhook() as hook:
        watchers = [notifier(redis_url, hook, [], stall=0.3) for _ in range(2)]
        for watcher in watchers:
            watcher.start()
        until(lambda: hook.received)
        finish(ledger, ids[1])
        until(lambda: len(hook.received) == 2)
        for watcher in watchers:
            watcher.close(wait=True)
        assert len(hook.received) == 2
        assert "is stalled: no job finished for" in hook.texts()[0]
        assert "goes on after" in hook.texts()[1]


def test_the_trouble_of_a_worker_is_told_once_until_it_returns(ledger: Ledger, redis_url: SecretStr) -> None:
    new_run(ledger)
    with webhook() as hook:
        watchers = [notifier(redis_url, hook, [], paused=0.1) for _ in range(2)]

        def look(times: int = 2) -> None:
            for _ in range(times):
                for watcher in watchers:
                    watcher.look()
                time.sleep(0.12)

        for expected in (1, 2):
            ledger.fleet.heartbeat("w@mac", {"paused": "endpoint_unreachable: no server"})
            look(3)
            until(lambda wanted=expected: len(hook.received) == wanted)  # type: ignore[misc]
            ledger.fleet.heartbeat("w@mac", {})
            look()
        assert "Worker w@mac is paused since" in hook.texts()[0]
        ledger.fleet.heartbeat("w@mac", {"paused": "by a person"})
        ledger.fleet.set_control("w@mac", WorkerControl.PAUSED)
        look(3)
        assert len(hook.received) == 2


@pytest.fixture
def environment(redis_url: SecretStr) -> dict[str, str]:
    return {**os.environ, "APPLEJACK_REDIS_URL": redis_url.get_secret_value(), "PYTHONPATH": str(ROOT)}


def applejack(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from producer.cli import main; main()", *arguments]


def test_a_watching_command_delivers_before_it_ends_and_its_exit_code_is_the_runs(
    ledger: Ledger, redis_url: SecretStr, environment: dict[str, str], tmp_path: Path
) -> None:
    """The webhook answers 403: the run and the exit code do not change, and no line holds the secret."""
    ids = new_run(ledger)
    with webhook(403) as hook:
        command = applejack("status", RUN, "--watch", "--json", "--dir", str(tmp_path))
        process = subprocess.Popen(
            command,
            env={**environment, "APPLEJACK_NOTIFY": hook.url},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert f"{RUN} waits: no generate worker is alive" in process.stderr.readline()  # it watches
        assert SECRET not in " ".join(psutil.Process(process.pid).cmdline())
        for job_id in ids:
            finish(ledger, job_id)
        curate(ledger)
        out, errors = process.communicate(timeout=60)
        assert len(hook.received) == 1
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["stage"] == "done"
    assert "notification of 'done' was not delivered to the webhook at 127.0.0.1: status 403" in errors
    assert SECRET not in out + errors
    client = redis.Redis.from_url(redis_url.get_secret_value())
    with closing(client):
        for key in client.scan_iter("*"):
            assert SECRET.encode() not in key
            with suppress(redis.ResponseError):
                assert SECRET.encode() not in str(client.hgetall(key)).encode()


def test_notify_without_watching_and_a_test_message(environment: dict[str, str], tmp_path: Path) -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            applejack(*arguments), env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )

    with webhook() as hook:
        refused = run("status", "--notify", hook.url)
        assert refused.returncode == 2
        assert "--notify needs --watch" in refused.stderr
        assert hook.received == []
        tried = run("notify", hook.url, f"{sys.executable} -c exit(4)", "--json")
        assert tried.returncode == 1
        listed = json.loads(tried.stdout.splitlines()[-1])["targets"]
        assert [one["delivered"] for one in listed] == [True, False]
        assert "This is a test" in hook.texts()[0]
        assert SECRET not in tried.stdout + tried.stderr
    nobody = run("notify")
    assert nobody.returncode == 2
    assert "set APPLEJACK_NOTIFY" in nobody.stderr


@pytest.mark.timeout(240)
def test_up_tells_of_a_run_and_no_log_or_child_holds_the_secret(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "shop.py").write_text("class Basket:\n    pass\n")
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": "Which file defines the class Basket?"}) + "\n")
    stack = tmp_path / "stack"
    env = {name: value for name, value in os.environ.items() if not name.startswith("APPLEJACK_")}
    env["PYTHONPATH"] = str(ROOT)
    with webhook() as hook:
        command = applejack("up", "--dir", str(stack), "--workers", "1", "--concurrency", "1", "--no-flower", "--json")
        up = subprocess.Popen(
            command,
            env={**env, "APPLEJACK_NOTIFY": hook.url},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert up.stdout is not None
            assert "urls" in json.loads(up.stdout.readline())
            for child in psutil.Process(up.pid).children(recursive=True):
                with suppress(psutil.Error):
                    assert SECRET not in str(child.environ()) + " ".join(child.cmdline())
            options = ("--teacher", "scripted", "--no-train", "--format", "seed-text", "--dir", str(stack))
            done = subprocess.run(
                applejack("submit", "p.jsonl", "--run", RUN, "--workspace", str(code), *options),
                env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            until(lambda: hook.received, seconds=90)
        finally:
            up.terminate()
            out, errors = up.communicate(timeout=60)
        assert f"Run {RUN}" in hook.texts()[0]
        assert hook.texts()[0].startswith((":white_check_mark:", ":x:"))
    assert SECRET not in out + errors
    for file in stack.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file
