"""/runs/RUN/jobs: the jobs of a run, 50 a page, filtered and sorted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.ledger import Ledger
from config.ledger.jobs import JobRow
from config.records import Prompt
from producer.flower.handlers import LivePage
from producer.flower.jobs import words
from producer.flower.jobs.index import IndexedJob
from producer.flower.jobs.indexed import IndexedPage
from producer.flower.jobs.query import FACETS, SORTS, JobQuery, Profile
from producer.flower.jobs.reading import RunIndex
from producer.flower.jobs.selection import eligible_count

PAGE = 50  # jobs


@dataclass(frozen=True)
class JobLine:
    """One line of the list."""

    job: IndexedJob
    start: str
    """of the prompt"""


@dataclass(frozen=True)
class JobsView:
    """What a page of the list shows."""

    reading: str
    """how far the first reading is; "" once the filters work"""
    lines: Sequence[JobLine] = ()
    total: int = 0
    """of the run"""
    found: int = 0
    """that match"""
    eligible: int = 0
    """of them, that "resubmit all" takes"""
    page: int = 1
    facets: Mapping[str, Mapping[str, int]] | None = None

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-self.found // PAGE))


class JobsPage(IndexedPage, LivePage):
    """The list. The address holds the filters: state, cause, reason, category, worker, text, sort and page."""

    page = "jobs.html"
    fragments = {"job-filters": "fragments/job_filters.html", "jobs": "fragments/jobs.html"}  # noqa: RUF012 - a ClassVar of the base

    def load(self, *ids: str) -> Mapping[str, object]:
        """One page of the jobs that match."""
        run_id = ids[0]
        names = [*FACETS, "text", "sort"]
        query = JobQuery.of({name: str(self.get_query_argument(name, "")) for name in names})
        view = look(self.ledger, self.indexes.of(run_id), query, page=number(self.get_query_argument("page", "1")))
        return {"run_id": run_id, "query": query, "view": view, "sorts": SORTS, "facet_names": FACETS, "words": words}


def look(ledger: Ledger, run: RunIndex, query: JobQuery, *, page: int) -> JobsView:
    """One page of the list; while the run is read for the first time, its first jobs without filters."""
    index = run.index
    if index is None:
        return JobsView(run.progress.words, plain_lines(ledger, run.run_id, run.first[:PAGE]), total=run.progress.total)
    with run.lock:
        places = index.places(query)
        page = min(max(1, page), max(1, -(-len(places) // PAGE)))
        jobs = index.jobs(places[(page - 1) * PAGE : page * PAGE])
        facets = index.facets(query)
        chosen = eligible_count(index, query)
        total, found = len(index), len(places)
    prompts = ledger.jobs.prompts(run.run_id, [job.job_id for job in jobs])
    lines = [JobLine(job, words.start(prompt.prompt)) for job, prompt in zip(jobs, prompts, strict=True)]
    return JobsView("", lines, total, found, chosen, page, facets)


def plain_lines(ledger: Ledger, run_id: str, job_ids: Sequence[str]) -> list[JobLine]:
    """Jobs as the ledger has them, without what curation found."""
    rows, prompts = ledger.jobs.rows(run_id, job_ids), ledger.jobs.prompts(run_id, job_ids)
    return [JobLine(plain(row, prompt), words.start(prompt.prompt)) for row, prompt in zip(rows, prompts, strict=True)]


def plain(row: JobRow, prompt: Prompt) -> IndexedJob:
    """A job of which only its own state is known."""
    cause = row.failure.value if row.failure else ""
    profile = Profile(row.state, cause, (), None, prompt.category, row.worker)
    return IndexedJob(int(row.job_id.split("-")[0]), row.job_id, profile, row.attempt, row.changed)


def number(text: str | None) -> int:
    """The number of a page; 1 for anything else."""
    return int(text) if text and text.isdecimal() and len(text) < 8 else 1
