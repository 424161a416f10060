"""Clocks that are minutes apart: nothing is late, early, silent or negative, and `doctor` names the machines."""

import os
import time
from itertools import pairwise

import pytest
from pydantic import SecretStr

from config.diagnostics import run_checks
from config.ledger import Ledger
from config.ledger.encoding import Event
from config.ledger.store import ledger_client
from config.process import start_child
from config.records import JobState, JsonObject
from config.version import version
from producer.doctor.agreement import Agreement
from producer.flower.fleet.worker_card import cards
from producer.run_status import SILENT_SECONDS, status
from tests.integration.conftest import StartWorker
from tests.support.fleet import LEASE, PROBE, QUICK, RUN, prompts, question, submit, told, until
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, fails
from tests.support.workers import ROOT
from worker.fleet import visibility_timeout

MINUTES = {"ahead": 600, "behind": -600}  # seconds of each worker's clock
JOBS = 8
PLANTED = os.pathsep.join((str(ROOT), str(ROOT / "tests/support/planted/skewed")))

pytestmark = pytest.mark.timeout(150)


def started_by(ledger: Ledger) -> set[str]:
    """The workers that have taken a job."""
    jobs = ledger.jobs.ids(RUN)
    return {event.worker for job in jobs for event in ledger.jobs.view(RUN, job).history if event.event == "started"}


def seconds_between(history: tuple[Event, ...], first: str, second: str) -> list[float]:
    """Of each such pair of events that follow each other."""
    return [
        later.at - earlier.at for earlier, later in pairwise(history) if (earlier.event, later.event) == (first, second)
    ]


def test_a_fleet_whose_clocks_are_minutes_apart_works_as_one_with_right_clocks(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without OutcomeRequest.eta and the countdown in Worker._requeue: retries are immediate or ten minutes late;
    and without the clock in broker_channel.use: a worker takes messages that others have just received.
    """
    monkeypatch.setattr("tests.support.workers.start_child", start_child)  # the planted clock comes before any library
    asked: list[str] = []
    workers = {f"{name}@test" for name in MINUTES}

    def reply(body: JsonObject) -> Reply:
        asked.append(question(body))
        if asked[-1] == PROBE:
            return Reply(text="hello")
        if asked.count(asked[-1]) == 1:
            until(lambda: started_by(ledger) == workers, "both took a job")
            return fails(500, "once")
        return Reply(text=f"answer to {asked[-1]}", stall=LEASE + 1)  # longer than a lease

    began = time.time()
    with ScriptedEndpoint(reply) as endpoint, ledger_client(redis_url.get_secret_value()) as client:
        for name, skew in MINUTES.items():
            env = {"APPLEJACK_ENDPOINT": endpoint.base_url, "TEST_CLOCK_SECONDS": str(skew), "PYTHONPATH": PLANTED}
            start_worker("generate", name, env={**QUICK, **env}, concurrency=2, wait=False)
        until(lambda: len(ledger.fleet.workers()) == len(MINUTES), "all workers")
        jobs = submit(ledger, redis_url, prompts(JOBS))
        deliveries: list[float] = []

        def all_ended() -> bool:
            deliveries.extend(
                at - time.time() for _, at in client.zrange(visibility_timeout.INDEX, 0, -1, withscores=True)
            )
            assert all(view.silent_seconds < 30 for view in ledger.fleet.workers())
            assert 0 <= status(ledger, RUN).rate < 60 * JOBS  # a minute
            return ledger.jobs.counts(RUN)[JobState.GENERATED] == JOBS

        until(all_ended, "every job generated")
        elapsed = time.time() - began
        report = run_checks(Agreement(ledger.fleet, version(), SILENT_SECONDS, wait=lambda _: None).checks())
        shown = cards(ledger.fleet.workers(), controls={}, now=ledger.fleet.now())
    assert [finding.message for finding in report.findings] == [
        f"the clock of {name!r} is 600 s {word} the Redis server's"
        for name, word in (("ahead@test", "ahead of"), ("behind@test", "behind"))
    ]
    assert max(map(abs, deliveries)) < LEASE + 2
    for job in jobs:
        assert told(ledger, job) == ["started", "handed_back", "started", "generated"]  # no lease expired, none twice
        history = ledger.jobs.view(RUN, job).history
        (waited,), worked = (
            seconds_between(history, "handed_back", "started"),
            seconds_between(history, "started", "generated"),
        )
        assert 0.8 < waited < 20
        trajectory = ledger.jobs.trajectory(RUN, job, 1)
        assert trajectory is not None
        assert LEASE < trajectory.seconds <= worked[0] + 0.1 < elapsed
    notes = {card.name: [note.text for note in card.notes] for card in shown}
    assert notes["ahead@test"] == ["its clock is 10 min ahead of the Redis server's"]
    assert notes["behind@test"] == ["its clock is 10 min behind the Redis server's"]
