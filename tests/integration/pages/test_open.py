"""`applejack open`: the page in a browser that knows no password, logged in by a link that works once."""

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from pydantic import SecretStr

from config.ledger import Ledger
from config.process import free_port
from config.records import Prompt, Spec, WorkerControl
from producer.flower.session import WRONG_LIMIT
from producer.stack.redis_server import Server
from tests.support.flower_site import Site, flower_env, flower_site

APPLEJACK = [sys.executable, "-P", "-c", "from producer.cli import main; main()"]
SCREEN = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "SSH_CONNECTION")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server.start(tmp_path_factory.mktemp("open")) as started:
        yield started


@pytest.fixture(scope="module")
def site(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with flower_site(tmp_path_factory.mktemp("flower"), server.url) as started:
        yield started


@pytest.fixture(scope="module")
def ledger(server: Server) -> Ledger:
    return Ledger.connect(server.url.get_secret_value())


def applejack_open(site: Site, server: Server, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command on the site's machine, without a screen unless `more` has one."""
    folder = site.child.log.parent
    env = {name: value for name, value in flower_env(folder, server.url).items() if name not in SCREEN}
    command = [*APPLEJACK, "open", *arguments]
    return subprocess.run(command, env={**env, **more}, cwd=folder, capture_output=True, text=True, timeout=60)


def test_the_link_opens_the_run_in_a_browser_without_a_password(
    browser: Browser, site: Site, ledger: Ledger, server: Server
) -> None:
    ledger.create(Spec(run_id="night"), [Prompt(prompt="question")])
    ledger.fleet.heartbeat("mac@one", {"queues": ["generate"], "holds": 0})
    done = applejack_open(site, server, "night", "--print")
    link = done.stdout.strip()
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert link.startswith(f"{site.url}/applejack/login?token=")
    assert "once" in done.stderr

    context = browser.new_context(base_url=site.url)
    page = context.new_page()
    page.goto(link)
    expect(page).to_have_url(f"{site.url}/runs/night")
    assert page.evaluate("history.length") <= 2
    assert page.evaluate("document.cookie").count("session") == 0  # scripts do not see it
    page.reload()
    expect(page.locator("#live-status")).to_have_text("live")
    page.goto("/fleet")
    page.get_by_role("button", name="Pause mac@one").click()
    expect(page.locator(".toast")).to_contain_text("mac@one finishes the work that it holds")
    assert ledger.fleet.control("mac@one") is WorkerControl.PAUSED
    with page.expect_response("**/tasks/datatable*") as listed:  # Flower's own page: its list comes by POST
        page.goto("/tasks")
    assert (listed.value.request.method, listed.value.status) == ("POST", 200)
    context.close()

    second = browser.new_context()
    page = second.new_page()
    page.goto(link)
    expect(page.get_by_role("heading", name="This link does not log you in")).to_be_visible()
    assert link.rpartition("=")[2] not in site.child.log_tail(1000)
    second.close()


def test_json_has_the_link_and_opens_nothing(site: Site, server: Server, tmp_path: Path) -> None:
    done = applejack_open(site, server, "--json", BROWSER=str(recorder(tmp_path)))
    assert json.loads(done.stdout.splitlines()[-1])["url"].startswith(site.url)
    assert not (tmp_path / "opened").exists()


def test_the_browser_gets_the_link_and_the_terminal_does_not(site: Site, server: Server, tmp_path: Path) -> None:
    done = applejack_open(site, server, BROWSER=str(recorder(tmp_path)))
    opened = (tmp_path / "opened").read_text().strip()
    assert done.returncode == 0
    assert opened.startswith(f"{site.url}/applejack/login?token=")
    assert opened not in done.stdout + done.stderr
    assert site.url in done.stdout
    status, _ = site.get(opened.removeprefix(site.url))
    assert status == 401  # urllib followed the redirect without the cookie: the link itself was good
    assert site.get(opened.removeprefix(site.url))[0] == 403


def recorder(folder: Path) -> Path:
    """A browser that writes down what it is asked to open."""
    script = folder / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {folder}/opened\n')
    script.chmod(0o700)
    return script


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "there is no run 'nosuch'"),
        (["--url", "ftp://x"], "--url 'ftp://x' is not of the form http://HOST:PORT"),
        (["--url", f"http://127.0.0.1:{free_port()}"], "does not answer"),
    ],
)
def test_errors_are_one_line_and_make_no_token(
    site: Site, ledger: Ledger, server: Server, arguments: list[str], message: str
) -> None:
    before = set(ledger._redis.keys("applejack:login:*"))
    done = applejack_open(site, server, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert set(ledger._redis.keys("applejack:login:*")) <= before  # those of other tests expire


def test_without_a_flower_the_command_names_the_one_that_starts_it(
    redis_url: SecretStr, ledger: Ledger, tmp_path: Path
) -> None:
    command = [*APPLEJACK, "open", "--print"]
    env = flower_env(tmp_path, redis_url)
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "no Flower is running; start one with `applejack flower`" in done.stderr


def test_after_many_wrong_passwords_only_a_session_is_accepted(browser: Browser, site: Site, ledger: Ledger) -> None:
    assert [site.get("/api/tasks", pair="applejack:guess")[0] for _ in range(WRONG_LIMIT)] == [401] * WRONG_LIMIT
    status, text = site.get("/runs", pair=site.pair)
    assert status == 429
    assert "wait a minute, or log in with `applejack open`" in text
    context = browser.new_context(base_url=site.url)
    page = context.new_page()
    page.goto(f"/applejack/login?token={ledger.logins.create('')}")
    expect(page).to_have_url(f"{site.url}/runs")
    context.close()


def test_the_key_of_sessions_is_private(site: Site) -> None:
    file = site.child.log.parent / "flower-session-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() not in site.child.log_tail(1000)
