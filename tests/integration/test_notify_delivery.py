"""Notices reach a real HTTP server and a real command, with retries and time limits; no line holds the secret."""

import json
import os
import shlex
import sys
import threading
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.process import free_port
from producer.notify import delivery
from producer.notify.delivery import DeliveryError, deliver, run
from producer.notify.events import EventKind, Notice
from producer.notify.targets import Command, Target, Webhook, parse_targets
from tests.support.webhook import SECRET, webhook

NOTICE = Notice(
    EventKind.DONE, "night", "done:v1:1", "Run night is done.", "applejack report night", {"kept": "277"}, 1
)


def sent(target: Target, told: list[str], *, pauses: tuple[float, ...] = (0.01, 0.01)) -> bool:
    return deliver(target, NOTICE, pause=threading.Event().wait, tell=told.append, pauses=pauses)


def hook(url: str) -> Webhook:
    return Webhook(SecretStr(url))


def test_a_webhook_gets_slacks_json_once() -> None:
    told: list[str] = []
    with webhook() as server:
        assert sent(hook(server.url), told)
    assert told == []
    (body,), (headers,) = server.received, server.headers
    assert headers["Content-Type"] == "application/json"
    assert set(body) == {"text", "blocks"}
    assert str(body["text"]).endswith("Next: `applejack report night`")


def test_a_webhook_that_is_down_for_a_moment_gets_the_notice_and_one_line_is_told() -> None:
    told: list[str] = []
    with webhook(503, 429) as server:
        assert sent(hook(server.url), told)
        assert len(server.received) == 3
    assert told == ["notification to the webhook at 127.0.0.1 failed, trying again: status 503"]


def test_a_webhook_that_stays_down_is_given_up_in_two_lines() -> None:
    told: list[str] = []
    with webhook(500, 500, 500, 500) as server:
        assert not sent(hook(server.url), told)
        assert len(server.received) == 3
    assert len(told) == 2
    assert "'done' was not delivered to the webhook at 127.0.0.1: status 500" in told[1]
    assert SECRET not in "".join(told)


@pytest.mark.parametrize(("status", "posts"), [(404, 1), (403, 1), (410, 1), (301, 1)])
def test_what_will_not_change_is_not_tried_again(status: int, posts: int) -> None:
    told: list[str] = []
    with webhook(status, location=f"http://127.0.0.1:1/{SECRET}") as server:
        assert not sent(hook(server.url), told)
        assert len(server.received) == posts
    assert SECRET not in "".join(told)


def test_a_webhook_that_cannot_be_reached_or_hangs_is_described_without_its_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    assert not sent(hook(f"http://127.0.0.1:{free_port()}/{SECRET}"), told, pauses=())
    monkeypatch.setattr(delivery, "POST_SECONDS", 0.2)
    with webhook(seconds=0.6) as server:
        started = time.monotonic()
        assert not sent(hook(server.url), told, pauses=())
        assert time.monotonic() - started < 0.55
    assert "it cannot be reached" in told[0]
    assert "no answer in time" in told[1]
    assert SECRET not in "".join(told)


def test_the_server_says_how_long_to_wait() -> None:
    waited: list[float] = []
    with webhook(429, retry_after="7") as server:
        assert deliver(hook(server.url), NOTICE, pause=waited.append, tell=lambda _: None, pauses=(0.01,))
    assert waited == [7.0]


def command(folder: Path, code: str) -> Command:
    """A Python program; its second word after the program is what it does."""
    script = folder / "program.py"
    script.write_text(code)
    (target,) = parse_targets([f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} '$(touch no-shell)'"], None)
    assert isinstance(target, Command)
    return target


def test_a_command_gets_the_json_and_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APPLEJACK_NOTIFY", SECRET)
    code = """
import json, os, sys
seen = {"stdin": json.loads(sys.stdin.read()), "words": sys.argv[1:], "env": dict(os.environ)}
json.dump(seen, open("seen.json", "w"))
"""
    told: list[str] = []
    assert sent(command(tmp_path, code), told)
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["stdin"]["event"] == "done"
    assert seen["stdin"]["figures"] == {"kept": "277"}
    assert seen["stdin"]["next"] == "applejack report night"
    assert seen["words"] == ["$(touch no-shell)"]
    assert not (tmp_path / "no-shell").exists()
    assert (seen["env"]["APPLEJACK_EVENT"], seen["env"]["APPLEJACK_RUN"]) == ("done", "night")
    assert "APPLEJACK_NOTIFY" not in seen["env"]
    assert told == []


def test_a_command_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    code = """
import subprocess, sys, time, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[0]).with_name("pid").write_text(str(child.pid))
time.sleep(60)
"""
    target = command(tmp_path, code)
    with pytest.raises(DeliveryError, match="did not end within 3 s"):
        run(target, NOTICE, seconds=3.0)
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() or is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_command_that_fails_is_tried_again(tmp_path: Path) -> None:
    counted = tmp_path / "tries"
    code = f"""
import sys
open({str(counted)!r}, "a").write("x")
sys.exit(0 if len(open({str(counted)!r}).read()) > 2 else 3)
"""
    told: list[str] = []
    assert sent(command(tmp_path, code), told)
    assert len(counted.read_text()) == 3
    assert len(told) == 1
    assert "exit code 3" in told[0]
    assert "touch" not in told[0]  # arguments may be secret
