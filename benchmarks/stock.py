"""Stock Celery with late acknowledgement, the baseline of benchmarks/recovery.py. Not part of the product.

celery -A benchmarks.stock worker      with STOCK_URL, STOCK_VISIBILITY (seconds) in the environment
"""

import os
import time

import redis
from celery import Celery

URL = os.environ.get("STOCK_URL", "redis://127.0.0.1:6379/1")
STARTED = "stock:started:"  # + job: list of its start times, epoch seconds

app = Celery("benchmarks.stock", broker=URL)
app.conf.task_acks_late = True
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
app.conf.broker_transport_options = {"visibility_timeout": float(os.environ.get("STOCK_VISIBILITY", "3600"))}


@app.task(name="hold")
def hold(job: str, seconds: float) -> None:
    """Record the start, then sleep."""
    with redis.Redis.from_url(URL) as client:
        client.rpush(STARTED + job, time.time())
    time.sleep(seconds)
