"""/runs/RUN/jobs/resubmit: what running the chosen jobs again would do, and the button that does it."""

from collections.abc import Sequence

from tornado.web import authenticated

from config.errors import UsageError
from producer.flower.handlers import Action
from producer.flower.jobs import words
from producer.flower.jobs.index import JobIndex
from producer.flower.jobs.indexed import IndexedPage
from producer.flower.jobs.query import FACETS, JobQuery
from producer.flower.jobs.selection import Preview, eligible, preview
from producer.output import pluralise
from producer.resubmit import plan_of, require_not_cancelled, resubmit

ALL = "all"  # value of `which`: the failed and rejected jobs that match, instead of the ticked ones
READ_SECONDS = 60.0  # for the first reading of a run, before an action gives up


class ResubmitPage(IndexedPage, Action):
    """GET shows the preview, POST with the page's token resubmits. Arguments: which, job (repeatable), the filters."""

    @authenticated
    async def get(self, *ids: str) -> None:
        """The preview."""
        values = await self.blocking(self._load, ids[0])
        self.show("job_resubmit.html", **values)

    def act(self, *ids: str) -> str:
        """Resubmit the jobs that are chosen now."""
        chosen = self._preview(ids[0])
        if not chosen.job_ids:
            raise UsageError("no job was resubmitted: none is chosen that has finished; tick a job that has")
        planned = plan_of(self.ledger, ids[0], chosen.job_ids)
        resubmit(self.ledger, self.settings_, planned, train=bool(self.get_arguments("train")))
        self.indexes.of(ids[0]).expire()
        return f"{pluralise(len(planned.jobs), 'job')} of {ids[0]} queued again; the run is curated anew at its end"

    def _load(self, run_id: str) -> dict[str, object]:
        run = self.ledger.run(run_id)
        refusal = ""
        try:
            require_not_cancelled(run)
        except UsageError as error:
            refusal = str(error)
        return {
            "run_id": run_id, "run": run, "preview": self._preview(run_id), "refusal": refusal, "query": self._query(),
            "which": self._which, "ticked": self.get_arguments("job"), "words": words, "facet_names": FACETS,
        }  # fmt: skip

    @property
    def _which(self) -> str:
        return ALL if ALL in self.get_arguments("which") else "ticked"

    def _query(self) -> JobQuery:
        given = {name: self.get_arguments(name) for name in (*FACETS, "text", "sort")}
        return JobQuery.of({name: values[-1] for name, values in given.items() if values})

    def _preview(self, run_id: str) -> Preview:
        found = self.indexes.of(run_id)
        if found.index is None:
            found.wait(READ_SECONDS)
        if found.index is None:
            raise UsageError(f"the jobs of run {run_id!r} are still being read; try again in a minute")
        with found.lock:
            places = eligible(found.index, self._query()) if self._which == ALL else self._ticked(found.index)
            return preview(found.index, places)

    def _ticked(self, index: JobIndex) -> Sequence[int]:
        """Positions of the ticked jobs; UsageError for one that the run does not have."""
        places = {job_id: index.place(job_id) for job_id in self.get_arguments("job")}
        if unknown := [job_id for job_id, place in places.items() if place is None]:
            raise UsageError(f"this run has no job {unknown[0]!r}")
        return sorted(place for place in places.values() if place is not None)
