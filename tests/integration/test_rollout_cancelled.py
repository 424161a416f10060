"""A rollout that is cancelled ends at once, whatever it waits for, and leaves no half conversation."""

import asyncio
import threading
import time

import pytest

from config.errors import StoppedError
from config.records import JsonObject, Prompt, Spec
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, stalls
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.generate.agent import Conversation, endpoint_teacher
from worker.generate.rollout import _unless_cancelled, run_rollout

LONG = 30.0  # seconds


@pytest.mark.parametrize(
    "reply",
    [
        stalls(LONG),  # no byte of the answer has come
        Reply(text="half of an answer", pause=LONG),  # in the middle of it
    ],
    ids=["before the answer", "within the answer"],
)
def test_a_cancelled_rollout_ends_at_once_without_a_trajectory(reply: Reply) -> None:
    """Fails without _unless_cancelled: the rollout would wait for the whole answer."""
    cancelled = threading.Event()
    limiter = ConcurrencyLimiter(most=4)

    def asked(_: JsonObject) -> Reply:
        threading.Timer(0.5, cancelled.set).start()
        return reply

    with ScriptedEndpoint(asked) as endpoint:
        with pytest.raises(StoppedError):
            run_rollout(
                Prompt(prompt="q"),
                spec=Spec(run_id="r"),
                job_id="000000-aaaaaaaa",
                attempt=1,
                workspace=None,
                teacher=endpoint_teacher(
                    endpoint.base_url, model="default_model", sampling=None, request_seconds=LONG,
                    watch=limiter.job(60, cancelled=cancelled.is_set),
                ),
                worker="w",
                cancelled=cancelled.is_set,
            )  # fmt: skip
        ended = time.monotonic()
        assert cancelled.is_set()
        assert len(endpoint.requests) == 1
    assert time.monotonic() - ended < LONG / 2
    assert not limiter.degraded_since(0)


def test_a_conversation_that_is_complete_when_the_run_is_cancelled_is_kept() -> None:
    """Fails where _unless_cancelled discards a finished task."""
    cancelled = threading.Event()

    async def answered_in_this_moment() -> Conversation:
        cancelled.set()
        return Conversation(finish_reasons=("stop",))

    kept = asyncio.run(_unless_cancelled(answered_in_this_moment(), cancelled.is_set))
    assert kept.finish_reasons == ("stop",)
