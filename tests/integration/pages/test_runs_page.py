"""The Runs page in a browser and without one: it follows the ledger, finds runs, and stays fast."""

import re
import time

import pytest
import redis
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from config.ledger import Ledger
from config.records import RunControl
from config.topology import run_key
from producer.flower.runs import listing
from tests.support.flower_site import Site, logged_in
from tests.support.shown_runs import created, finish_jobs, heartbeats, start_jobs

ODD = "<img src=x onerror=document.title='planted'>"


def test_a_run_moves_on_an_open_page(page: Page, ledger: Ledger) -> None:
    ids = created(ledger, "night", 40)
    page.goto("/runs")
    row = page.locator('[data-key="night"]')
    expect(row).to_contain_text("0 of 40")
    expect(row).to_contain_text("no worker for generate")
    page.evaluate("window.marked = true")
    heartbeats(ledger)
    finish_jobs(ledger, "night", ids[:18])
    start_jobs(ledger, "night", ids[18:22])
    expect(row).to_contain_text("18 of 40", timeout=20_000)
    expect(row).to_contain_text("a minute")
    expect(row).to_contain_text("left")
    expect(row.locator("td").nth(5)).to_have_text("2")  # failed
    expect(row.locator("td").nth(6)).to_have_text("2")  # workers with jobs in flight
    ledger.controls.pause("night")
    expect(row).to_contain_text("paused", timeout=20_000)
    expect(page.locator(".aj-fleet")).to_have_text(re.compile("3 workers ready, 1 paused by their endpoint or disk"))
    assert page.evaluate("window.marked")


def test_an_update_leaves_focus_and_typed_text_alone(page: Page, ledger: Ledger) -> None:
    created(ledger, "night", 3)
    page.goto("/runs")
    page.get_by_label("Name").fill("nig")
    link = page.get_by_role("link", name="night")
    link.focus()
    created(ledger, "another", 3)
    expect(page.get_by_role("link", name="another")).to_be_visible(timeout=20_000)
    expect(link).to_be_focused()
    expect(page.get_by_label("Name")).to_have_value("nig")


def test_runs_are_found_by_name_and_state_also_by_the_stream(page: Page, ledger: Ledger) -> None:
    for name in ("night-1", "night-2", "day-1"):
        created(ledger, name, 2)
    ledger.controls.cancel("night-2")
    page.goto("/runs")
    page.get_by_label("Name").fill("NIGHT")
    page.get_by_label("State").select_option("generating")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("tbody th")).to_have_text(["night-1"])
    expect(page.get_by_text("1 of 3 runs")).to_be_visible()
    created(ledger, "night-3", 2)
    created(ledger, "day-2", 2)
    expect(page.locator("tbody th")).to_have_text(["night-3", "night-1"], timeout=20_000)
    page.get_by_role("link", name="Show all").click()
    expect(page.locator("tbody th")).to_have_count(5)


def test_the_page_is_complete_without_scripts(browser: Browser, site: Site, ledger: Ledger) -> None:
    for name in ("night-1", "day-1"):
        created(ledger, name, 2)
    with logged_in(browser, site, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/runs")
        page.get_by_label("Name").fill("day")
        page.get_by_role("button", name="Find").click()
        expect(page.locator("tbody th")).to_have_text(["day-1"])
        page.get_by_role("link", name="day-1").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("day-1")


def test_planted_markup_stays_text(page: Page, ledger: Ledger) -> None:
    created(ledger, "night", 2)
    ledger.fleet.heartbeat(f"{ODD}@host", {"queues": ["generate"], "paused": ODD})
    page.goto("/runs?name=%22%3E" + "%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D'planted'%3E")
    expect(page.locator("#live-status")).to_have_text("live")
    assert page.locator("main img").count() == 0
    assert "planted" not in page.title()


def test_200_runs_are_read_in_a_fraction_of_a_second(site: Site, ledger: Ledger, redis_url: SecretStr) -> None:
    for n in range(200):
        ids = created(ledger, f"night-{n:03}", 3)
        start_jobs(ledger, f"night-{n:03}", ids[:2])
    many = {str(bucket): 3 for bucket in range(100_000, 103_000)}  # a night's counters
    with redis.Redis.from_url(redis_url.get_secret_value()) as client:
        for n in range(200):
            client.hset(run_key(f"night-{n:03}", "rate"), mapping=many)
        before = client.info("commandstats")
        began = time.process_time()  # not the wall clock: other work on the machine only adds
        found = listing.load(ledger, listing.Query(state="generating"))
        took = time.process_time() - began
        after = client.info("commandstats")
    assert len(found.rows) == listing.PER_PAGE
    assert took < 0.4, took
    assert calls(after, "hgetall") - calls(before, "hgetall") <= 1  # the fleet's controls; no run's counters
    code, body = site.get("/runs?state=generating", pair=site.pair)
    assert code == 200
    assert body.count("data-key=") == listing.PER_PAGE


def calls(stats: dict[str, dict[str, int]], command: str) -> int:
    """How often the server has run a command."""
    return stats.get(f"cmdstat_{command}", {}).get("calls", 0)


@pytest.mark.parametrize("wanted", ["", "cancelled"])
def test_a_long_list_has_pages(site: Site, ledger: Ledger, wanted: str) -> None:
    for n in range(listing.PER_PAGE + 3):
        created(ledger, f"night-{n:03}", 1)
        ledger.controls.cancel(f"night-{n:03}")
    assert ledger.run("night-001").control is RunControl.CANCELLED
    first, second = (site.get(f"/runs?state={wanted}&page={n}", pair=site.pair)[1] for n in (1, 2))
    assert (first.count("data-key="), second.count("data-key=")) == (listing.PER_PAGE, 3)
    assert f"state={wanted}&amp;page=2" in first
    assert site.get("/runs?page=x", pair=site.pair)[0] == 200
