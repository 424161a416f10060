"""Messages and ledger values that cannot be read end no worker and run nothing. They are counted; other runs end."""

import base64
import json
import random

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.dead_letters import MOST
from config.ledger.store import ledger_client
from config.records import JobState, Spec
from config.topology import CURATE, GENERATE, QUEUE_CURATE, QUEUE_GENERATE, TRAIN, run_key
from tests.integration.conftest import StartWorker
from tests.support.fleet import QUICK, RUN, all_terminal, answering, jobs_requests, prompts, submit, until
from tests.support.scripted_endpoint import ScriptedEndpoint
from worker.fleet.broker_channel import UnreadableMessageError, parse

MESSAGES = 300
QUEUES_OF_THE_WORKER = (QUEUE_GENERATE, QUEUE_CURATE)


def message(task: object = GENERATE, body: object = None, **changes: object) -> dict[str, object]:
    """A message as Celery sends it, with changes at its top level."""
    encoded = base64.b64encode(json.dumps([["r", "j"], {}, {}] if body is None else body).encode()).decode()
    return {
        "body": encoded,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": task, "id": "1", "lang": "py", "retries": 0, "eta": None, "root_id": "1"},
        "properties": {
            "correlation_id": "1",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "generate", "routing_key": "generate"},
            "body_encoding": "base64",
            "delivery_tag": "tag-1",
        },
        **changes,
    }


WRONG = [
    b"not json",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b"null",
    b"[]",
    b"{}",
    json.dumps(message(body="text")).encode(),
    json.dumps(message(body=[["r"], {}, {}])).encode(),
    json.dumps(message(body=[["r", {"deep": 1}], {}, {}])).encode(),
    json.dumps(message(body=[["r", "j" * 10_000], {}, {}])).encode(),
    json.dumps(message(body=[["r", "j"], {"extra": 1}, {}])).encode(),
    json.dumps(message(task="os.system")).encode(),
    json.dumps(message(task=7)).encode(),
    json.dumps(message(task=TRAIN, body=[["r"], {}, {}])).encode(),
    json.dumps(message(headers=None)).encode(),
    json.dumps(message(properties={})).encode(),
    json.dumps(message(**{"content-type": "application/x-python-serialize"})).encode(),
    json.dumps(message(**{"content-encoding": "zip"})).encode(),
    json.dumps(message(headers={"task": GENERATE, "id": "1", "eta": 5})).encode(),
]
ODD = [  # well-formed for us; what Celery itself does not expect in it
    json.dumps(message(headers={"task": GENERATE, "id": "1", "eta": "never"})).encode(),
    json.dumps(message(headers={"task": GENERATE, "id": "1", "retries": "many", "timelimit": "x"})).encode(),
    json.dumps(message(headers={"task": GENERATE, "id": "1", "expires": "soon", "group_index": {}})).encode(),
]


@pytest.mark.parametrize("raw", WRONG, ids=range(len(WRONG)))
def test_a_message_of_another_kind_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableMessageError):
        parse(raw, QUEUE_GENERATE)


def test_messages_of_all_tasks_are_readable() -> None:
    assert parse(json.dumps(message()).encode(), QUEUE_GENERATE)["headers"]["task"] == GENERATE
    assert parse(json.dumps(message(CURATE, [["r"], {}, {"chain": []}])).encode(), QUEUE_CURATE)


def random_bytes(rng: random.Random) -> bytes:
    """A message that is cut, changed in one byte, or only noise."""
    whole = bytearray(json.dumps(message()).encode())
    match rng.randrange(3):
        case 0:
            return bytes(whole[: rng.randrange(len(whole))])
        case 1:
            whole[rng.randrange(len(whole))] = rng.randrange(256)
            return bytes(whole)
    return rng.randbytes(rng.randrange(1, 200))


@pytest.mark.timeout(180)
def test_unreadable_messages_end_no_worker_and_a_run_beside_them_ends(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without broker_channel.use in worker/app.py: the first message that is not JSON ends the worker."""
    rng, client = random.Random(7), ledger_client(redis_url.get_secret_value())
    planted = [*WRONG, *ODD, *(random_bytes(rng) for _ in range(MESSAGES))]
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
