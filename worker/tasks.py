"""The four tasks: a name and one call each; what they do is in worker/steps.py.

A task returns its id and never raises for bad work: a header task that raises would abort its chord, so failures are
records in the ledger. A worker that dies is the ledger's business too (leases), so Celery retries nothing.
"""

from celery import Celery

from config.topology import CURATE, EVALUATE, GENERATE, TRAIN
from worker.steps import Steps


def register(app: Celery, steps: Steps) -> None:
    """Give the application its tasks."""
    app.task(name=GENERATE)(steps.generate)  # (run_id, job_id) -> job_id
    app.task(name=CURATE)(steps.curate)  # (run_id) -> run_id, as the two below
    app.task(name=TRAIN)(steps.train)
    app.task(name=EVALUATE)(steps.evaluate)
