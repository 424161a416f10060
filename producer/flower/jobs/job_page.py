"""/runs/RUN/jobs/JOB: the whole story of one job."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from config.ledger import Ledger, RunView
from config.ledger.jobs import JobView
from config.records import Finding, JobState, JsonObject, Prompt, Trajectory, Verdict
from config.topology import Stage
from producer.flower.handlers import LivePage
from producer.flower.jobs import words
from producer.flower.jobs.conversation import Turn, conversation
from producer.flower.jobs.expected import FactView, facts
from producer.flower.jobs.indexed import IndexedPage
from producer.flower.jobs.list_page import number
from producer.flower.jobs.query import FACETS, JobQuery
from producer.flower.jobs.reading import stale_after
from producer.flower.jobs.shown import marked, quoted, shown, visible
from producer.job_story import event_words, origin, row_ranges
from producer.output import pluralise
from producer.resubmit import job_named

ATTEMPTS = 20  # newest attempts on the page


@dataclass(frozen=True)
class AttemptTab:
    """One attempt."""

    number: int
    words: str
    """how it ended, "failed: timeout", or that it has not"""
    chosen: bool


@dataclass(frozen=True)
class Neighbours:
    """Where a job stands among those that match the filter it was opened with."""

    place: int = 0
    """from 1; 0 if the job does not match, or the run is still being read"""
    of: int = 0
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class JobStory:
    """What the page shows of one job."""

    job: JobView
    prompt: Prompt
    tabs: list[AttemptTab]
    attempt: int
    trajectory: Trajectory | None
    """of the chosen attempt"""
    verdict: Verdict | None
    """of curation about the chosen attempt"""
    kept: bool | None
    """what curation decided about the newest attempt; None if it has not yet"""
    turns: list[Turn]
    facts: list[FactView]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Why curation rejects the chosen attempt."""
        return self.verdict.findings if self.verdict else ()

    @property
    def finished(self) -> bool:
        """Whether it can run again."""
        return self.job.state in {JobState.GENERATED, JobState.FAILED}

    @property
    def state(self) -> str:
        """The job's state in words."""
        if self.job.state is not JobState.GENERATED:
            return self.job.state.value
        return "generated, not curated yet" if self.kept is None else "kept" if self.kept else "rejected"


class JobPage(IndexedPage, LivePage):
    """One job. The address can hold `attempt`, and the filters of the list it was opened from."""

    page = "job.html"
    fragments = {"job": "fragments/job.html"}  # noqa: RUF012 - a ClassVar of the base

    def load(self, *ids: str) -> Mapping[str, object]:
        """The story of the job and its neighbours in the list."""
        run_id, job_id = ids[0], ids[1]
        run = self.ledger.run(run_id)
        if job_id.isdecimal():
            job_id = job_named(self.ledger, run_id, job_id)
        query = JobQuery.of({name: str(self.get_query_argument(name, "")) for name in (*FACETS, "text", "sort")})
        attempt = self.get_query_argument("attempt", "")
        return {
            "run_id": run_id, "story": story(self.ledger, run, job_id, number(attempt) if attempt else None),
            "query": query, "neighbours": self._neighbours(run_id, job_id, query), "words": words, "marked": marked,
            "quoted": quoted, "visible": visible, "shown": shown, "origin": origin, "event_words": event_words,
            "row_ranges": row_ranges, "pretty": pretty,
            "pluralise": pluralise,
        }  # fmt: skip

    def _neighbours(self, run_id: str, job_id: str, query: JobQuery) -> Neighbours:
        found = self.indexes.of(run_id)
        if found.index is None:
            return Neighbours()
        with found.lock:
            places, place = found.index.places(query), found.index.place(job_id)
            if place is None or place not in places:
                return Neighbours(of=len(places))
            at, ids = places.index(place), found.index.ids
            before = ids[places[at - 1]] if at else ""
            after = ids[places[at + 1]] if at + 1 < len(places) else ""
        return Neighbours(at + 1, len(places), before, after)


def story(ledger: Ledger, run: RunView, job_id: str, attempt: int | None) -> JobStory:
    """Read one job; without `attempt`, its newest attempt that has ended. UsageError if the run does not have it."""
    run_id = run.spec.run_id
    job, prompt = ledger.jobs.view(run_id, job_id), ledger.jobs.prompt(run_id, job_id)
    first = max(1, job.attempt - ATTEMPTS + 1)
    ended = {number: ledger.jobs.trajectory(run_id, job_id, number) for number in range(first, job.attempt + 1)}
    newest = max((number for number, trajectory in ended.items() if trajectory), default=job.attempt)
    chosen = attempt if attempt in ended else newest
    trajectory = ended[chosen]
    judged = judged_attempt(job, stale_after(run, ledger.stages.view(run_id, Stage.CURATE)))
    stored = ledger.verdict(run_id, job_id)
    verdict = stored if trajectory and judged == chosen else None
    kept = stored.kept if stored and judged == job.attempt else None
    tabs = [AttemptTab(number, outcome(found, job, number), number == chosen) for number, found in ended.items()]
    turns = conversation(trajectory, verdict.findings if verdict else ()) if trajectory else []
    return JobStory(job, prompt, tabs, chosen, trajectory, verdict, kept, turns, facts(prompt.expect, trajectory))


def judged_attempt(job: JobView, stale: float | None) -> int | None:
    """The attempt that the stored verdict is about: the last that ended before the run was resubmitted, if at all."""
    ends = [event for event in job.history if event.event in {"generated", "failed"}]
    judged = [event.attempt for event in ends if stale is None or event.at <= stale]
    return judged[-1] if judged else None


def outcome(trajectory: Trajectory | None, job: JobView, attempt: int) -> str:
    """How an attempt ended."""
    if trajectory is None:
        return job.state.value if attempt == job.attempt else "no record"
    return f"failed: {trajectory.failure.kind.value}" if trajectory.failure else trajectory.outcome


def pretty(value: JsonObject) -> str:
    """An object as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)
