"""What a list of jobs is asked for: its filters and its order, as they stand in a page's address."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple
from urllib.parse import urlencode

from config.records import JobState

KEPT, REJECTED = "kept", "rejected"
STATES: Final = (*(state.value for state in JobState), KEPT, REJECTED)
FACETS: Final = ("state", "cause", "reason", "category", "worker")
SORTS: Final = {"number": "number", "changed": "last change"}


class Profile(NamedTuple):
    """What many jobs have in common; the filters look at nothing else, except the text."""

    state: JobState
    cause: str
    """failure kind; "" if it has not failed"""
    reasons: tuple[str, ...]
    """why curation rejects it, or "truncated", which is known earlier"""
    kept: bool | None
    """None if it has not been curated"""
    category: str
    worker: str
    """that started it last; "" before the first start"""

    @property
    def states(self) -> tuple[str, ...]:
        """The values of the state filter that it matches."""
        if self.kept is None:
            return (self.state.value,)
        return (self.state.value, KEPT if self.kept else REJECTED)

    @property
    def word(self) -> str:
        """Its state in one word; after curation a completed job is kept or rejected."""
        return self.states[-1] if self.state is JobState.GENERATED else self.state.value

    @property
    def finished(self) -> bool:
        """Whether it has a trajectory, so that it can run again."""
        return self.state in {JobState.GENERATED, JobState.FAILED}

    def values(self, facet: str) -> tuple[str, ...]:
        """Its values of one facet, none of them empty."""
        match facet:
            case "state":
                return self.states
            case "reason":
                return self.reasons
        value = str(getattr(self, facet))
        return (value,) if value else ()


@dataclass(frozen=True)
class JobQuery:
    """Filters, of which all must hold, and the order. "" stands for no filter."""

    state: str = ""
    cause: str = ""
    reason: str = ""
    category: str = ""
    worker: str = ""
    text: str = ""
    """part of the prompt, without regard to case; or a whole job id"""
    sort: str = ""
    """a key of SORTS; "" is the number"""

    @classmethod
    def of(cls, arguments: Mapping[str, str]) -> "JobQuery":
        """The query of an address; unknown names are ignored, and an unknown order is that of the numbers."""
        known = {field.name: arguments.get(field.name, "").strip() for field in fields(cls)}
        return cls(**{**known, "sort": "changed" if known["sort"] == "changed" else ""})

    def address(self, **more: str | int) -> str:
        """The query as "?state=failed&...", with further arguments; "" if there is nothing to say."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: value for name, value in {**named, **more}.items() if value not in ("", None)}
        return f"?{urlencode(given)}" if given else ""

    def without(self, facet: str) -> "JobQuery":
        """The same without one filter."""
        return replace(self, **{facet: ""})

    def matches(self, profile: Profile) -> bool:
        """Whether jobs of this profile pass all filters but the text."""
        wanted = ((facet, getattr(self, facet)) for facet in FACETS)
        return all(value in profile.values(facet) for facet, value in wanted if value)

    @property
    def words(self) -> str:
        """The filters in words, "state failed, worker mac-1"; "" without any."""
        named = [f"{facet} {getattr(self, facet)}" for facet in FACETS if getattr(self, facet)]
        return ", ".join([*named, *([f"text {self.text!r}"] if self.text else [])])
