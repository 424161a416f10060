"""The four tasks: their names and retry rules. Each is one call; what they do is in worker/steps.py.

A task returns its id and never raises for bad work: a header task that raises would abort its chord, so failures are
records in the ledger. A worker that dies is the ledger's business too (leases), so Celery retries nothing.
"""

from celery import Celery

from config.topology import CURATE, EVALUATE, GENERATE, TRAIN
from worker.steps import Steps


def register(app: Celery, steps: Steps) -> None:
    """Give the application its tasks."""

    @app.task(name=GENERATE)
    def generate(run_id: str, job_id: str) -> str:
        return steps.generate(run_id, job_id)

    @app.task(name=CURATE)
    def curate(run_id: str) -> str:
        return steps.curate(run_id)

    @app.task(name=TRAIN)
    def train(run_id: str) -> str:
        return steps.train(run_id)

    @app.task(name=EVALUATE)
    def evaluate(run_id: str) -> str:
        return steps.evaluate(run_id)
