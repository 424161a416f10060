"""make_app(settings) -> Celery: each setting that is not Celery's default, with its reason; no tasks."""

from celery import Celery

from config.settings import Settings
from config.topology import QUEUES, ROUTES

RESULT_SECONDS = 14 * 86_400  # a chord over a long weekend and more must still find its parts


def make_app(settings: Settings) -> Celery:
    """A Celery application on the settings' Redis; it connects on first use."""
    if settings.redis_url is None:
        raise ValueError("make_app needs a redis_url; the embedded server sets it")
    url = settings.redis_url.get_secret_value()
    app = Celery("applejack", broker=url, backend=f"config.result_backend:RetryingRedisBackend+{url}")
    # One value for the whole fleet: the unacked index is one per database, and the shortest timeout rules all queues.
    # It need not be short: leases find dead workers, and a second delivery of a held job is dropped.
    visibility = settings.visibility_seconds
    app.conf.update(
        # messages hold two ids; pickle would let whoever reaches Redis run code on every Mac
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_queues={name: {"exchange": name, "routing_key": name} for name in QUEUES},
        task_routes=ROUTES,
        task_create_missing_queues=False,  # a misspelt queue is an error, not a queue nobody reads
        task_acks_late=True,  # a killed worker's message comes back
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,  # unequal Macs finish together: 6 s against 15 s at the default of 4
        worker_deduplicate_successful_tasks=False,  # on, it makes a chord hang after a kill between stored and counted
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the ledger decides whose result counts
        worker_send_task_events=True,
        task_send_sent_event=True,  # else Flower cannot see what is queued
        task_track_started=True,
        worker_hijack_root_logger=False,  # config/logs.py shapes the logs
        broker_connection_retry_on_startup=True,
        broker_channel_error_retry=True,  # a full Redis refuses the worker's own commands: without it the worker ends
        broker_connection_max_retries=None,  # a worker outlives any outage of the broker
        broker_transport_options={
            "visibility_timeout": visibility,
            "unacked_restore_interval": min(15.0, visibility / 3),  # seconds; kombu's 10 x 10 s sweeps rarely
            "unacked_restore_throttle": 1,
            "socket_timeout": 10,  # a half-open connection is noticed; without it the worker never consumes again
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        result_backend_transport_options={
            "visibility_timeout": visibility,
            # what forgets results gives up, or a process would not end while Redis is away; storing never does
            "retry_policy": {"max_retries": 10, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 3},
        },
        result_backend_always_retry=True,
        result_expires=RESULT_SECONDS,
        result_chord_expires=RESULT_SECONDS,
        redis_socket_timeout=10,
        redis_socket_connect_timeout=5,
        redis_socket_keepalive=True,
        redis_retry_on_timeout=True,
        redis_backend_health_check_interval=10,
        task_publish_retry_policy={"max_retries": 60, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 3},
    )
    return app
