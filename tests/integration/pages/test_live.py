"""A page follows the ledger over its event stream, without being loaded again."""

from playwright.sync_api import Page, expect

from config.ledger import Ledger
from config.records import Prompt, Spec
from tests.support.flower_site import Site

STREAM = "text/event-stream"


def test_a_new_run_appears_on_an_open_page(page: Page, ledger: Ledger) -> None:
    page.goto("/runs")
    expect(page.get_by_text("No runs yet")).to_be_visible()
    expect(page.locator("#live-status")).to_have_text("live")
    page.evaluate("window.marked = true")
    ledger.create(Spec(run_id="night"), [Prompt(prompt="question")])
    expect(page.get_by_role("link", name="night")).to_be_visible(timeout=10_000)
    assert page.evaluate("window.marked")


def test_the_stream_requires_the_password(site: Site) -> None:
    assert site.get("/runs", accept=STREAM)[0] == 401
    assert site.get("/runs", accept=STREAM, pair="applejack:wrong")[0] == 401
