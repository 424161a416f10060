"""Flower's /metrics with the ledger's metrics, read as Prometheus reads them."""

import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from config.errors import FailureKind
from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.ledger.store import ledger_client
from config.records import Failure, Prompt, Spec, TrainProgress, Trajectory, WorkerControl
from config.topology import QUEUE_TRAIN, Stage
from config.troubleshooting import PAUSED
from producer.flower.prometheus.catalogue import METRICS
from producer.flower.prometheus.collector import exposition
from producer.flower.prometheus.samples import ENDED_RUNS, MOST_RUNS, MOST_WORKERS, shown_runs
from producer.stack.redis_server import Server
from tests.support.flower_site import Site, flower_site

TOKEN = "t0ken-of-prometheus"
Values = dict[tuple[str, ...], float]
HEARTBEAT = {
    "queues": ["generate"], "endpoint": "http://h/v1", "paused": "'http://h/v1' cannot be reached: refused",
    "limit": 4, "limit_reason": "fixed", "first_token_seconds": 0.4, "tokens_per_second": 88.5, "holds": 3,
    "clock": 0.0, "disk": {"free": 5, "total": 9}, "memory": {"available": 6, "total": 9},
}  # fmt: skip


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Server]:
    with Server.start(tmp_path / "server") as server:
        yield server


def bearer(site: Site, token: str) -> tuple[int, str]:
    return site.send(urllib.request.Request(f"{site.url}/metrics", headers={"Authorization": f"Bearer {token}"}))


def parsed(text: str) -> dict[str, Values]:
    """{sample name: {label values in the catalogue's order: value}} of applejack's metrics."""
    found: dict[str, Values] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if metric := METRICS.get(sample.name):
                assert sample.labels.keys() == set(metric.labels)
                found.setdefault(sample.name, {})[tuple(sample.labels[name] for name in metric.labels)] = sample.value
    return found


def rich(ledger: Ledger) -> None:
    """A ledger in which every metric has a value."""
    training(ledger, "trains", diverges=False)
    training(ledger, "diverged", diverges=True)
    created = ledger.create(Spec(run_id="night"), [Prompt(prompt=f"q{number}") for number in range(4)])
    for number, job_id in enumerate(created.job_ids[:3]):
        ledger.jobs.begin("night", job_id, worker="mac@one", lease_seconds=60, delivery_limit=4)
        failure = Failure(kind=FailureKind.TIMEOUT, message="slow") if number else None
        outcome = "failed" if failure else "completed"
        done = Trajectory(run_id="night", job_id=job_id, prompt="q", outcome=outcome, failure=failure)
        ledger.jobs.finish(done, worker="mac@one")
    ledger.fleet.heartbeat("mac@one", HEARTBEAT)
    ledger.fleet.set_control("mac@one", WorkerControl.DRAINING)
    ledger.fleet.heartbeat("idle@two", {"queues": ["generate", "curate"], "endpoint": "http://h/v1", "clock": 0.0})
    ledger.fleet.try_become_leader("mac@one", seconds=60)


def training(ledger: Ledger, run_id: str, *, diverges: bool) -> None:
    (job_id,) = ledger.create(Spec(run_id=run_id, student="tiny"), [Prompt(prompt="q")]).job_ids
    ledger.jobs.begin(run_id, job_id, worker="w", lease_seconds=60, delivery_limit=4)
    ledger.jobs.finish(Trajectory(run_id=run_id, job_id=job_id, prompt="q", outcome="completed"), worker="w")
    curate = ledger.stages.begin(run_id, Stage.CURATE, worker="w", lease_seconds=60)
    result = {"kept": 3, "rejected": 2, "reasons": {"null_result": 2, "duplicate": 1, "invented": 7}}
    ledger.stages.finish(cast(StageClaim, curate), result=result)
    train = ledger.stages.begin(run_id, Stage.TRAIN, worker="w", lease_seconds=60)
    for iteration, loss in ((0, 2.5), (10, 1.25)):
        progress = TrainProgress(
            iteration=iteration, iterations=40, train_loss=loss, valid_loss=3.0, tokens_per_second=99.0,
            peak_memory_gb=2.0, seconds=float(iteration),
        )  # fmt: skip
        ledger.stages.report(run_id, Stage.TRAIN, progress)
    if diverges:
        ledger.stages.finish(cast(StageClaim, train), error="the train loss is nan: the training has diverged")


