"""Creates the Celery application, without tasks. Each setting that differs from Celery's default has its reason."""

from celery import Celery

from config.settings import Settings
from config.topology import QUEUES, ROUTES

RESULT_SECONDS = 14 * 86_400  # a chord must still find its parts after a long weekend or more


def make_app(settings: Settings) -> Celery:
    """Create a Celery application for the Redis in `settings`; it connects on first use."""
    if settings.redis_url is None:
        raise ValueError("make_app needs a redis_url; the embedded server sets it")
    url = verified(settings.redis_url.get_secret_value())
    app = Celery("applejack", broker=url, backend=f"config.result_backend:RetryingRedisBackend+{url}")
    # Must be the same in the whole fleet: all queues share one unacked index, so the shortest timeout applies to all.
    # It need not be short: leases detect dead workers, and workers drop a second delivery of a leased job.
    visibility = settings.visibility_seconds
    app.conf.update(
        # messages contain two ids; with pickle, anyone with access to Redis could run code on every Mac
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_queues={name: {"exchange": name, "routing_key": name} for name in QUEUES},
        task_routes=ROUTES,
        task_create_missing_queues=False,  # a misspelt queue is an error, not a new queue without consumers
        task_acks_late=True,  # the message of a killed worker is redelivered
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,  # unequal Macs finish together: 6 s, against 15 s with 4, the default
        worker_deduplicate_successful_tasks=False,  # on, a kill before a part is counted hangs the chord
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the ledger decides whose result counts
        worker_send_task_events=True,
        task_send_sent_event=True,  # otherwise Flower does not show queued tasks
        task_track_started=True,
        worker_hijack_root_logger=False,  # config/logs.py configures logging
        broker_connection_retry_on_startup=True,
        broker_channel_error_retry=True,  # otherwise a full Redis ends the worker
        broker_connection_max_retries=None,  # a worker survives broker outages of any length
        broker_transport_options={
            "visibility_timeout": visibility,
            "unacked_restore_interval": min(15.0, visibility / 3),  # seconds; kombu's default, 10 x 10 s, is too slow
            "unacked_restore_throttle": 1,
            "socket_timeout": 10,  # detects half-open connections; without it the worker never consumes again
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        result_backend_transport_options={
            "visibility_timeout": visibility,
            # for deleting results: a process must be able to exit during an outage; storing retries forever
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


def verified(url: str) -> str:
    """The URL with the check of the server's certificate named, as Celery requires it of rediss://."""
    if not url.startswith("rediss://") or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
