"""A worker with a fault planted: it is killed after the ledger has its job and before Celery hears of it."""

import os
import signal

from worker import app as composed

jobs = composed.worker.jobs.ledger.jobs
finish = jobs.finish


def finish_and_die(*args: object, **options: object) -> None:
    finish(*args, **options)  # type: ignore[arg-type]
    os.kill(os.getpid(), signal.SIGKILL)


jobs.finish = finish_and_die  # type: ignore[method-assign, assignment]
app = composed.app
