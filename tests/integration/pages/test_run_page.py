"""The Run page in a browser: what it shows, that it follows the ledger, and that its buttons act."""

import re
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from config.errors import FailureKind
from config.ledger import Ledger
from config.records import Failure, JobState, Prompt, RunControl, Spec, StageState, TrainProgress, Trajectory
from config.settings import Settings
from config.topology import QUEUE_CURATE, QUEUE_GENERATE, Stage
from producer import enqueue
from tests.integration.conftest import StartWorker
from tests.support.flower_site import Site, logged_in
from tests.support.shown_runs import backdate, claimed, created, curate, ended, finish_jobs, heartbeats, start_jobs

ODD = "<img src=x onerror=document.title='planted'>"
WIDTHS = (390, 800, 1280, 1600)


def test_an_ended_run_shows_everything_in_words(
    page: Page, ledger: Ledger, redis_url: SecretStr, tmp_path: Path
) -> None:
    ended(ledger, "night", tmp_path / "dataset")
    with redis.Redis.from_url(redis_url.get_secret_value()) as client:
        backdate(client, "night", hours=1.0, now=ledger.fleet.now())
    heartbeats(ledger)
    page.goto("/runs/night")
    expect(page.locator(".aj-head")).to_contain_text("of 40 jobs kept")
    expect(page.locator(".aj-step-name")).to_have_text(["Submitted", "Generate", "Curate", "Train", "Evaluate"])
    expect(page.locator("#run-causes")).to_contain_text("The job took longer than its time limit")
    expect(page.locator("#run-causes")).to_contain_text("Contradicts the expected answer")
    expect(page.locator("#run-workers")).to_contain_text("did not respond within 10 s")
    expect(page.locator("#run-workers")).to_contain_text("at most 6: throughput grew 12%")
    expect(page.locator("#run-scores")).to_contain_text("10 of 54, 95% interval 10-31%")
    expect(page.locator("#run-results")).to_contain_text("night@v1")
    assert page.locator("[data-chart] canvas").count() == 2
    expect(page.locator("#run-rate-words")).to_contain_text("jobs a minute on average")
    assert "{" not in page.locator("main").inner_text()  # no JSON


def test_a_running_run_moves_without_a_reload(page: Page, ledger: Ledger) -> None:
    ids = created(ledger, "night", 30)
    heartbeats(ledger)
    start_jobs(ledger, "night", ids[:4])
    page.goto("/runs/night")
    expect(page.locator("#run-stages")).to_contain_text("4 jobs in flight")
    page.evaluate("window.marked = true")
    finish_jobs(ledger, "night", ids, every_failed=15)
    expect(page.locator("#run-counts")).to_contain_text("30 of 30 jobs finished", timeout=20_000)
    expect(page.locator("#run-causes")).to_contain_text("timeout", timeout=20_000)
    curate(ledger, "night", ids)
    claimed(ledger, "night", Stage.TRAIN)
    for n in (5, 10, 15):
        report = TrainProgress(iteration=n, iterations=110, train_loss=2.0 / n, seconds=float(n))
        ledger.stages.report("night", Stage.TRAIN, report)
    expect(page.locator("#run-stages")).to_contain_text("iteration 15 of 110", timeout=20_000)
    expect(page.locator('[data-chart="chart-loss"] canvas')).to_be_visible(timeout=20_000)
    assert page.evaluate("window.marked")


def test_a_cause_is_resubmitted_through_the_dialog(
    page: Page, ledger: Ledger, redis_url: SecretStr, tmp_path: Path
) -> None:
    ended(ledger, "night", tmp_path / "dataset")
    before = ledger.jobs.failure_counts("night")
    page.goto("/runs/night")
    page.get_by_role("button", name="Resubmit these: The job took longer than its time limit").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text(f"Resubmit {before[FailureKind.TIMEOUT]} jobs?")
    expect(dialog).to_contain_text("The mix of categories")
    expect(dialog).to_contain_text("version 2 of its dataset")
    assert ledger.jobs.failure_counts("night") == before  # looking changes nothing
    dialog.get_by_role("button", name="Resubmit").click()
    expect(page.locator(".toast")).to_contain_text("queued again")
    expect(dialog).to_be_hidden()
    assert ledger.jobs.counts("night")[JobState.QUEUED] == before[FailureKind.TIMEOUT]
    assert FailureKind.TIMEOUT not in ledger.jobs.failure_counts("night")
    assert ledger.stages.view("night", Stage.TRAIN).state is StageState.SKIPPED
    with redis.Redis.from_url(redis_url.get_secret_value()) as client:
        assert client.llen(QUEUE_GENERATE) == before[FailureKind.TIMEOUT]
    expect(page.locator(".aj-head")).to_contain_text("generating", timeout=20_000)
    expect(page.locator("#run-stages")).to_contain_text(f"{before[FailureKind.TIMEOUT]} jobs resubmitted")


