"""Messages and ledger values that cannot be read end no worker and run nothing. They are counted; other runs end."""

import json
import random
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.dead_letters import MOST
from config.ledger.store import ledger_client
from config.records import JobState, Spec
from config.topology import ACTIVE, CURATE, GENERATE, PAUSED, QUEUE_CURATE, QUEUE_GENERATE, run_key
from tests.integration.conftest import StartWorker
from tests.support.broken_messages import WRONG, message, random_bytes
from tests.support.broken_values import broken_runs
from tests.support.fleet import QUICK, RUN, all_terminal, answering, jobs_requests, prompts, submit, until
from tests.support.scripted_endpoint import ScriptedEndpoint
from worker.fleet.broker_channel import UnreadableMessageError, parse
from worker.fleet.reconciler import Reconciler

MESSAGES = 300
BROKEN_RUNS = 100  # of 312 ways to break one; benchmarks/dead_letters.py has them all
QUEUES_OF_THE_WORKER = (QUEUE_GENERATE, QUEUE_CURATE)


@pytest.mark.parametrize("raw", WRONG, ids=range(len(WRONG)))
def test_a_message_of_another_kind_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableMessageError):
        parse(raw, QUEUE_GENERATE)


def test_messages_of_all_tasks_are_readable() -> None:
    assert parse(json.dumps(message()).encode(), QUEUE_GENERATE)["headers"]["task"] == GENERATE
    assert parse(json.dumps(message(CURATE, [["r"], {}, {"chain": []}])).encode(), QUEUE_CURATE)


