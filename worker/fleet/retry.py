"""The retry policy of a failed job: what is released for another attempt, and after how many seconds.

Endpoint outages (see EndpointSupervisor.confirm_outage) do not count against a job's delivery limit, nor does a model
that a worker does not serve (see wrong_model.py for its end). Other transient failures do: up to `Spec.delivery_limit`
deliveries. All other failures are final until someone resubmits the job.
"""

import random

from config.errors import FailureKind

ENDPOINT_FAILURES = frozenset(  # the job is not to blame
    {
        FailureKind.ENDPOINT_UNREACHABLE,
        FailureKind.ENDPOINT_WEDGED,
        FailureKind.ENDPOINT_ERROR,
        FailureKind.WRONG_MODEL,
    }
)
TRANSIENT = ENDPOINT_FAILURES | {FailureKind.WORKSPACE_UNAVAILABLE}  # may succeed on another worker, or later
RELEASED = TRANSIENT | {FailureKind.TIMEOUT}  # a timeout only if the endpoint caused it
LONGEST_DELAY = 30.0  # seconds; must stay below the visibility timeout
REFUSED_DELAY = 4.0  # seconds before a job whose model one worker does not serve is offered again, to any worker


def retry_delay(deliveries: int) -> float:
    """Seconds before the next attempt: exponential in the deliveries so far, with jitter."""
    return _with_jitter(min(LONGEST_DELAY, 2.0**deliveries))


def refused_delay() -> float:
    """Seconds before a job that was refused for its model is delivered again, with jitter."""
    return _with_jitter(REFUSED_DELAY)


def _with_jitter(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
