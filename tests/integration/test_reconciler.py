"""Owed work is queued again: a flushed broker, a lost message, a chord that lost count, a silent worker."""

import time
from collections.abc import Iterator

import pytest
import redis
from pydantic import SecretStr

from config.broker import make_app
from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.records import Prompt, Spec, Trajectory
from config.settings import Settings
from config.topology import GENERATE, ROUTES, Stage
from producer import enqueue
from worker.fleet import broker_messages
from worker.fleet.broker_messages import Message
from worker.fleet.reconciler import Reconciler

PROMPTS = [Prompt(prompt=f"question {number}") for number in range(5)]
SPEC = Spec(run_id="r", workspace="/code", train=False)


@pytest.fixture
def client(redis_url: SecretStr) -> Iterator[redis.Redis]:
    with ledger_client(redis_url.get_secret_value()) as opened:
        yield opened


@pytest.fixture
def ledger(client: redis.Redis) -> Ledger:
    return Ledger(client)


class Sent(list[Message]):
    """What a reconciler sends, put into the broker like a worker's."""

    def __init__(self, url: SecretStr) -> None:
        self._app = make_app(Settings(redis_url=url))

    def __call__(self, message: Message) -> None:
        self.append(message)
        task, *args = message
        self._app.send_task(task, args=args, queue=ROUTES[task]["queue"], ignore_result=True)


@pytest.fixture
def sent(redis_url: SecretStr) -> Sent:
    return Sent(redis_url)


def test_messages_names_what_lies_in_the_broker(ledger: Ledger, client: redis.Redis, redis_url: SecretStr) -> None:
    """Fails when kombu changes what it writes, on which the reconciler relies."""
    enqueue.submit(ledger, Settings(redis_url=redis_url), SPEC, PROMPTS)
    expected = {(GENERATE, "r", job_id) for job_id in ledger.jobs.ids("r")}
    assert broker_messages.present(client) == expected
    assert broker_messages.count(client) == 5
    app = make_app(Settings(redis_url=redis_url))
    with app.connection_for_read() as connection:  # in hand and not acknowledged
        consumer = connection.SimpleQueue("generate")
        consumer.get(timeout=5)
        assert client.hlen(broker_messages.UNACKED) >= 1
        assert broker_messages.present(client) == expected
        connection.default_channel.qos._on_collect.cancel()  # what a killed consumer does not do either
    assert broker_messages.present(client) == expected


def test_nothing_is_sent_while_the_broker_holds_what_is_owed(ledger: Ledger, redis_url: SecretStr, sent: Sent) -> None:
    enqueue.submit(ledger, Settings(redis_url=redis_url), SPEC, PROMPTS)
    reconciler = Reconciler(ledger, ledger_client(redis_url.get_secret_value()), sent)
    assert [reconciler.resend() for _ in range(3)] == [0, 0, 0]
    assert sent == []


def test_a_flushed_queue_is_filled_again_once(
    ledger: Ledger, client: redis.Redis, redis_url: SecretStr, sent: Sent
) -> None:
    enqueue.submit(ledger, Settings(redis_url=redis_url), SPEC, PROMPTS)
    client.delete("generate")
    reconciler = Reconciler(ledger, client, sent)
    assert reconciler.resend() == 0  # one look is not enough: a message may be between two places
    assert reconciler.resend() == 5
    assert sorted(sent) == sorted((GENERATE, "r", job_id) for job_id in ledger.jobs.ids("r"))
    assert [reconciler.resend() for _ in range(3)] == [0, 0, 0]


def test_one_lost_message_of_many_is_found(
    ledger: Ledger, client: redis.Redis, redis_url: SecretStr, sent: Sent
) -> None:
    enqueue.submit(ledger, Settings(redis_url=redis_url), SPEC, PROMPTS)
    client.rpop("generate")
    reconciler = Reconciler(ledger, client, sent)
    assert [reconciler.resend() for _ in range(3)] == [0, 1, 0]


def test_a_stage_nobody_asked_for_is_sent(ledger: Ledger, client: redis.Redis, sent: Sent) -> None:
    """The chord has lost count: every job is finished and no message asks for curation."""
    finish_all(ledger)
    reconciler = Reconciler(ledger, client, sent)
    assert [reconciler.resend() for _ in range(3)] == [0, 1, 0]
    assert sent == [("curate", "r")]


def test_a_lapsed_lease_is_reaped_and_sent_at_once(ledger: Ledger, client: redis.Redis, sent: Sent) -> None:
    job_id = ledger.create(SPEC, PROMPTS).job_ids[0]
    ledger.jobs.begin("r", job_id, worker="w", lease_seconds=0.05, delivery_limit=4)
    time.sleep(0.1)
    assert Reconciler(ledger, client, sent).reap() == 1
    assert sent == [(GENERATE, "r", job_id)]


def test_a_run_that_is_over_owes_nothing(ledger: Ledger, client: redis.Redis, sent: Sent) -> None:
    finish_all(ledger)
    claim = ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=9)
    assert not isinstance(claim, str)
    ledger.stages.finish(claim, result={})
    reconciler = Reconciler(ledger, client, sent)
    assert [reconciler.resend() for _ in range(3)] == [0, 0, 0]


def finish_all(ledger: Ledger) -> None:
    for job_id in ledger.create(SPEC, PROMPTS).job_ids:
        ledger.jobs.begin("r", job_id, worker="w", lease_seconds=9, delivery_limit=4)
        ledger.jobs.finish(Trajectory(run_id="r", job_id=job_id, prompt="q", outcome="completed"), worker="w")