@pytest.mark.timeout(180)
def test_prometheus_reads_every_metric_with_its_token(watched: Server, tmp_path: Path) -> None:
    ledger = Ledger.connect(watched.url.get_secret_value())
    client = ledger_client(watched.url.get_secret_value())
    client.config_set("maxmemory", "500mb")
    rich(ledger)
    client.rpush(QUEUE_TRAIN, "{}", "{}")
    client.hset("unacked", mapping={"tag": '[{"body": "", "headers": {}}, "", "train"]'})
    with flower_site(tmp_path, watched.url, APPLEJACK_METRICS_TOKEN=TOKEN) as site:
        code, text = bearer(site, TOKEN)
        refused = [bearer(site, wrong)[0] for wrong in ("", "wrong", TOKEN + "x", TOKEN[:-1])]
        refused.append(site.get("/metrics")[0])
        refused.append(site.get("/metrics", pair=f"applejack:{TOKEN}")[0])
        others = [site.send(urllib.request.Request(site.url + page, headers={"Authorization": f"Bearer {TOKEN}"}))[0]
                  for page in ("/runs", "/api/tasks", "/broker")]  # fmt: skip
        by_login = site.get("/metrics", pair=site.pair)
        log = site.child.log_tail(1000)
    assert (code, by_login[0]) == (200, 200)
    assert refused == [401] * 6
    assert others == [401] * 3  # the token opens nothing else
    assert TOKEN not in text + log + by_login[1]
    assert "flower_events_total" in text
    found = parsed(text)
    assert found.keys() == METRICS.keys()
    assert {name: found[name] for name in EXPECTED} == EXPECTED
    assert found["applejack_run_jobs"][("night", "failed")] == 2
    assert found["applejack_training_loss"] == {("trains", "train"): 1.25, ("trains", "valid"): 3.0}
    assert found["applejack_training_diverged"] == {("trains",): 0, ("diverged",): 1, ("night",): 0}
    assert 0 <= found["applejack_worker_silent_seconds"]["mac@one",] < 60


EXPECTED: dict[str, Values] = {
    "applejack_ledger_up": {(): 1},
    "applejack_reconciler_elected": {(): 1},
    "applejack_queue_consumers": {("generate",): 1, ("curate",): 1, ("train",): 0},
    "applejack_run_missing_worker": {("trains", "train"): 1},
    "applejack_worker_paused": {("mac@one", "endpoint-unreachable"): 1},
    "applejack_worker_endpoint_up": {("mac@one",): 0, ("idle@two",): 1},
    "applejack_worker_control": {("mac@one", "draining"): 1, ("idle@two", "go"): 1},
    "applejack_worker_tokens_per_second": {("mac@one",): 88.5},
    "applejack_worker_holds": {("mac@one",): 3},
    "applejack_run_jobs_finished_total": {("trains",): 1, ("diverged",): 1, ("night",): 3},
    "applejack_run_failed_jobs": {("night", "timeout"): 2},
    "applejack_run_rejections": {  # a reason that this version does not know makes no series
        (run, reason): count
        for run in ("trains", "diverged")
        for reason, count in (("null_result", 2), ("duplicate", 1))
    },
    "applejack_redis_memory_limit_bytes": {(): 500 * 2**20},
}


def test_an_empty_token_is_no_token(redis_url: SecretStr, tmp_path: Path) -> None:
    """As docker-compose.yml sets it where METRICS_TOKEN is not set."""
    with flower_site(tmp_path, redis_url, APPLEJACK_METRICS_TOKEN="") as site:
        assert bearer(site, "")[0] == bearer(site, "x")[0] == 401


def test_a_ledger_that_is_away_is_one_metric(tmp_path: Path) -> None:
    with Server.start(tmp_path / "server") as server:
        client = ledger_client(server.url.get_secret_value())
        client.ping()
    client.set_retry(type(client.get_retry())(client.get_retry()._backoff, 0))  # does not wait for it
    text = exposition(Ledger(client)).decode()
    assert re.findall(r"^\w.*$", text, re.MULTILINE) == ["applejack_ledger_up 0.0"]


@pytest.mark.timeout(180)
def test_a_ledger_that_hangs_does_not_keep_prometheus_waiting(watched: Server, tmp_path: Path) -> None:
    with flower_site(tmp_path, watched.url, APPLEJACK_METRICS_TOKEN=TOKEN) as site:
        assert parsed(bearer(site, TOKEN)[1])["applejack_ledger_up"] == {(): 1}
        watched.child.send(signal.SIGSTOP)
        try:
            began = time.monotonic()
            code, text = bearer(site, TOKEN)
        finally:
            watched.child.send(signal.SIGCONT)
    assert (code, parsed(text)["applejack_ledger_up"]) == (200, {(): 0})
    assert time.monotonic() - began < 15


def test_a_scrape_reads_no_more_of_a_bigger_run_and_few_of_many_runs(redis_url: SecretStr, ledger: Ledger) -> None:
    client = ledger_client(redis_url.get_secret_value())

    def commands() -> int:
        client.config_resetstat()
        exposition(ledger)
        return sum(int(stat["calls"]) for stat in client.info("commandstats").values())

    ledger.create(Spec(run_id="r"), [Prompt(prompt="q")])
    one = commands()
    ledger.remove("r")
    ledger.create(Spec(run_id="r"), [Prompt(prompt=f"q{number}") for number in range(3000)])
    assert commands() == one < 80


def test_the_number_of_series_is_bounded(redis_url: SecretStr, ledger: Ledger) -> None:
    for number in range(MOST_WORKERS + 5):
        ledger.fleet.heartbeat(f"w{number}", {"queues": ["generate"], "paused": f"reason {number}", "clock": 0.0})
    found = parsed(exposition(ledger).decode())
    assert len(found["applejack_worker_silent_seconds"]) == MOST_WORKERS
    assert {cause for _, cause in found["applejack_worker_paused"]} == {PAUSED}
    newest = [f"r{number}" for number in range(100)]
    assert shown_runs(newest, set()) == newest[:ENDED_RUNS]
    assert shown_runs(newest, {"r50", "r99"}) == [*newest[:ENDED_RUNS], "r50", "r99"]
    assert len(shown_runs(newest, set(newest))) == MOST_RUNS
