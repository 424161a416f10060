"""The four Celery tasks: a name and one call each.

A task returns the text of its outcome, such as "failed: timeout", and does not raise for failed work: a header task
that raises would abort its chord. OutcomeRequest turns that text into the event that Flower shows. Celery retries
nothing; a retry is a new message for a job of the ledger, and the ledger's leases cover workers that die.
"""

from celery import Celery

from config.topology import CURATE, EVALUATE, GENERATE, TRAIN, Stage
from worker.fleet.clock import Clock
from worker.fleet.request import OutcomeRequest, log_outcomes
from worker.job_runner import JobRunner
from worker.stage_runner import StageRunner


def register(app: Celery, jobs: JobRunner, stages: StageRunner, clock: Clock) -> None:
    """Register the tasks with this application only, not with every Celery application of the process.

    They are functions because Celery counts `self` of a bound method as an argument and then refuses a chord's body.
    """

    def generate(run_id: str, job_id: str) -> str:
        return str(jobs.run(run_id, job_id))

    def curate(run_id: str) -> str:
        return str(stages.run(run_id, Stage.CURATE))

    def train(run_id: str) -> str:
        return str(stages.run(run_id, Stage.TRAIN))

    def evaluate(run_id: str) -> str:
        return str(stages.run(run_id, Stage.EVALUATE))

    log_outcomes()
    for name, task in ((GENERATE, generate), (CURATE, curate), (TRAIN, train), (EVALUATE, evaluate)):
        app.task(name=name, shared=False, Request=OutcomeRequest, clock=clock)(task)
