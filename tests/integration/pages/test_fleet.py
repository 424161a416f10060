"""The Fleet page in a browser: workers in words, live, with buttons that a mouse and a keyboard can press."""

import time

import pytest
from playwright.sync_api import Browser, Dialog, FloatRect, Locator, Page, expect

from config.ledger import Ledger
from config.records import JsonObject, WorkerControl
from tests.integration.conftest import StartWorker
from tests.support.fleet import until
from tests.support.flower_site import Site, logged_in

OBEYED = 10_000  # milliseconds until the stream has brought a change, on two busy cores


def heartbeat(**fields: object) -> JsonObject:
    found: JsonObject = {
        "queues": ["generate"],
        "version": "1.0",
        "holds": 2,
        "limit": 4,
        "limit_reason": "fixed",
        "endpoint": "http://10.0.0.7:8080/v1",
        "clock": time.time(),
        "memory": {"available": 12e9, "total": 32e9},
        **fields,  # type: ignore[dict-item]
    }
    return found


def test_a_worker_is_paused_and_resumed_by_button_and_by_keyboard(page: Page, ledger: Ledger) -> None:
    ledger.fleet.heartbeat("mac@one", heartbeat())
    page.goto("/fleet")
    card = page.get_by_role("listitem", name="mac@one")
    expect(card).to_contain_text("consuming")
    expect(card).to_contain_text("2 of at most 4set by --concurrency")
    page.evaluate("window.marked = true")

    card.get_by_role("button", name="Pause mac@one").click()
    expect(page.locator(".toast")).to_contain_text("mac@one finishes the work that it holds and takes no other")
    expect(card).to_contain_text("paused by a person", timeout=OBEYED)
    assert ledger.fleet.control("mac@one") is WorkerControl.PAUSED
    assert page.evaluate("window.marked")  # the page was not loaded again

    resume = card.get_by_role("button", name="Resume mac@one")
    expect(resume).to_be_focused()  # the focus stays on the button that has another word now
    page.keyboard.press("Enter")
    expect(card).to_contain_text("consuming", timeout=OBEYED)
    assert ledger.fleet.control("mac@one") is WorkerControl.GO


def test_drain_asks_first(page: Page, ledger: Ledger) -> None:
    ledger.fleet.heartbeat("mac@one", heartbeat())
    page.goto("/fleet")
    asked: list[str] = []
    answers = iter([False, True])

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept() if next(answers) else dialog.dismiss()

    page.on("dialog", answer)
    drain = page.get_by_role("button", name="Drain mac@one")
    drain.click()
    page.wait_for_timeout(300)
    assert ledger.fleet.control("mac@one") is WorkerControl.GO
    drain.click()
    expect(page.get_by_role("listitem", name="mac@one")).to_contain_text("draining", timeout=OBEYED)
    assert ledger.fleet.control("mac@one") is WorkerControl.DRAINING
    assert asked == ["Drain mac@one? It finishes the work that it holds, then its process ends."] * 2
    expect(drain).to_have_count(0)


def test_a_pause_is_explained_with_what_to_do(page: Page, ledger: Ledger) -> None:
    page.goto("/fleet")
    expect(page.get_by_text("No worker in the last day")).to_be_visible()
    ledger.fleet.heartbeat("mac@one", heartbeat(paused="'http://10.0.0.7:8080/v1' cannot be reached: refused"))
    card = page.get_by_role("listitem", name="mac@one")
    expect(card).to_contain_text("paused by itself", timeout=OBEYED)
    expect(card).to_contain_text("Start the model server there")
    expect(card).to_contain_text("applejack doctor --endpoint http://10.0.0.7:8080/v1")
    expect(card).to_contain_text("docs/troubleshooting.md#endpoint-unreachable")
    page.get_by_role("link", name="mac@one").click()  # under "Needs attention"
    assert page.url.endswith("/fleet#name-mac@one")


def test_a_worker_that_is_gone_can_be_resumed(page: Page, ledger: Ledger) -> None:
    ledger.fleet.set_control("old@attic", WorkerControl.PAUSED)
    page.goto("/fleet")
    card = page.get_by_role("listitem", name="old@attic")
    expect(card).to_contain_text("when it starts again, it takes no work")
    card.get_by_role("button", name="Resume old@attic").click()
    expect(card).to_have_count(0, timeout=OBEYED)
    assert ledger.fleet.controls() == {}


def test_buttons_work_without_scripts(browser: Browser, site: Site, ledger: Ledger) -> None:
    ledger.fleet.heartbeat("mac@one", heartbeat())
    with logged_in(browser, site, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/fleet")
        page.get_by_role("button", name="Pause mac@one").click()
        expect(page).to_have_url(f"{site.url}/fleet")
        expect(page.get_by_role("button", name="Resume mac@one")).to_be_visible()
    assert ledger.fleet.control("mac@one") is WorkerControl.PAUSED


def test_a_real_worker_shows_its_machine_and_is_paused(page: Page, ledger: Ledger, start_worker: StartWorker) -> None:
    worker = start_worker("curate", "curate")
    page.goto("/fleet")
    card = page.get_by_role("listitem", name=worker.name)
    for words in ("Memory", "Disk", " free", "clock right", "heartbeat just now", "curate"):
        expect(card).to_contain_text(words, timeout=OBEYED)
    card.get_by_role("button", name=f"Pause {worker.name}").click()
    until(lambda: ledger.fleet.control(worker.name) is WorkerControl.PAUSED)
    expect(card).to_contain_text("paused by a person", timeout=OBEYED)
    card.get_by_role("button", name=f"Resume {worker.name}").click()
    expect(card).to_contain_text("consuming", timeout=OBEYED)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_every_width(browser: Browser, site: Site, ledger: Ledger, scheme: str) -> None:
    long = "/Volumes/" + "very-long-name-without-a-break" * 5
    full = heartbeat(paused=f"812 MB free in {long!r}", serves=long)
    ledger.fleet.heartbeat(f"generate-{'x' * 60}@studio.local", full)
    ledger.fleet.heartbeat("mac@one", heartbeat())
    with logged_in(browser, site, color_scheme=scheme) as context:
        page = context.new_page()
        for width in (390, 800, 1280, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto("/fleet")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), width
            buttons = page.get_by_role("button", name="Pause")
            assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in map(bounds, buttons.all())), width


def bounds(element: Locator) -> FloatRect:
    found = element.bounding_box()
    assert found is not None
    return found
