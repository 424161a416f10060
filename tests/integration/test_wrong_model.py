"""A model that a worker's endpoint does not serve blocks the runs that request it, and no other run."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import FailureKind
from config.ledger import Ledger
from config.ledger.fleet import WorkerView
from config.ledger.refusals import Refusals
from config.records import Failure, JobState, JsonObject, Spec
from config.settings import Settings
from producer import enqueue
from tests.integration.conftest import StartWorker
from tests.support.fleet import QUICK, paused, prompts, told, until, worker_view
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, fails
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.endpoint.supervisor import EndpointSupervisor
from worker.fleet.leases import Leases
from worker.fleet.wrong_model import LIMIT_SECONDS, served_by_nobody
from worker.job_runner import JobRunner

NO_SUCH = "The model `{}` does not exist."


def serving_only(*models: str) -> Callable[[JsonObject], Reply]:
    """A server that answers for these models and refuses any other, in vLLM's words."""

    def reply(body: JsonObject) -> Reply:
        asked = str(body["model"])
        return Reply(text="answer") if asked in models else fails(404, NO_SUCH.format(asked))

    return reply


def run_of(ledger: Ledger, url: SecretStr, run_id: str, model: str, count: int = 2) -> tuple[str, ...]:
    spec = Spec(run_id=run_id, model=model, dataset_format="seed-text", train=False)
    enqueue.submit(ledger, Settings(redis_url=url), spec, prompts(count))
    return tuple(ledger.jobs.ids(run_id))


def test_a_worker_goes_on_with_other_runs_and_the_wrong_model_ends_as_such(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker
) -> None:
    """Fails without EndpointSupervisor.refusal (the breaker trips for the whole worker) and without
    WrongModel.refuse (the jobs of the wrong model go round for ever)."""
    env = {**QUICK, "APPLEJACK_LEASE_SECONDS": "1.1"}
    with ScriptedEndpoint(serving_only("right")) as endpoint:
        start_worker("generate", "w", env={**env, "APPLEJACK_ENDPOINT": endpoint.base_url}, wait=False)
        wrong = run_of(ledger, redis_url, "first", "wrnog")
        run_of(ledger, redis_url, "second", "right")
        until(lambda: ledger.jobs.counts("second")[JobState.GENERATED] == 2, "the other run", seconds=30)
        assert paused(ledger, "w@test") == ""
        view = worker_view(ledger, "w@test")
        assert view is not None
        assert list(view.fields["refuses"]) == ["wrnog"]  # type: ignore[arg-type]
        until(lambda: ledger.jobs.counts("first")[JobState.FAILED] == 2, "the wrong run ends", seconds=30)
        asked = [body["model"] for body in endpoint.requests].count("wrnog")
    seen = ledger.jobs.view("first", wrong[0])
    assert seen.failure is FailureKind.WRONG_MODEL
    trajectory = ledger.jobs.trajectory("first", wrong[0], 1)
    assert trajectory is not None
    assert trajectory.failure is not None
    assert "every live worker refused the run's model: w@test: " in trajectory.failure.message
    assert "The model `wrnog` does not exist" in trajectory.failure.message
    assert asked <= 6  # not once for each delivery


@pytest.fixture
def runner(ledger: Ledger, tmp_path: Path) -> Callable[..., JobRunner]:
    """A worker's job runner without its process."""

    def build(name: str, lease_seconds: float = 20, **settings: object) -> JobRunner:
        chosen = Settings(dir=tmp_path, **settings)  # type: ignore[arg-type]
        supervisor = EndpointSupervisor(chosen, pause=lambda _: None, resume=lambda: None)
        leases = Leases(ledger.fleet, lease_seconds=lease_seconds)
        return JobRunner(ledger, leases, chosen, name, ConcurrencyLimiter(most=1), supervisor=supervisor)

    return build


def test_a_refused_job_waits_for_the_worker_that_serves_its_model(
    ledger: Ledger, runner: Callable[..., JobRunner]
) -> None:
    """And costs it no attempt. Fails if one worker's refusal decides for the fleet."""
    spec = Spec(run_id="r", model="right", dataset_format="seed-text", train=False)
    (job,) = ledger.create(spec, prompts(1)).job_ids
    for name in ("other", "able"):
        ledger.fleet.heartbeat(name, {"queues": ["generate"]})
    with ScriptedEndpoint(serving_only("else")) as wrong, ScriptedEndpoint(serving_only("right")) as right:
        refusing = runner("other", 0.05, endpoint=wrong.base_url)
        requeued: list[float] = []
        refusing.requeue = lambda _run, _job, seconds: requeued.append(seconds)
        refusing.run("r", job)
        time.sleep(0.2)  # the grace of three leases is over; the heartbeats are older than that, too
        ledger.fleet.heartbeat("able", {"queues": ["generate"]})
        refusing.run("r", job)
        assert len(wrong.requests) == 1  # the second delivery was refused without a request
        assert ledger.jobs.counts("r")[JobState.QUEUED] == 1
        assert all(1 < seconds < 10 for seconds in requeued)
        runner("able", endpoint=right.base_url).run("r", job)
    assert ledger.jobs.counts("r")[JobState.GENERATED] == 1
    assert told(ledger, job) == ["started", "handed_back", "started", "generated"]
    assert list(ledger.refusals.add("r", "x", "why").by_worker) == ["x"]  # a generated job has removed the others


