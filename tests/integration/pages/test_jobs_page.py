"""Jobs and Job pages: find a failed job, read its story, run jobs again; markup in any field stays text."""

import re
import urllib.parse
import urllib.request
from dataclasses import dataclass
from itertools import count

import pytest
from playwright.sync_api import Browser, Page, expect

from config.ledger import Ledger
from config.records import JobState
from tests.support.flower_site import Site, logged_in
from tests.support.shown_jobs import LONG, MARKUP, PROMPTS, finish, shown_jobs

RUNS = (f"night-{number}" for number in count(1))


@dataclass(frozen=True)
class Shown:
    """A run with six jobs, of an id that no other test uses: one Flower serves all tests."""

    run_id: str
    ids: tuple[str, ...]

    @property
    def list(self) -> str:
        """Address of its jobs."""
        return f"/runs/{self.run_id}/jobs"


@pytest.fixture
def run(ledger: Ledger) -> Shown:
    """A run with a job in every state."""
    run_id = next(RUNS)
    return Shown(run_id, shown_jobs(ledger, run_id))


def expect_numbers(page: Page, *numbers: int) -> None:
    """Wait until these jobs are on the page."""
    expect(page.locator("td.job-number")).to_have_text([str(number) for number in numbers])


def test_a_failed_job_is_found_and_its_story_read(page: Page, run: Shown) -> None:
    page.goto(run.list)
    expect_numbers(page, 1, 2, 3, 4, 5, 6)
    page.get_by_label("State").select_option("failed")  # sends the form
    expect(page.locator("#job-count")).to_have_text("1 of 6 jobs with state failed")
    expect_numbers(page, 4)
    page.get_by_role("link", name="4", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(run.ids[3])
    expect(page.locator(".job-neighbours")).to_contain_text("1 of 1 with state failed")
    expect(page.locator("#job")).to_contain_text("timeout the job took longer than 180 s")
    expect(page.locator(".job-history")).to_contain_text("it failed on mac-2: timeout")
    expect(page.get_by_text(f"applejack resubmit {run.run_id} --job {run.ids[3]}")).to_be_visible()


def test_a_rejected_job_shows_evidence_facts_and_calls_beside_results(page: Page, run: Shown) -> None:
    page.goto(f"{run.list}/2?state=rejected")
    answer = page.locator("#message-3")
    expect(answer).to_contain_text("wrong_answer")
    expect(answer.locator("mark")).to_have_text("There are 5 files that import Timer.")
    expect(page.locator(".job-facts .unmet")).to_contain_text("number: 2, counts files")
    asked, told = page.locator(".job-call").bounding_box(), page.locator(".job-result").bounding_box()
    assert asked is not None
    assert told is not None
    assert abs(asked["y"] - told["y"]) < 2  # side by side
    page.set_viewport_size({"width": 390, "height": 800})
    asked, told = page.locator(".job-call").bounding_box(), page.locator(".job-result").bounding_box()
    assert asked is not None
    assert told is not None
    assert told["y"] >= asked["y"] + asked["height"]  # one below the other
    page.keyboard.press("j")  # the next job of the filter
    expect(page.get_by_role("heading", level=1)).to_contain_text(run.ids[2])


def test_long_results_unfold_and_rows_and_provenance_are_named(page: Page, run: Shown) -> None:
    page.goto(f"{run.list}/{run.ids[0]}")
    expect(page.get_by_text("In the dataset: train.jsonl rows 3-4, 9.")).to_be_visible()
    last = LONG.splitlines()[-1]
    expect(page.get_by_text(last)).to_be_hidden()
    page.get_by_text("Show all 60 lines").click()
    expect(page.get_by_text(last)).to_be_visible()
    expect(page.locator("#origin + section")).to_contain_text("mlx-community/Qwen3-4B-4bit at http://127.0.0.1:8080/v1")
    page.get_by_text("System prompt").click()
    expect(page.get_by_text("You answer questions about code.")).to_be_visible()


def test_earlier_attempts_stay_readable(page: Page, ledger: Ledger, run: Shown) -> None:
    ledger.jobs.resubmit(run.run_id, [run.ids[1]], train=False, evaluate=False)
    page.goto(f"{run.list}/{run.ids[1]}")
    expect(page.locator(".job-tabs a[aria-current]")).to_have_text("Attempt 1 completed")
    expect(page.locator(".job-chips")).to_contain_text("queued")
    expect(page.locator(".job-findings")).to_contain_text("wrong_answer")  # the verdict is about this attempt
    finish(ledger, run.run_id, run.ids[1], 1, "mac-1", attempt=2)
    expect(page.locator(".job-tabs a[aria-current]")).to_have_text("Attempt 2 completed", timeout=10_000)  # live
    expect(page.locator(".job-chips")).to_contain_text("generated, not curated yet")
    expect(page.locator(".job-findings")).to_have_count(0)
    page.locator("#attempt-1").click()
    expect(page.locator(".job-findings")).to_contain_text("wrong_answer")


def test_two_ticked_jobs_are_resubmitted_and_ticks_outlive_the_stream(page: Page, ledger: Ledger, run: Shown) -> None:
    page.goto(run.list)
    expect(page.locator("#live-status")).to_have_text("live")
    page.get_by_label("Tick job 2").check()
    page.get_by_role("heading", level=1).click()  # the box has no focus, which would protect it too
    finish(ledger, run.run_id, run.ids[4], 4, "mac-1")
    page.wait_for_timeout(3000)  # longer than the stream waits
    expect(page.get_by_label("Tick job 2")).to_be_checked()
    page.get_by_label("Tick job 4").check()
    page.get_by_role("button", name="Resubmit 2 ticked jobs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Run 2 jobs again?")
    expect(page.locator(".job-preview-tables")).to_contain_text("timeout")
    expect(page.locator("#mix-title + div")).to_contain_text("count")
    assert ledger.jobs.view(run.run_id, run.ids[1]).state is JobState.GENERATED  # nothing has changed so far
    page.get_by_role("button", name="Run 2 jobs again").click()
    expect(page.locator("p[role=status]")).to_contain_text(f"2 jobs of {run.run_id} queued again")
    assert [ledger.jobs.view(run.run_id, job_id).state for job_id in (run.ids[1], run.ids[3])] == [JobState.QUEUED] * 2
    assert ledger.jobs.view(run.run_id, run.ids[1]).attempt == 2
    page.get_by_role("link", name="Show the queued jobs").click()
    expect(page.locator("#job-count")).to_have_text("3 of 6 jobs with state queued")


def test_all_that_match_are_resubmitted_without_scripts(
    browser: Browser, site: Site, ledger: Ledger, run: Shown
) -> None:
    with logged_in(browser, site, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(run.list)
        page.get_by_label("Worker").select_option("mac-2")
        page.get_by_role("button", name="Filter").click()
        expect_numbers(page, 2, 4)
        page.get_by_role("button", name="Resubmit all 2 failed or rejected that match").click()
        page.get_by_role("button", name="Run 2 jobs again").click()
        expect(page).to_have_url(re.compile(r"\?state=queued$"))
        expect_numbers(page, 2, 4, 6)
    assert ledger.jobs.view(run.run_id, run.ids[2]).state is JobState.GENERATED  # of another worker


def test_planted_markup_and_unseen_characters_stay_text(page: Page, run: Shown) -> None:
    filters = urllib.parse.urlencode({"worker": MARKUP, "text": "what does <SCRIPT>", "category": PROMPTS[2].category})
    for address in (
        f"{run.list}?{filters}",
        f"{run.list}/{run.ids[2]}?{filters}",
        f"{run.list}/resubmit?which=all&{filters}",
    ):
        page.goto(address)
        assert page.title() != "planted"
        assert page.locator("#main-content b:has-text('&')").count() == 0
        text = page.locator("#main-content").inner_text()
        assert MARKUP in text
        assert "\u202e" not in page.content()
        assert "\u200b" not in page.content()
        assert "\x1b" not in page.content()
    page.goto(f"{run.list}/{run.ids[2]}")
    expect(page.locator("#message-2 mark")).to_have_text(MARKUP)
    expect(page.locator("#message-2 .job-unseen").first).to_have_text("U+202E")


def test_resubmission_needs_login_token_and_the_own_site(site: Site, ledger: Ledger, run: Shown) -> None:
    body = urllib.parse.urlencode({"job": run.ids[1]}).encode()

    def post(pair: str | None, **headers: str) -> int:
        request = urllib.request.Request(f"{site.url}{run.list}/resubmit", body, headers)
        return site.send(request, pair=pair)[0]

    assert post(None) in {401, 403}
    assert post(site.pair) == 403  # no token
    assert post(site.pair, Origin="http://elsewhere.example") == 403
    assert ledger.jobs.view(run.run_id, run.ids[1]).state is JobState.GENERATED
    for page in (run.list, f"{run.list}/{run.ids[1]}", f"{run.list}/resubmit?job={run.ids[1]}"):
        assert site.get(page)[0] == 401
        assert site.get(page, accept="text/event-stream")[0] == 401


def test_unknown_runs_and_jobs_are_not_found(site: Site, run: Shown) -> None:
    for page in (
        "/runs/nothing/jobs",
        f"{run.list}/000009-deadbeef",
        f"{run.list}/99",
        f"{run.list}/resubmit?job=nothing",
    ):
        assert site.get(page, pair=site.pair)[0] == 404, page
    assert site.get(f"{run.list}?page=999999999&state=%00", pair=site.pair)[0] == 200
    assert site.get(f"{run.list}/{run.ids[0]}?attempt=7", pair=site.pair)[0] == 200


UNNAMED = """() => [...document.querySelectorAll("#main-content :is(a, button, select, input:not([type=hidden]))")]
    .filter((item) => !(item.labels?.length || item.ariaLabel || item.textContent.trim()))
    .map((item) => item.outerHTML)"""


@pytest.mark.parametrize("width", [390, 800, 1280, 1600])
def test_pages_fit_the_window_and_every_control_has_a_name(page: Page, run: Shown, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for address in ("", f"/{run.ids[2]}", "/resubmit?which=all"):
        page.goto(run.list + address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
        assert page.evaluate(UNNAMED) == []