def test_the_dialog_can_be_left_with_the_keyboard(page: Page, ledger: Ledger) -> None:
    finish_jobs(ledger, "night", created(ledger, "night", 20))
    page.goto("/runs/night")
    opener = page.locator("#again-timeout")
    opener.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("Resubmit 2 jobs?")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(opener).to_be_focused()
    assert ledger.jobs.counts("night")[JobState.FAILED] == 2


def test_pause_resume_and_cancel_by_button(page: Page, ledger: Ledger) -> None:
    ids = created(ledger, "night", 6)
    finish_jobs(ledger, "night", ids[:2])
    page.goto("/runs/night")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".toast").last).to_contain_text("night is paused")
    assert ledger.run("night").control is RunControl.PAUSED
    expect(page.locator(".aj-head")).to_contain_text("paused", timeout=20_000)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".aj-head")).to_contain_text("generating", timeout=20_000)
    assert ledger.run("night").control is RunControl.GO
    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("4 queued jobs will not run. The 2 finished jobs stay.")
    assert ledger.run("night").control is RunControl.GO  # it only asks
    dialog.get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".aj-head")).to_contain_text("cancelled", timeout=20_000)
    assert ledger.jobs.counts("night")[JobState.CANCELLED] == 4
    page.get_by_role("button", name="Curate what there is").click()
    expect(page.locator(".aj-head")).to_contain_text("curating", timeout=20_000)
    assert ledger.stages.view("night", Stage.CURATE).state is StageState.READY


def test_a_failed_stage_runs_again_by_button(page: Page, ledger: Ledger, redis_url: SecretStr) -> None:
    finish_jobs(ledger, "night", created(ledger, "night", 3))
    ledger.stages.finish(claimed(ledger, "night", Stage.CURATE), error="none of 3 trajectories was kept")
    page.goto("/runs/night")
    expect(page.locator(".aj-head")).to_contain_text("none of 3 trajectories was kept")
    page.get_by_role("button", name="Run curate again").click()
    expect(page.locator(".aj-head")).to_contain_text("curating", timeout=20_000)
    with redis.Redis.from_url(redis_url.get_secret_value()) as client:
        assert client.llen(QUEUE_CURATE) == 1


def test_without_scripts_the_page_is_complete_and_its_buttons_act(browser: Browser, site: Site, ledger: Ledger) -> None:
    finish_jobs(ledger, "night", created(ledger, "night", 20))
    with logged_in(browser, site, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/runs/night")
        expect(page.locator("#run-causes")).to_contain_text("timeout")
        page.locator("#again-timeout").click()
        expect(page.get_by_role("heading", name="Resubmit 2 jobs?")).to_be_visible()
        page.get_by_role("button", name="Resubmit").click()
        expect(page).to_have_url(re.compile("/runs/night$"))
        assert ledger.jobs.counts("night")[JobState.QUEUED] == 2
        page.get_by_role("button", name="Pause").click()
        expect(page.locator(".aj-head")).to_contain_text("paused")
        page.goto("/runs/night/resubmit?kind=timeout")
        expect(page.get_by_role("heading", name="No job to resubmit")).to_be_visible()


@pytest.mark.parametrize("what", ["worker", "reason", "stage error", "model", "limit"])
def test_planted_markup_stays_text(page: Page, ledger: Ledger, what: str) -> None:
    odd = dict.fromkeys(("worker", "reason", "stage error", "model", "limit"), "plain") | {what: ODD}
    (job,) = ledger.create(Spec(run_id="night", model=odd["model"]), [Prompt(prompt=ODD, category=ODD)]).job_ids
    fields = {
        "queues": ["generate"],
        "limit": 1,
        "limit_reason": odd["limit"],
        "paused": odd["reason"],
        "serves": odd["model"],
    }
    ledger.fleet.heartbeat(odd["worker"], fields)
    ledger.jobs.begin("night", job, worker=odd["worker"], lease_seconds=60, delivery_limit=4)
    failure = Failure(kind=FailureKind.TIMEOUT, message=ODD)
    told = Trajectory(run_id="night", job_id=job, prompt=ODD, outcome="failed", failure=failure)
    ledger.jobs.finish(told, worker=odd["worker"])
    ledger.stages.finish(claimed(ledger, "night", Stage.CURATE), error=odd["stage error"])
    page.goto("/runs/night")
    expect(page.locator("#live-status")).to_have_text("live")
    page.locator("#again-timeout").click()
    expect(page.get_by_role("dialog")).to_contain_text(ODD)  # the category
    assert page.locator("main img, dialog img").count() == 0
    assert "planted" not in page.title()
    assert ODD in page.locator("main").inner_text()


def test_the_report_is_served_in_a_sandbox_behind_the_login(site: Site, ledger: Ledger, tmp_path: Path) -> None:
    ended(ledger, "night", tmp_path / "dataset")
    assert site.get("/runs/night/report")[0] == 401
    request = urllib.request.Request(site.url + "/runs/night/report")
    code, body = site.send(request, pair=site.pair)
    assert code == 200
    assert "<h1" in body
    with urllib.request.urlopen(request, timeout=20) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert site.get("/runs/night@v1/report", pair=site.pair)[0] == 200
    assert site.get("/runs/night@v9/report", pair=site.pair)[0] == 404


def test_the_dataset_card_is_text(site: Site, ledger: Ledger, tmp_path: Path) -> None:
    ended(ledger, "night", tmp_path / "dataset")
    (tmp_path / "dataset" / "README.md").write_text(f"# Card {ODD}")
    ledger.files.put("night", "dataset", tmp_path / "dataset")
    code, body = site.get("/runs/night/card", pair=site.pair)
    assert code == 200
    assert ODD not in body
    assert "# Card &lt;img" in body
    created(ledger, "empty", 1)
    assert site.get("/runs/empty/card", pair=site.pair)[0] == 404


@pytest.mark.parametrize(
    "page_", ["/runs/none", "/runs/none/cancel", "/runs/none/resubmit?kind=timeout", "/runs/none/report"]
)
def test_an_unknown_run_is_not_found(site: Site, ledger: Ledger, page_: str) -> None:
    assert site.get(page_, pair=site.pair)[0] == 404


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        ("/runs/night/control", {"do": "pause"}),
        ("/runs/night/control", {"do": "cancel"}),
        ("/runs/night/resubmitted", {"kind": "timeout"}),
    ],
)
def test_a_post_without_the_token_changes_nothing(
    site: Site, ledger: Ledger, address: str, fields: dict[str, str]
) -> None:
    finish_jobs(ledger, "night", created(ledger, "night", 10)[:9])
    request = urllib.request.Request(site.url + address, urllib.parse.urlencode(fields).encode(), method="POST")
    assert site.send(request, pair=site.pair)[0] == 403
    assert ledger.run("night").control is RunControl.GO
    assert ledger.jobs.counts("night")[JobState.FAILED] == 1


