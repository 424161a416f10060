"""What tests of the fleet's guarantees share: a run over a scripted endpoint, and waiting for what the ledger says."""

import time
from collections.abc import Callable
from typing import TypeVar

from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.fleet import WorkerView
from config.records import JobState, JsonObject, Limits, Prompt, Spec
from config.settings import Settings
from producer import enqueue
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint

T = TypeVar("T")
RUN = "r"
LEASE = 2.0  # seconds: what a silent worker held is soon owed again
QUICK = {"APPLEJACK_LEASE_SECONDS": str(LEASE), "APPLEJACK_HEALTH_CHECK_SECONDS": "0.5"}
PROBE = "Hello"  # what config/endpoint/health.py asks
PATIENCE = 60.0  # seconds; two busy cores


def prompts(count: int) -> list[Prompt]:
    return [Prompt(prompt=f"question {number}", requires_tools=False) for number in range(1, count + 1)]


def submit(ledger: Ledger, url: SecretStr, asked: list[Prompt], **fields: object) -> tuple[str, ...]:
    """A run over the endpoint without workspace, training or a student; its job ids in the order of the prompts."""
    fields = {"limits": Limits(seconds=60, request_seconds=30), **fields}
    spec = Spec(run_id=RUN, dataset_format="seed-text", train=False, **fields)
    enqueue.submit(ledger, Settings(redis_url=url), spec, asked)
    return tuple(ledger.jobs.ids(RUN))


def question(body: JsonObject) -> str:
    """The user's first message in a request."""
    messages = body["messages"]
    assert isinstance(messages, list)
    return next(str(one["content"]) for one in messages if isinstance(one, dict) and one["role"] == "user")


def jobs_requests(endpoint: ScriptedEndpoint) -> list[str]:
    """The questions of the jobs that asked, one a request; the supervisor's health checks left out."""
    return [asked for asked in map(question, endpoint.requests) if asked != PROBE]


def answering(slow: float = 0.0) -> Callable[[JsonObject], Reply]:
    """A healthy teacher that takes `slow` seconds for a job and none for a probe."""

    def reply(body: JsonObject) -> Reply:
        asked = question(body)
        return Reply(text=f"answer to {asked}", stall=0.0 if asked == PROBE else slow)

    return reply


def until(look: Callable[[], T], what: str = "", *, seconds: float = PATIENCE) -> T:
    """The first true answer of `look`; AssertionError when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or look}"
        time.sleep(0.05)
    return seen


def all_terminal(ledger: Ledger, *, seconds: float = PATIENCE) -> dict[JobState, int]:
    """The counts once no job is owed."""

    def ended() -> dict[JobState, int] | None:
        counts = ledger.jobs.counts(RUN)
        return None if counts[JobState.QUEUED] + counts[JobState.RUNNING] else counts

    return until(ended, "every job terminal", seconds=seconds)


def worker_view(ledger: Ledger, name: str) -> WorkerView | None:
    return next((view for view in ledger.fleet.workers() if view.name == name), None)


def paused(ledger: Ledger, name: str) -> str:
    """Why a worker says it takes no jobs, "" while it does."""
    view = worker_view(ledger, name)
    return str(view.fields.get("paused") or "") if view else ""


def told(ledger: Ledger, job_id: str) -> list[str]:
    """The events of a job, oldest first."""
    return [event.event for event in ledger.jobs.view(RUN, job_id).history]
