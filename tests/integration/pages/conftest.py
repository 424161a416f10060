"""The pages in a real Chromium, against a real Flower on a real Redis."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from pydantic import SecretStr

from producer.flower.handlers import LIVE_SECONDS
from producer.stack.redis_server import Server
from tests.support.flower_site import Site, chromium, chromium_path, flower_site, logged_in


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium. Not for the whole run: its event loop runs meanwhile, and no other can in this thread."""
    if chromium_path() is None:
        pytest.skip("no Chromium or Chrome is installed")
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def module_site(redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Flower for all tests of a module: it takes seconds to start."""
    with flower_site(tmp_path_factory.mktemp("flower"), redis_server.url) as started:
        yield started


@pytest.fixture
def site(module_site: Site, redis_url: SecretStr) -> Site:
    """Flower on the server, which redis_url has emptied."""
    time.sleep(LIVE_SECONDS)  # what it still shares of the test before is too old then
    return module_site


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page of a window that is logged in; an error of a script or a failed request for an asset fails the test."""
    with logged_in(browser, site, viewport={"width": 1280, "height": 900}) as context:
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        assert errors == []