def test_a_refused_action_is_shown_and_changes_nothing(page: Page, ledger: Ledger) -> None:
    finish_jobs(ledger, "night", created(ledger, "night", 20))
    page.goto("/runs/night")
    page.locator("#again-timeout").click()
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("Resubmit 2 jobs?")
    ledger.jobs.resubmit("night", ledger.jobs.ids("night", JobState.FAILED), train=False, evaluate=False)
    page.get_by_role("dialog").get_by_role("button", name="Resubmit").click()
    expect(page.get_by_role("alert")).to_contain_text("no job of run 'night' has this cause any more")
    assert ledger.run("night").version == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_scrolls_sideways_or_shifts(
    browser: Browser, site: Site, ledger: Ledger, tmp_path: Path, scheme: str
) -> None:
    ended(ledger, "a-run-whose-name-is-as-long-as-people-like-it", tmp_path / "dataset")
    heartbeats(ledger)
    for width in WIDTHS:
        with logged_in(browser, site, viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
            page = context.new_page()
            page.add_init_script(
                "window.shift = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) "
                "window.shift += one.value; }).observe({ type: 'layout-shift', buffered: true });"
            )
            for address in ("/runs", "/runs/a-run-whose-name-is-as-long-as-people-like-it"):
                page.goto(address)
                expect(page.locator("#live-status")).to_have_text("live")
                page.wait_for_timeout(300)  # the first message of the stream
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
                assert page.evaluate("window.shift") < 0.05, (address, width)


def test_a_resubmitted_cause_finishes_before_the_readers_eyes(
    page: Page, ledger: Ledger, redis_url: SecretStr, tmp_path: Path, start_worker: StartWorker
) -> None:
    spec = Spec(run_id="night", teacher="scripted", dataset_format="seed-text", train=False)
    asked = [Prompt(prompt=f"What is {n} times 7?", category="arithmetic", requires_tools=False) for n in range(3, 8)]
    enqueue.submit(ledger, Settings(redis_url=redis_url, dir=tmp_path), spec, asked)
    job = ledger.jobs.ids("night")[0]
    ledger.jobs.begin("night", job, worker="lost@mac", lease_seconds=60, delivery_limit=4)
    failure = Failure(kind=FailureKind.TIMEOUT, message="too slow")
    told = Trajectory(run_id="night", job_id=job, prompt="q", outcome="failed", failure=failure)
    ledger.jobs.finish(told, worker="lost@mac")
    page.goto("/runs/night")
    expect(page.locator(".aj-head")).to_contain_text("No worker takes generate work, so 4 jobs wait.")
    start_worker("generate,curate", "studio@desk")
    expect(page.locator(".aj-head")).to_contain_text("4 of 5 jobs kept, 1 failed.", timeout=60_000)
    page.locator("#again-timeout").click()
    page.get_by_role("dialog").get_by_role("button", name="Resubmit").click()
    expect(page.locator(".aj-head")).to_contain_text("5 of 5 jobs kept.", timeout=60_000)
    expect(page.locator("#run-stages")).to_contain_text("1 job resubmitted")
    expect(page.locator("#run-workers")).to_contain_text("studio@desk")
    expect(page.locator("#failures-title")).to_have_count(0)
