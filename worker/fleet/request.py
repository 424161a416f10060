"""Shows each delivery in Celery's events, and so in Flower, as what it was: done, failed, retried or dropped.

A task of this project does not raise for failed work: a header task that raises aborts its chord. It returns the text
of an Outcome instead. The result backend stores that as a success, which counts the part of the chord. Only the event
that ends the task is changed, here.
"""

from datetime import datetime, timedelta
from typing import TypedDict

from celery import Task
from celery.app import trace
from celery.worker.request import Request

from worker.fleet.outcome import Fate, fate_of

LOG_ENDED = "Task %(name)s[%(id)s] ended in %(runtime)ss: %(return_value)s"  # Celery's own says "succeeded"


class Retry(TypedDict, total=False):
    """Options of `send_task` that make a message the retry of another one."""

    argsrepr: str
    retries: int


class OutcomeRequest(Request):  # type: ignore[misc]  # celery has no types
    """Named by each task as its `Request`; Celery makes one for each message."""

    @property
    def eta(self) -> datetime | None:
        """When the task may start, by this machine's clock; the message has it by the server's."""
        eta: datetime | None = self._eta
        return eta and eta + timedelta(seconds=self.task.clock.ahead)

    def send_event(self, type: str, **fields: object) -> None:
        """Send an event; the one of a successful return becomes that of the task's outcome."""
        if type == "task-succeeded":
            type, fields = outcome_event(fields, redelivered=bool(self.delivery_info.get("redelivered")))
        super().send_event(type, **fields)


def outcome_event(fields: dict[str, object], *, redelivered: bool) -> tuple[str, dict[str, object]]:
    """Type and fields of the event that says what the task's result says.

    `redelivered`: an earlier delivery of the same message may have ended with a result, which this one keeps.
    """
    text = plain(fields.get("result"))
    fields = {**fields, "result": text}
    match fate_of(text):
        case Fate.FAILED:
            return "task-failed", {"exception": text, "traceback": None, **fields}
        case Fate.RETRY:
            return "task-retried", {"exception": text, "traceback": None, **fields}
        case Fate.DROPPED:
            # Celery's word for a message that a worker discards. "task-rejected" would fit as well, but a task that
            # was started keeps that state when it arrives.
            shown = {} if redelivered else fields
            return "task-revoked", {"terminated": False, "signum": None, "expired": False, "exception": text, **shown}
    return "task-succeeded", fields


def plain(result: object) -> str:
    """The text that Celery's `saferepr` has put in quotes, maybe cut."""
    text = str(result)
    quote = text[:1] if text[:1] in ("'", '"') else ""
    return text.removeprefix(quote).removesuffix(quote).replace(f"\\{quote}", quote or "\\")


def as_retry(task: Task | None) -> Retry:
    """Options of a message that repeats the task that runs in this thread: its description, and one more retry."""
    if task is None:
        return {}
    described: Retry = {"argsrepr": task.request.argsrepr} if task.request.argsrepr else {}
    return {**described, "retries": (task.request.retries or 0) + 1}


def log_outcomes() -> None:
    """Let Celery's own line of log for a task say that it ended, with the outcome, instead of that it succeeded."""
    trace.LOG_SUCCESS = LOG_ENDED
