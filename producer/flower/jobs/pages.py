"""Addresses of the pages of jobs."""

from tornado.routing import URLSpec
from tornado.web import url

from config.ledger import Ledger
from producer.flower.jobs.job_page import JobPage
from producer.flower.jobs.list_page import JobsPage
from producer.flower.jobs.reading import JobIndexes
from producer.flower.jobs.resubmit_page import ResubmitPage


def urls(reads: dict[str, object]) -> list[URLSpec]:
    """The pages, given what every page reads from; they share the indexes of the runs."""
    ledger = reads["ledger"]
    assert isinstance(ledger, Ledger)
    indexed = {**reads, "indexes": JobIndexes(ledger)}
    return [
        url(r"/runs/([^/]+)/jobs", JobsPage, indexed, name="jobs"),
        url(r"/runs/([^/]+)/jobs/resubmit", ResubmitPage, indexed, name="resubmit-jobs"),
        url(r"/runs/([^/]+)/jobs/([^/]+)", JobPage, indexed, name="job"),
    ]
