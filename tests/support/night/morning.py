"""The morning after the replayed night: what a person does in the browser and in the terminal, step by step."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from config.endpoint.health import health_check
from tests.support.flower_site import Site, flower_env
from tests.support.night.night import MODEL, RUN, Mac, Night

APPLEJACK = (sys.executable, "-P", "-c", "from producer.cli import main; main()")
COLUMNS = 100
SCREEN = {"width": 1280, "height": 900}
PATIENCE = 60.0  # seconds for a page or a worker on a busy machine
AGAIN = "timeout"  # the failure kind whose jobs run again
AGAIN_SECONDS = 900.0  # curation of 2,000 jobs takes minutes on a busy machine


@dataclass(frozen=True)
class Seen:
    """What a step showed."""

    step: str
    words: str
    seconds: float
    """from the click until the page showed it, or of the command"""
    image: Path | None = None


def command(night: Night, site: Site, *arguments: str) -> str:
    """Output of an applejack command in a terminal of COLUMNS on Flower's machine; AssertionError if it fails."""
    folder = site.child.log.parent
    env = flower_env(folder, night.server.url, COLUMNS=str(COLUMNS))
    done = subprocess.run([*APPLEJACK, *arguments], env=env, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Morning:
    """A person with a browser."""

    night: Night
    site: Site
    page: Page

    @property
    def wrong(self) -> Mac:
        """The Mac with the wrong model."""
        return self.night.macs[3]

    def card(self, mac: Mac) -> Locator:
        """A Mac's card on the Fleet page."""
        return self.page.locator(f'.fleet-card[aria-labelledby="name-{mac.name}@test"]')

    def back_to_run(self) -> None:
        """To the page of the run, from wherever the browser is."""
        self.page.get_by_role("link", name="Runs", exact=True).first.click()
        self.page.get_by_role("link", name=RUN, exact=True).click()


def look_at_runs(morning: Morning) -> Locator:
    """Open the Runs pages by a one-time link: no password is typed."""
    morning.page.goto(command(morning.night, morning.site, "open", "--print").strip())
    expect(morning.page.locator("#live-status")).to_have_text("live", timeout=PATIENCE * 1000)
    return morning.page.locator("main")


def look_at_run(morning: Morning) -> Locator:
    """What happened, and why."""
    morning.page.get_by_role("link", name=RUN, exact=True).click()
    chart = morning.page.locator('[data-chart="chart-rate"]')
    expect(chart).to_have_count(1, timeout=PATIENCE * 1000)
    if chart.get_attribute("data-empty") is None:  # a night of one minute has too few points
        expect(chart.locator("canvas")).to_be_visible(timeout=PATIENCE * 1000)
    return morning.page.locator("main")


def look_at_fleet(morning: Morning) -> Locator:
    """Which Mac needs attention, and what to do."""
    morning.page.get_by_role("link", name="Fleet", exact=True).first.click()
    morning.page.locator(".fleet-attention").get_by_role("link", name=f"{morning.wrong.name}@test").click()
    expect(morning.card(morning.wrong)).to_contain_text("What to do", timeout=PATIENCE * 1000)
    return morning.card(morning.wrong)


def look_at_jobs(morning: Morning) -> Locator:
    """The jobs of a cause."""
    morning.back_to_run()
    morning.page.locator("#run-causes").get_by_role("link", name="Too many requests or tool calls").click()
    expect(morning.page.locator("#job-count")).to_be_visible(timeout=PATIENCE * 1000)
    return morning.page.locator("main")


def look_at_job(morning: Morning) -> Locator:
    """One of them: its conversation."""
    morning.page.locator(".job-number a").first.click()
    expect(morning.page.locator(".job-talk")).to_be_visible(timeout=PATIENCE * 1000)
    return morning.page.locator("main")


def repair(morning: Morning) -> Locator:
    """Start the right model on the Mac that has the wrong one, and wait until it answers."""
    morning.page.get_by_role("link", name="Fleet", exact=True).first.click()
    morning.wrong.kill_server()
    morning.wrong.serves = MODEL
    morning.wrong.start_server()
    endpoint, deadline = f"http://127.0.0.1:{morning.wrong.port}/v1", time.monotonic() + PATIENCE
    while not health_check(endpoint, model=MODEL, seconds=10.0).answers:
        assert time.monotonic() < deadline, "the restarted model server does not answer"
        time.sleep(0.2)
    return morning.card(morning.wrong)


def ask_to_resubmit(morning: Morning) -> Locator:
    """The preview: how many jobs would run again. Nothing is changed."""
    morning.back_to_run()
    morning.page.locator(f"#again-{AGAIN}").click()
    dialog = morning.page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Resubmit")).to_be_visible(timeout=PATIENCE * 1000)
    return dialog


def resubmit(morning: Morning) -> Locator:
    """Confirm it; the page shows that the run goes on."""
    morning.page.get_by_role("dialog").get_by_role("button", name="Resubmit").click()
    expect(morning.page.get_by_role("dialog")).to_be_hidden(timeout=PATIENCE * 1000)
    expect(morning.page.locator(".aj-head")).to_contain_text("generating", timeout=PATIENCE * 1000)
    morning.page.evaluate("window.scrollTo(0, 0)")
    return morning.page.locator("main")


def watch(morning: Morning) -> Locator:
    """Without a reload, until the run has ended again."""
    expect(morning.page.locator(".aj-head .aj-state")).to_have_text("done", timeout=AGAIN_SECONDS * 1000)
    expect(morning.page.locator("#run-stages")).to_contain_text("resubmitted")
    return morning.page.locator("main")


STEPS: tuple[tuple[str, Callable[[Morning], Locator]], ...] = (
    ("runs", look_at_runs),
    ("run", look_at_run),
    ("fleet", look_at_fleet),
    ("jobs", look_at_jobs),
    ("job", look_at_job),
    ("repaired", repair),
    ("dialog", ask_to_resubmit),
    ("resubmitted", resubmit),
    ("ended", watch),
)
COMMANDS = (
    ("status", ("status", RUN)),
    ("dry run", ("resubmit", RUN, "--kind", AGAIN, "--dry-run")),
)
WITHOUT_IMAGE = ("jobs", "repaired")
WHOLE_PAGE = ("run",)


def morning(night: Night, site: Site, browser: Browser, images: Path) -> Iterator[Seen]:
    """Go through STEPS, each when it is asked for: between two of them the ledger can be compared with what was seen.

    Writes images/morning-STEP.png. Playwright's TimeoutError or AssertionError if a page does not show what it should.
    """
    with browser.new_context(base_url=site.url, viewport=SCREEN, color_scheme="light") as context:
        person = Morning(night, site, context.new_page())
        for name, step in STEPS:
            began = time.monotonic()
            part = step(person)
            seconds = time.monotonic() - began
            image = None if name in WITHOUT_IMAGE else images / f"morning-{name}.png"
            words = part.inner_text()
            if image:
                person.page.screenshot(path=image, full_page=name in WHOLE_PAGE)
            yield Seen(name, words, seconds, image)


def in_the_terminal(night: Night, site: Site) -> Iterator[Seen]:
    """The same questions in the terminal: what happened, and what would run again."""
    for name, arguments in COMMANDS:
        began = time.monotonic()
        words = command(night, site, *arguments)
        yield Seen(name, words, time.monotonic() - began)
