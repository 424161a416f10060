"""An index of a run's jobs in memory: 100,000 jobs with prompts of 250 characters take 80 MB of Flower's memory.

Jobs with the same state, cause, reasons, category and worker share a profile. There are a few hundred, and the counts
per profile are kept while jobs change, so that filters and their counts do not look at each job.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from config.errors import RejectionReason
from config.ledger.jobs import JobRow
from config.records import JobState, Prompt, Verdict
from producer.flower.jobs.query import FACETS, JobQuery, Profile

BETWEEN = b"\0"  # between two prompts in the searched text
SEARCHED = 2000  # characters of a prompt that the text filter looks at
PLACE_BITS = 20  # for the position of a job; a run holds up to 999,999
NEVER = 0.0  # in place of a time that there is not

Judged = tuple[str, ...] | None
"""rejection reasons, none for a kept job; None if curation has no verdict"""


@dataclass(frozen=True, slots=True)
class PromptEntry:
    """What the index keeps of a prompt."""

    category: str
    text: bytes
    """folded for the search"""

    @classmethod
    def of(cls, prompt: Prompt) -> "PromptEntry":
        """The entry of a prompt."""
        return cls(prompt.category, folded(prompt.prompt[:SEARCHED]))


@dataclass(frozen=True)
class IndexedJob:
    """One line of the list."""

    number: int
    job_id: str
    profile: Profile
    attempt: int
    changed: float | None
    """seconds since the epoch, of the last change by a worker"""


class JobIndex:
    """The jobs of one run, in the order of their numbers. Without a lock: its owner has one."""

    def __init__(self, prompts: Mapping[str, PromptEntry]) -> None:
        self.ids = sorted(prompts)
        names: dict[str, str] = {}
        self._categories = [names.setdefault(prompts[job_id].category, prompts[job_id].category) for job_id in self.ids]
        texts = [prompts[job_id].text for job_id in self.ids]
        self._text = BETWEEN.join(texts)
        self._starts = array("Q", [0])
        for text in texts:
            self._starts.append(self._starts[-1] + len(text) + len(BETWEEN))
        self._rows: list[tuple[JobState, str, str, bool]] = [(JobState.QUEUED, "", "", False)] * len(self.ids)
        self._interned: dict[tuple[JobState, str, str, bool], tuple[JobState, str, str, bool]] = {}
        self._attempts = array("L", [1]) * len(self.ids)
        self._finished = array("d", [NEVER]) * len(self.ids)
        self._recency = array("Q", (recency(None, place) for place in range(len(self.ids))))
        self._recent: list[int] = list(range(len(self.ids)))
        self._judged: list[Judged] = [None] * len(self.ids)
        self._stale_after: float | None = None
        self._numbers: dict[Profile, int] = {}
        self._profiles: list[Profile] = []
        self._counts: list[int] = []
        self._profile_of = array("L", [0]) * len(self.ids)
        self._order: dict[JobQuery, Sequence[int]] = {}
        self._tallies: dict[str, list[tuple[Profile, int]]] = {}
        self._found: dict[str, tuple[int, ...]] = {}
        for place in range(len(self.ids)):
            self._set(place, self._profile(place), first=True)

    def __len__(self) -> int:
        return len(self.ids)

    def place(self, job_id: str) -> int | None:
        """Position of a job; None if the run does not have it."""
        place = bisect_left(self.ids, job_id)
        return place if place < len(self.ids) and self.ids[place] == job_id else None

    def apply(self, rows: Iterable[JobRow]) -> None:
        """Take over the state of jobs; unknown ones are ignored."""
        for row in rows:
            place = self.place(row.job_id)
            if place is None:
                continue
            cells = (row.state, row.failure.value if row.failure else "", row.worker, row.truncated)
            self._rows[place] = self._interned.setdefault(cells, cells)
            self._attempts[place] = row.attempt
            self._finished[place] = row.finished or NEVER
            self._recency[place] = recency(row.changed or row.finished, place)
            self._set(place, self._profile(place))
        self._forget_answers()

    def judge(self, verdicts: Mapping[str, Judged], *, stale_after: float | None) -> None:
        """Replace all verdicts. A job that has finished after `stale_after` has run again since, so it has none."""
        shared: dict[Judged, Judged] = {}
        self._judged = [shared.setdefault(found, found) for found in map(verdicts.get, self.ids)]
        self._stale_after = stale_after
        for place in range(len(self.ids)):
            self._set(place, self._profile(place))
        self._forget_answers()

    def total(self, query: JobQuery) -> int:
        """Number of jobs that match."""
        return sum(count for _, count in self.tally(query))

    def tally(self, query: JobQuery) -> list[tuple[Profile, int]]:
        """The profiles that match and how many jobs have each."""
        return [(profile, count) for profile, count in self._tally(query.text) if query.matches(profile)]

    def facets(self, query: JobQuery) -> dict[str, dict[str, int]]:
        """Number of jobs per value of each filter, among those that pass the other filters; most frequent first."""
        tally = self._tally(query.text)
        found: dict[str, dict[str, int]] = {}
        for facet in FACETS:
            others, counts = query.without(facet), Counter[str]()
            for profile, count in tally:
                if others.matches(profile):
                    for value in profile.values(facet):
                        counts[value] += count
            found[facet] = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
        return found

    def places(self, query: JobQuery) -> Sequence[int]:
        """Positions of the jobs that match, in the order of the query."""
        if query not in self._order:
            if len(self._order) > 16:  # a few pages look at the same list between two changes
                self._order.clear()
            self._order[query] = self._ordered(query)
        return self._order[query]

    def jobs(self, places: Iterable[int]) -> list[IndexedJob]:
        """The jobs at these positions."""
        return [
            IndexedJob(
                place + 1, self.ids[place], self._profiles[self._profile_of[place]], self._attempts[place],
                (self._recency[place] >> PLACE_BITS) / 1000 or None,
            )
            for place in places
        ]  # fmt: skip

    def profiles(self, places: Iterable[int]) -> list[tuple[Profile, int]]:
        """The profiles of these jobs and how many have each."""
        counts = Counter(self._profile_of[place] for place in places)
        return [(self._profiles[number], count) for number, count in counts.items()]

    def filtered(self, places: Iterable[int], keep: Callable[[Profile], bool]) -> list[int]:
        """Those of these positions whose profile is to be kept."""
        wanted = {number for number, profile in enumerate(self._profiles) if keep(profile)}
        of = self._profile_of
        return [place for place in places if of[place] in wanted]

    def all_profiles(self) -> list[tuple[Profile, int]]:
        """The profiles of all jobs and how many have each."""
        return self._tally("")

    def _tally(self, text: str) -> list[tuple[Profile, int]]:
        if text:
            if text not in self._tallies:
                self._tallies[text] = self.profiles(self._search(text))
            return self._tallies[text]
        return [(profile, count) for profile, count in zip(self._profiles, self._counts, strict=True) if count]

    def _ordered(self, query: JobQuery) -> Sequence[int]:
        if query.sort != "changed":
            return self.filtered(self._search(query.text) if query.text else range(len(self.ids)), query.matches)
        self._recent.sort(key=self._recency.__getitem__, reverse=True)  # nearly sorted already, so this is quick
        places = self.filtered(self._recent, query.matches)
        if not query.text:
            return places
        found = frozenset(self._search(query.text))
        return [place for place in places if place in found]

    def _search(self, text: str) -> tuple[int, ...]:
        """Positions of the prompts that contain a text; prompts do not change, so the last searches are kept."""
        if text not in self._found:
            if len(self._found) > 8:
                self._found.clear()
            self._found[text] = self._find(text)
        return self._found[text]

    def _find(self, text: str) -> tuple[int, ...]:
        if (place := self.place(text)) is not None:
            return (place,)
        wanted, starts, found, at, following = folded(text), self._starts, [], 0, 0
        if not wanted:
            return ()
        while (at := self._text.find(wanted, at)) >= 0:
            in_following = at < starts[following + 1]  # no search, where many prompts have the text
            place = following if in_following else bisect_right(starts, at, following) - 1
            found.append(place)
            at, following = starts[place + 1], place + 1
        return tuple(found)

    def _profile(self, place: int) -> Profile:
        state, cause, worker, truncated = self._rows[place]
        ended = state in {JobState.GENERATED, JobState.FAILED}
        stale = self._stale_after is not None and self._finished[place] > self._stale_after
        judged = self._judged[place] if ended and not stale else None
        reasons = judged or ()
        if truncated and RejectionReason.TRUNCATED.value not in reasons:
            reasons = (*reasons, RejectionReason.TRUNCATED.value)
        return Profile(state, cause, reasons, None if judged is None else not judged, self._categories[place], worker)

    def _forget_answers(self) -> None:
        self._order.clear()
        self._tallies.clear()

    def _set(self, place: int, profile: Profile, *, first: bool = False) -> None:
        number = self._numbers.setdefault(profile, len(self._profiles))
        if number == len(self._profiles):
            self._profiles.append(profile)
            self._counts.append(0)
        if not first:
            self._counts[self._profile_of[place]] -= 1
        self._counts[number] += 1
        self._profile_of[place] = number


def recency(changed: float | None, place: int) -> int:
    """A number that is greater for a later change, and for the lower position of two with the same millisecond."""
    return (round((changed or NEVER) * 1000) << PLACE_BITS) + (1 << PLACE_BITS) - 1 - place


def judged(verdict: Verdict) -> Judged:
    """What the index keeps of a verdict."""
    return tuple(reason.value for reason in verdict.reasons)


def folded(text: str) -> bytes:
    """A text without regard to case and white space, as the search compares it."""
    return " ".join(text.casefold().split()).encode(errors="replace").replace(BETWEEN, b" ")
