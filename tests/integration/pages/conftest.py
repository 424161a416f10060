"""The pages in a real Chromium, against a real Flower on a real Redis."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from pydantic import SecretStr

from tests.support.flower_site import Site, chromium, chromium_path, flower_site, logged_in


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium. Not for the whole run: its event loop runs meanwhile, and no other can in this thread."""
    if chromium_path() is None:
        pytest.skip("no Chromium or Chrome is installed")
    with chromium() as started:
        yield started


@pytest.fixture
def site(redis_url: SecretStr, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Flower on the emptied server."""
    with flower_site(tmp_path_factory.mktemp("flower"), redis_url) as started:
        yield started


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page of a window that is logged in; an error of a script or a failed request for an asset fails the test."""
    with logged_in(browser, site, viewport={"width": 1280, "height": 900}) as context:
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        assert errors == []
