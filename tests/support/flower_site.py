"""A running Flower with applejack's pages, and clients for it: plain HTTP, and Chromium."""

import base64
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, sync_playwright
from pydantic import SecretStr

from config.process import ChildProcess, free_port, start_child

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 150.0  # on a busy machine
MACOS = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


class Site:
    """A running Flower."""

    def __init__(self, child: ChildProcess, port: int, user: str, password: str) -> None:
        self.child = child
        self.url = f"http://127.0.0.1:{port}"
        self.user, self.password = user, password
        self.pair = f"{user}:{password}"

    def get(self, page: str, *, pair: str | None = None, accept: str | None = None) -> tuple[int, str]:
        """Status and body of a page, without a login unless `pair` is "user:password"."""
        return self.send(urllib.request.Request(self.url + page), pair=pair, accept=accept)

    def send(
        self, request: urllib.request.Request, *, pair: str | None = None, accept: str | None = None
    ) -> tuple[int, str]:
        """Status and body of a request."""
        if pair is not None:
            request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
        if accept is not None:
            request.add_header("Accept", accept)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


def flower_env(folder: Path, url: SecretStr, **more: str) -> dict[str, str]:
    """Environment of a Flower that belongs to a test."""
    return {**os.environ, "APPLEJACK_REDIS_URL": url.get_secret_value(), "APPLEJACK_DIR": str(folder), **more}


@contextmanager
def flower_site(folder: Path, url: SecretStr, **env: str) -> Iterator[Site]:
    """Start Flower on a free port; it is killed at the end."""
    port = free_port()
    command = [sys.executable, "-m", "producer.flower", "--port", str(port)]
    environment = flower_env(folder, url, **env)
    child = start_child("flower", command, log=folder / "flower.log", env=environment, cwd=folder)
    try:
        deadline = time.monotonic() + START_SECONDS
        while "password in" not in child.log_tail(50):
            assert child.exit_code is None, child.log_tail(50)
            assert time.monotonic() < deadline, child.log_tail(50)
            time.sleep(0.1)
        login = json.loads((folder / "flower-password.json").read_text())
        yield Site(child, port, login["user"], login["password"])
    finally:
        child.kill()


def chromium_path() -> str | None:
    """The installed Chromium or Chrome; None if there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or (str(MACOS) if MACOS.is_file() else None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium, the installed one: none is downloaded."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def logged_in(browser: Browser, site: Site, **options: object) -> Iterator[BrowserContext]:
    """A browser window with the site's password; `options` are those of playwright's new_context."""
    credentials = {"username": site.user, "password": site.password}
    context = browser.new_context(base_url=site.url, http_credentials=credentials, **options)  # type: ignore[arg-type]
    yield context
    context.close()