def test_a_served_model_is_not_swapped_for_another(runner: Callable[..., JobRunner]) -> None:
    """Fails without is_served: mlx_lm would load the other model beside its own."""
    with ScriptedEndpoint(serving_only("other")) as endpoint:
        supervisor = runner("w", endpoint=endpoint.base_url, serve="org/model@abc").supervisor
        assert supervisor is not None
        assert supervisor.refusal("other") == "requested model 'other', but this worker serves 'org/model@abc'"
        assert [supervisor.refusal(own) for own in ("org/model@abc", "org/model", "default_model")] == ["", "", ""]
        assert endpoint.requests == []


@pytest.mark.parametrize(
    ("reply", "refused", "tripped"),
    [
        (fails(500, "cannot read the weights"), True, False),  # the endpoint answers for its own model
        (None, False, True),  # and here for none
    ],
)
def test_an_error_for_one_model_only_is_a_refusal(
    runner: Callable[..., JobRunner], reply: Reply | None, refused: bool, tripped: bool
) -> None:
    def answer(body: JsonObject) -> Reply:
        return Reply(text="hello") if reply and body["model"] == "default_model" else reply or fails(500, "down")

    with ScriptedEndpoint(answer) as endpoint:
        supervisor = runner("w", endpoint=endpoint.base_url).supervisor
        assert supervisor is not None
        failure = Failure(kind=FailureKind.ENDPOINT_ERROR, message="500")
        assert supervisor.confirm_outage(failure, model="big")
        assert bool(supervisor.refusal("big")) is refused
        assert bool(supervisor.circuit_breaker.reason) is tripped
        # a slow server that answers with another model: the job's time ends before its answer does
        timeout = Failure(kind=FailureKind.TIMEOUT, message="180 s")
        assert supervisor.confirm_outage(timeout, model="big") is True
        assert supervisor.confirm_outage(timeout, model="other") is tripped


def test_a_breaker_closes_when_the_endpoint_comes_back_with_another_model(runner: Callable[..., JobRunner]) -> None:
    """Fails without _refuses in _may_resume: the worker would stay paused although it can serve other runs."""
    with ScriptedEndpoint(serving_only("new")) as endpoint:
        supervisor = runner("w", endpoint=endpoint.base_url).supervisor
        assert supervisor is not None
        supervisor.trip("the endpoint was down", model="old")
        supervisor._tick()
        assert supervisor.circuit_breaker.reason == ""
        assert "does not exist" in supervisor.refusal("old")


def view(name: str, **fields: object) -> WorkerView:
    return WorkerView(name, 1.0, {"queues": ["generate"], **fields})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("seconds", "refused_by", "live", "ends"),
    [
        (61, ["a", "b"], [view("a"), view("b")], True),
        (59, ["a", "b"], [view("a"), view("b")], False),  # a server may be restarted with the right model
        (61, ["a"], [view("a"), view("b")], False),
        (61, ["a"], [view("a"), view("b", paused="down")], False),  # it has not been asked
        (61, ["a"], [view("a"), view("c", queues=["curate"])], True),
        (LIMIT_SECONDS + 1, ["a"], [view("a"), view("b", paused="down")], True),
    ],
)
def test_when_a_model_counts_as_served_by_nobody(
    seconds: float, refused_by: list[str], live: list[WorkerView], ends: bool
) -> None:
    refusals = Refusals(seconds, dict.fromkeys(refused_by, (1.0, "no such model")))
    assert bool(served_by_nobody(refusals, live, grace=60)) is ends


def test_an_old_refusal_does_not_count() -> None:
    """The worker did not refuse again: it was not asked, or it serves the model now."""
    assert served_by_nobody(Refusals(500, {"a": (499.0, "no"), "b": (1.0, "no")}), [view("a")], grace=60) == ""


def test_old_refusals_do_not_shorten_the_grace_of_new_ones(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails without FORGET_SECONDS: a server that was away for a minute last week would fail today's jobs at once."""
    ledger.refusals.add("r", "old", "no")
    time.sleep(0.1)
    assert ledger.refusals.add("r", "new", "no").seconds >= 0.1
    monkeypatch.setattr("config.ledger.refusals.FORGET_SECONDS", 0.05)
    time.sleep(0.1)
    found = ledger.refusals.add("r", "new", "no")
    assert (found.seconds, list(found.by_worker)) == (0.0, ["new"])


def test_a_resubmitted_job_has_its_whole_grace(
    ledger: Ledger, runner: Callable[..., JobRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without KEYS[10] in resubmit.lua: the model was loaded, and the first refusal ends the job again."""
    monkeypatch.setattr("worker.fleet.wrong_model.CHECK_SECONDS", 0.0)
    spec = Spec(run_id="r", model="m", dataset_format="seed-text", train=False)
    (job,) = ledger.create(spec, prompts(1)).job_ids
    with ScriptedEndpoint(serving_only("else")) as endpoint:
        ending = runner("w", 0.01, endpoint=endpoint.base_url)
        ending.run("r", job)
        time.sleep(0.1)
        ending.run("r", job)
    assert ledger.jobs.view("r", job).failure is FailureKind.WRONG_MODEL
    ledger.jobs.resubmit("r", [job], train=False, evaluate=False)
    assert ledger.refusals.add("r", "w", "no").seconds == 0.0