@pytest.mark.timeout(180)
def test_unreadable_messages_end_no_worker_and_a_run_beside_them_ends(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without broker_channel.use in worker/app.py: the first message that is not JSON ends the worker."""
    rng, client = random.Random(7), ledger_client(redis_url.get_secret_value())
    planted = [*WRONG, *(random_bytes(rng) for _ in range(MESSAGES))]
    with ScriptedEndpoint(answering()) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        worker = start_worker(",".join(QUEUES_OF_THE_WORKER), "w1", env=env, wait=False)
        until(ledger.fleet.workers, "the worker")
        for raw in planted:
            client.lpush(rng.choice(QUEUES_OF_THE_WORKER), raw)
        client.hset("unacked", "tag-9", b"not json")
        client.zadd("unacked_index", {"tag-9": 1})
        client.hset("unacked", "tag-10", b'[{"headers": 5}, "x"]')
        client.zadd("unacked_index", {"tag-10": 1})
        job_ids = submit(ledger, redis_url, prompts(10))
        counts = all_terminal(ledger)
        until(lambda: client.llen(QUEUE_GENERATE) + client.llen(QUEUE_CURATE) == 0, "empty queues")
        assert worker.child.exit_code is None, worker.child.log_tail(20)
        assert counts[JobState.GENERATED] == len(job_ids)
        # a changed byte may leave a message readable: then it names no run and is dropped
        assert len(WRONG) + MESSAGES * 0.7 <= ledger.dead_letters.count() <= len(planted) + 2
        assert sorted(set(jobs_requests(endpoint))) == sorted(f"question {number}" for number in range(1, 11))
    reasons = {letter.reason.split(":")[0] for letter in ledger.dead_letters.newest()}
    assert {"not JSON", "unknown task 'os.system'"} <= reasons


def test_a_run_that_cannot_be_read_does_not_stop_the_others(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without Reconciler._of_each: the broken run's error ends every pass before the healthy run's turn."""
    client = ledger_client(redis_url.get_secret_value())
    ledger.create(Spec(run_id="broken"), prompts(2))
    client.hset(run_key("broken", "stage:curate"), "state", "neither")
    client.hset(run_key("broken", "run"), "spec", "{")
    with ScriptedEndpoint(answering()) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        start_worker(QUEUE_GENERATE, "w1", env=env, wait=False)
        submit(ledger, redis_url, prompts(4))
        client.delete(QUEUE_GENERATE)  # only the reconciler sends these jobs now
        assert all_terminal(ledger)[JobState.GENERATED] == 4
    assert [letter.place for letter in ledger.dead_letters.newest()] == ["run broken"]


@pytest.mark.timeout(180)
def test_runs_with_broken_values_stop_no_other_run(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without decode_name in Fleet.active_runs: one id that is not UTF-8 ends every pass of the reconciler.

    Without JobRunner._claim and StageRunner._claim a message that names a broken run raises in its task. Without the
    errors that NewerRuns.look passes over, a key of the wrong type ends every heartbeat.
    """
    client = ledger_client(redis_url.get_secret_value())
    client.sadd(ACTIVE, b"\xff\xfe")
    client.sadd(PAUSED, b"\xff\xfe")
    for run_id, job_id, _ in broken_runs(ledger, client, count=BROKEN_RUNS, seed=3):
        client.lpush(QUEUE_GENERATE, json.dumps(message(body=[[run_id, job_id], {}, {}])))
        client.lpush(QUEUE_CURATE, json.dumps(message(CURATE, body=[[run_id], {}, {}])))
    with ScriptedEndpoint(answering()) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url, "APPLEJACK_LOG_FORMAT": "json"}
        worker = start_worker(",".join(QUEUES_OF_THE_WORKER), "w1", env=env, wait=False)
        until(lambda: client.llen(QUEUE_GENERATE) + client.llen(QUEUE_CURATE) == 0, "empty queues")
        submit(ledger, redis_url, prompts(4))
        client.delete(QUEUE_GENERATE)  # only the reconciler sends these jobs now
        assert all_terminal(ledger)[JobState.GENERATED] == 4
        assert sorted(jobs_requests(endpoint)) == [f"question {number}" for number in range(1, 5)]
    assert worker.child.exit_code is None
    log = worker.child.log.read_text()
    assert "raised unexpected" not in log
    assert "reconciler.failed" not in log
    assert "heartbeat.missed" not in log


def test_runs_that_cannot_be_read_do_not_slow_the_next_pass(ledger: Ledger, redis_url: SecretStr) -> None:
    """Fails without REREAD_SECONDS: each pass reads them all again."""
    client = ledger_client(redis_url.get_secret_value())
    for number in range(50):
        ledger.create(Spec(run_id=f"broken-{number}"), prompts(2))
        client.set(run_key(f"broken-{number}", JobState.QUEUED.value), "not a set")
    reconciler = Reconciler(ledger, client, lambda _: None)

    def commands(of: Callable[[], object]) -> int:
        before = int(client.info("stats")["total_commands_processed"])
        of()
        return int(client.info("stats")["total_commands_processed"]) - before

    first = commands(reconciler.resend)
    assert commands(reconciler.resend) < first / 5
    assert ledger.dead_letters.count() == 50


def test_jobs_with_unreadable_prompts_or_trajectories_fail_and_none_is_missing(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    client = ledger_client(redis_url.get_secret_value())
    with ScriptedEndpoint(answering()) as endpoint:
        job_ids = submit(ledger, redis_url, prompts(4))
        client.hset(run_key(RUN, "prompts"), job_ids[0], "{")
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        start_worker(QUEUE_GENERATE, "w1", env=env, wait=False)
        counts = all_terminal(ledger)
    assert (counts[JobState.GENERATED], counts[JobState.FAILED]) == (3, 1)
    client.set(run_key(RUN, f"trajectory:{job_ids[1]}:1"), b"noise")
    read = list(ledger.jobs.trajectories(RUN))
    assert [made.job_id for made in read] == list(job_ids)
    assert [made.outcome for made in read] == ["failed", "failed", "completed", "completed"]
    assert [made.failure.message.split(":")[0] for made in read if made.failure] == [
        "its prompt in the ledger cannot be read",
        "its trajectory in the ledger cannot be read",
    ]


def test_dead_letters_are_bounded(ledger: Ledger) -> None:
    for number in range(MOST + 5):
        ledger.dead_letters.add("generate", b"x" * 10_000, f"reason {number}")
    newest = ledger.dead_letters.newest()
    assert (ledger.dead_letters.count(), len(newest)) == (MOST + 5, MOST)
    assert (newest[0].reason, len(newest[0].start)) == (f"reason {MOST + 4}", 300)
    ledger.dead_letters.clear()
    assert (ledger.dead_letters.count(), ledger.dead_letters.newest()) == (0, [])
