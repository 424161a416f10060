"""The four tasks: a name and one call each; what they do is in worker/job_runner.py.

A task returns its id and never raises for bad work: a header task that raises would abort its chord, so failures are
records in the ledger. A worker that dies is the ledger's business too (leases), so Celery retries nothing.
"""

from celery import Celery

from config.topology import CURATE, EVALUATE, GENERATE, TRAIN
from worker.job_runner import JobRunner


def register(app: Celery, steps: JobRunner) -> None:
    """Give the application its tasks, and no other application in this process.

    Functions, not the bound methods themselves: Celery counts `self` as an argument of those, and then refuses to send
    a chord's body.
    """

    def generate(run_id: str, job_id: str) -> str:
        return steps.generate(run_id, job_id)

    def curate(run_id: str) -> str:
        return steps.curate(run_id)

    def train(run_id: str) -> str:
        return steps.train(run_id)

    def evaluate(run_id: str) -> str:
        return steps.evaluate(run_id)

    for name, task in ((GENERATE, generate), (CURATE, curate), (TRAIN, train), (EVALUATE, evaluate)):
        app.task(name=name, shared=False)(task)
