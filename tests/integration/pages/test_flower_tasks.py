"""Flower's own pages tell what became of jobs and stages: real workers, a teacher that fails, a real chord."""

import json
import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect
from pydantic import SecretStr

from config.broker import make_app
from config.ledger import Ledger
from config.records import JobState, JsonObject, Limits, Spec, StageState
from config.settings import Settings
from config.topology import GENERATE, QUEUE_GENERATE, Stage
from producer import enqueue
from tests.integration.conftest import StartWorker
from tests.support.fleet import PROBE, prompts, question, until
from tests.support.flower_site import Site, flower_site
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, says, stalls
from tests.support.workers import WorkerProcess

Tasks = dict[str, list[JsonObject]]


@pytest.fixture
def site(redis_url: SecretStr, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Flower for each test: it remembers the tasks and workers that it has seen, and an emptied server sends none."""
    with flower_site(tmp_path_factory.mktemp("flower"), redis_url) as started:
        yield started


def flower_tasks(site: Site) -> Tasks:
    """Flower's tasks by state."""
    tasks: Tasks = {}
    for task in json.loads(site.get("/api/tasks", pair=site.pair)[1]).values():
        tasks.setdefault(task["state"], []).append(task)
    return tasks


def results(tasks: Tasks, state: str, name: str = GENERATE) -> list[str]:
    return sorted(str(task["result"]) for task in tasks.get(state, []) if task["name"] == name)


def counters(site: Site) -> JsonObject:
    """The columns of Flower's list of workers, of the only one."""
    [row] = json.loads(site.get("/workers?json=1", pair=site.pair)[1])["data"]
    return row


def seen_by(site: Site, worker: WorkerProcess) -> None:
    until(lambda: worker.name in site.get("/workers?json=1", pair=site.pair)[1], "Flower has the worker's heartbeat")


def submit(ledger: Ledger, url: SecretStr, run_id: str, count: int, seconds: float = 60) -> tuple[str, ...]:
    limits = Limits(seconds=seconds, request_seconds=30)
    spec = Spec(run_id=run_id, dataset_format="seed-text", train=False, limits=limits)
    enqueue.submit(ledger, Settings(redis_url=url), spec, prompts(count))
    return tuple(ledger.jobs.ids(run_id))


def failing() -> Callable[[JsonObject], Reply]:
    """Answers question 1; question 2 takes too long; question 3 meets one error, then an answer."""
    errors = [Reply(status=500, body='{"error": "out of luck"}')]

    def reply(body: JsonObject) -> Reply:
        asked = question(body)
        if asked == "question 2":
            return stalls(60)
        if asked == "question 3" and errors:
            return errors.pop()
        return says("ok" if asked == PROBE else f"answer to {asked}")

    return reply


def test_failures_retries_and_dropped_messages_are_shown_as_what_they_are(
    site: Site, page: Page, ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    with ScriptedEndpoint(failing()) as endpoint:
        # a fixed concurrency: a timeout is final unless the controller has just found the server degraded
        env = {"APPLEJACK_ENDPOINT": endpoint.base_url, "APPLEJACK_CONCURRENCY": "2"}
        worker = start_worker("generate,curate", "mac", env=env)
        seen_by(site, worker)
        first, *_ = submit(ledger, redis_url, "night", 3, seconds=8)
        until(lambda: ledger.stages.view("night", Stage.CURATE).state is StageState.DONE, "the chord's body has run")
        app = make_app(Settings(redis_url=redis_url))
        app.send_task(GENERATE, args=("night", first), queue=QUEUE_GENERATE, ignore_result=True)  # a duplicate
        until(lambda: results(flower_tasks(site), "REVOKED"), "Flower has the duplicate's event")
    tasks = flower_tasks(site)
    assert ledger.jobs.counts("night")[JobState.FAILED] == 1
    assert results(tasks, "FAILURE") == ["failed: timeout"]
    assert results(tasks, "SUCCESS") == ["done", "done"]
    [retry] = results(tasks, "RETRY")
    assert retry.startswith("retry: endpoint_error: ")
    assert results(tasks, "REVOKED") == ["dropped: already finished"]
    again = [task for task in tasks["SUCCESS"] if task["retries"] == 1]
    assert ["question 3" in str(task["args"]) for task in again] == [True]  # its retry has the description, too
    counted = counters(site)
    assert {name: counted[f"task-{name}"] for name in ("failed", "retried", "revoked")} == {
        "failed": 1, "retried": 1, "revoked": 1,
    }  # fmt: skip
    assert counted["task-succeeded"] == 3  # two jobs and curate

    assert "succeeded" not in worker.child.log_tail(1000)
    assert "ended in" in worker.child.log_tail(1000)

    page.goto("/tasks")
    page.get_by_role("button", name="Failed").click()
    expect(page.locator("#tasks-table tbody tr")).to_have_count(1)
    expect(page.locator("#tasks-table tbody")).to_contain_text("failed: timeout")
    expect(page.locator("#tasks-table tbody")).to_contain_text("question 2")
    page.get_by_role("button", name="Retried").click()
    expect(page.locator("#tasks-table tbody")).to_contain_text("endpoint_error")
    page.goto(f"/task/{tasks['FAILURE'][0]['uuid']}")
    expect(page.locator("#task-page")).to_contain_text(re.compile(r"Exception\s*failed: timeout"))


def test_a_chord_of_failures_still_starts_curate_which_fails_with_its_reason(
    site: Site, ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails where failed jobs raise: the chord's body would not run."""
    with ScriptedEndpoint(lambda body: says("ok") if question(body) == PROBE else says("")) as endpoint:
        worker = start_worker("generate,curate", "mac", env={"APPLEJACK_ENDPOINT": endpoint.base_url})
        seen_by(site, worker)
        began = time.monotonic()
        submit(ledger, redis_url, "bad", 2)
        until(lambda: ledger.stages.view("bad", Stage.CURATE).state is StageState.FAILED, "curate has failed")
    assert time.monotonic() - began < 30
    shown = until(lambda: results(flower_tasks(site), "FAILURE", "curate"), "Flower has curate's event")
    assert shown[0].startswith("failed: none of 2 trajectories was kept")


@pytest.mark.parametrize(("waiting", "held"), [(5, 1)])
def test_the_broker_page_shows_how_many_jobs_wait_and_how_many_are_held(
    site: Site, ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker, waiting: int, held: int
) -> None:
    def row() -> list[str]:
        body = site.get("/broker", pair=site.pair)[1]
        cells = body[body.index(f'<tr id="{QUEUE_GENERATE}">') :].partition("</tr>")[0]
        return [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", cells, re.DOTALL)]

    submit(ledger, redis_url, "queue", waiting + held)
    assert row()[1:4] == [str(waiting + held), "0", str(waiting + held)]
    with ScriptedEndpoint(lambda body: says("ok") if question(body) == PROBE else stalls(60)) as endpoint:
        env = {"APPLEJACK_ENDPOINT": endpoint.base_url, "APPLEJACK_CONCURRENCY": "1"}
        start_worker("generate", "mac", env=env, concurrency=1)
        until(lambda: ledger.jobs.counts("queue")[JobState.RUNNING] == held, "a job is held")
        assert row()[1:4] == [str(waiting + held), str(held), str(waiting)]
