"""What big runs do otherwise: plain messages in batches instead of a chord, and a reconciler that takes its time."""

import time

import pytest
import redis
from pydantic import SecretStr

from config.broker import make_app
from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.records import Prompt, Spec, StageState
from config.settings import Settings
from config.topology import GENERATE, QUEUE_GENERATE, Stage
from producer import enqueue
from tests.integration.conftest import StartWorker
from worker.fleet import broker_messages
from worker.fleet import reconciler as reconciler_module
from worker.fleet.broker_messages import Message
from worker.fleet.reconciler import Reconciler

SPEC = Spec(run_id="r", teacher="scripted", dataset_format="seed-text", train=False)
PROMPTS = [Prompt(prompt=f"What is {number}?", requires_tools=False) for number in range(12)]


@pytest.fixture
def client(redis_url: SecretStr) -> redis.Redis:
    return ledger_client(redis_url.get_secret_value())


@pytest.fixture
def big(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enqueue, "CHORD_LIMIT", 5)
    monkeypatch.setattr(enqueue, "BATCH", 5)


def submit(ledger: Ledger, url: SecretStr) -> set[Message]:
    enqueue.submit(ledger, Settings(redis_url=url), SPEC, PROMPTS)
    return {(GENERATE, "r", job_id) for job_id in ledger.jobs.ids("r")}


def test_plain_messages_are_read_by_the_reconciler_as_those_of_a_chord(
    big: None, ledger: Ledger, client: redis.Redis, redis_url: SecretStr
) -> None:
    expected = submit(ledger, redis_url)
    assert broker_messages.present(client) == expected
    assert client.llen(QUEUE_GENERATE) == len(PROMPTS)
    assert not ledger.being_sent("r")


def test_a_message_that_a_worker_took_and_lost_comes_back_to_its_queue(
    big: None, ledger: Ledger, client: redis.Redis, redis_url: SecretStr
) -> None:
    """kombu restores by what a message says of its exchange and routing key, which plain ones say otherwise."""
    expected = submit(ledger, redis_url)
    with make_app(Settings(redis_url=redis_url)).connection_for_read() as connection:
        message = connection.default_channel.basic_get(QUEUE_GENERATE)
        assert client.llen(QUEUE_GENERATE) == len(PROMPTS) - 1
        message.requeue()
    assert client.llen(QUEUE_GENERATE) == len(PROMPTS)
    assert broker_messages.present(client) == expected


def test_what_a_producer_is_still_sending_is_not_taken_for_lost(ledger: Ledger, client: redis.Redis) -> None:
    """Fails without being_sent in Reconciler._sent_runs."""
    ledger.create(SPEC, PROMPTS)
    sent: list[Message] = []
    reconciler = Reconciler(ledger, client, sent.append)
    with ledger.sending("r"):
        assert [reconciler.resend() for _ in range(3)] == [0, 0, 0]
    assert [reconciler.resend() for _ in range(2)] == [0, len(PROMPTS)]


def test_much_that_is_lost_is_sent_again_over_several_beats(
    ledger: Ledger, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without MAX_RESENT: the thread that sends renews the leases too."""
    monkeypatch.setattr(reconciler_module, "MAX_RESENT", 5)
    ledger.create(SPEC, PROMPTS)
    sent: list[Message] = []
    reconciler = Reconciler(ledger, client, sent.append)
    assert [reconciler.resend() for _ in range(4)] == [0, 5, 5, 5]  # nothing was queued, so it goes on
    assert sent[:12:5] == [(GENERATE, "r", job_id) for job_id in (ledger.jobs.ids("r")[0], ledger.jobs.ids("r")[5])] + [
        sent[10]
    ]


def test_a_debt_that_the_broker_holds_is_not_named(
    ledger: Ledger, client: redis.Redis, redis_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the count in Reconciler.resend: 100,000 ids would be read with every beat."""
    monkeypatch.setattr(reconciler_module, "FULL_SCAN_LIMIT", 5)
    submit(ledger, redis_url)
    sent: list[Message] = []
    reconciler = Reconciler(ledger, client, sent.append)
    monkeypatch.setattr(reconciler, "_pending", lambda: pytest.fail("named"))
    assert [reconciler.resend() for _ in range(3)] == [0, 0, 0]


# last: the server may give a message to the blocked read of a worker that was killed a moment ago
def test_plain_messages_are_run_and_the_ledger_alone_starts_curation(
    big: None, ledger: Ledger, client: redis.Redis, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    submit(ledger, redis_url)
    start_worker(f"{QUEUE_GENERATE},curate", "w", env={"APPLEJACK_LEASE_SECONDS": "2"}, wait=False)
    deadline = time.monotonic() + 60
    while (view := ledger.stages.view("r", Stage.CURATE)).state not in {StageState.DONE, StageState.FAILED}:
        assert time.monotonic() < deadline, ledger.jobs.counts("r")
        time.sleep(0.1)
    assert [event.event for event in view.history].count("started") == 1
    assert len(ledger.verdicts("r")) == len(PROMPTS)
