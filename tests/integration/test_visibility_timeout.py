"""A job longer than kombu's visibility timeout is delivered once while its worker lives."""

import pytest
from celery import Celery
from kombu.transport import redis as kombu_redis
from pydantic import SecretStr

from config.broker import make_app
from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.records import JobState
from config.settings import Settings
from config.topology import GENERATE, QUEUE_GENERATE, QUEUE_TRAIN, QUEUES
from tests.integration.conftest import StartWorker
from tests.support.fleet import QUICK, all_terminal, answering, jobs_requests, prompts, submit, told, until
from tests.support.scripted_endpoint import ScriptedEndpoint
from worker.fleet import broker_channel, visibility_timeout

VISIBILITY = 3.0  # seconds
LONG = 7.0  # seconds a job takes: twice that

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("app", "again"),
    [
        ("worker.app", False),
        ("tests.support.planted.no_renewal", True),  # the control: without renewal the same job comes again
    ],
)
def test_a_long_job_is_delivered_once_while_its_worker_lives(
    app: str, again: bool, ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without the zadd in visibility_timeout.renew, or if kombu renames the index or what unacked_tags reads."""
    with ScriptedEndpoint(answering(LONG)) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url, "APPLEJACK_VISIBILITY_SECONDS": str(VISIBILITY)}
        workers = [start_worker("generate", name, env=env, app=app, wait=False) for name in ("one", "two")]
        until(lambda: len(ledger.fleet.workers()) == 2, "both workers")
        (job,) = submit(ledger, redis_url, prompts(1))
        assert all_terminal(ledger)[JobState.GENERATED] == 1
        assert len(jobs_requests(endpoint)) == 1  # the ledger drops what is held
    dropped = [worker.name for worker in workers if "job.dropped" in worker.child.log.read_text()]
    assert bool(dropped) is again
    assert told(ledger, job) == ["started", "generated"]


def test_renewing_touches_exactly_what_is_in_hand(redis_url: SecretStr) -> None:
    """Fails when kombu renames qos._delivered or unacked_index."""
    app: Celery = make_app(Settings(redis_url=redis_url))
    client = ledger_client(redis_url.get_secret_value())
    for number in range(8):
        app.send_task(GENERATE, args=("r", str(number)), queue=QUEUE_TRAIN, ignore_result=True)
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue(QUEUE_TRAIN)
        done, kept = queue.get(timeout=5), queue.get(timeout=5)
        assert len(visibility_timeout.unacked_tags(queue_consumer(queue))) >= 2
        done.ack()
        client.zadd(visibility_timeout.INDEX, dict.fromkeys(client.zrange(visibility_timeout.INDEX, 0, -1), 1.0))
        now = float(client.time()[0])
        assert visibility_timeout.renew(client, queue_consumer(queue)) >= 1
        assert (client.zscore(visibility_timeout.INDEX, kept.delivery_tag) or 0) >= now
        assert client.zscore(visibility_timeout.INDEX, done.delivery_tag) is None  # acknowledged: it must not come back
        kept.requeue()


class queue_consumer:  # noqa: N801 - stands for celery's Consumer
    def __init__(self, queue: object) -> None:
        self.task_consumer = queue.consumer  # type: ignore[attr-defined]


def test_one_visibility_timeout_reaches_broker_and_results(redis_url: SecretStr) -> None:
    """The shortest in a database rules all queues, so both must be the setting's."""
    conf = make_app(Settings(redis_url=redis_url, visibility_seconds=77)).conf
    assert conf.broker_transport_options["visibility_timeout"] == 77
    assert conf.result_backend_transport_options["visibility_timeout"] == 77


def test_a_worker_takes_one_message_for_each_thing_it_does_at_once(redis_url: SecretStr) -> None:
    """With Celery's own four a slow Mac holds what a fast one waits for."""
    assert make_app(Settings(redis_url=redis_url)).conf.worker_prefetch_multiplier == 1


def test_messages_in_hand_when_the_connection_is_gone_end_no_worker(
    redis_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without redelivery.Channel: an AttributeError, for which Celery ends the worker."""
    monkeypatch.setattr(kombu_redis.Transport, "Channel", kombu_redis.Transport.Channel)
    monkeypatch.setattr(kombu_redis, "time", kombu_redis.time)
    broker_channel.use(lambda: frozenset(QUEUES), kombu_redis.time)
    app = make_app(Settings(redis_url=redis_url))
    app.send_task(GENERATE, args=("r", "j"), queue=QUEUE_GENERATE, ignore_result=True)
    with app.connection_for_read() as connection:
        channel = connection.channel()
        channel.basic_get(QUEUE_GENERATE)
        channel._disconnect_pools()  # what a lost connection leaves: a message in hand, and no way to Redis
        client, channel.connection.client = channel.connection.client, None
        with pytest.raises(connection.connection_errors):
            channel.close()
        channel.connection.client = client
