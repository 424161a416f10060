"""Words for the pages of jobs."""

from datetime import UTC, datetime

from config.records import JobState
from producer.flower.jobs.query import Profile
from producer.flower.jobs.shown import visible

START = 160  # characters of a prompt in the list


def start(prompt: str) -> str:
    """The beginning of a prompt in one line."""
    line = visible(" ".join(prompt.split()))
    return line if len(line) <= START else line[: START - 1] + "…"


def state(profile: Profile) -> str:
    """State of a job in words."""
    if profile.state is JobState.GENERATED and profile.kept is None:
        return "generated, not curated yet"
    return profile.word


def causes(profile: Profile) -> tuple[str, ...]:
    """Why it failed or was rejected; that a failed generation was rejected is no news."""
    return (profile.cause,) if profile.cause else profile.reasons


def moment(seconds: float | None) -> str:
    """Date and time in UTC to the second; a dash for None."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" if seconds is not None else "-"
