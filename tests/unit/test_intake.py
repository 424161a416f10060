"""What a worker takes while a person asks something of it, without a broker."""

from dataclasses import dataclass, field

import pytest
from celery import Celery

from config.records import WorkerControl
from worker.fleet.intake import Intake

GO, PAUSED, DRAINING = WorkerControl.GO, WorkerControl.PAUSED, WorkerControl.DRAINING


@dataclass
class Consuming:
    """Celery's consumer of one worker, and its broadcasts."""

    hostname: str = "mac@one"
    queues: set[str] = field(default_factory=lambda: {"curate", "train"})
    deaf: bool = False
    drained: int = 0

    @property
    def task_consumer(self) -> "Consuming":
        return self

    def consuming_from(self, queue: str) -> bool:
        return queue in self.queues

    def cancel_task_queue(self, queue: str) -> None:
        self.queues.discard(queue)

    def cancel_consumer(self, queue: str, destination: list[str]) -> None:
        assert destination == [self.hostname]
        if not self.deaf:
            self.queues.discard(queue)

    def add_consumer(self, queue: str, destination: list[str]) -> None:
        assert destination == [self.hostname]
        if not self.deaf:
            self.queues.add(queue)

    def drain(self) -> None:
        self.drained += 1


@pytest.fixture
def celery() -> Consuming:
    return Consuming()


def intake_of(celery: Consuming, monkeypatch: pytest.MonkeyPatch, control: WorkerControl | None = GO) -> Intake:
    app = Celery(set_as_current=False)
    monkeypatch.setattr(app, "control", celery)
    intake = Intake(app, ended=lambda: celery.drained > 0, drain=celery.drain)
    queues = sorted(celery.queues)
    intake.start(celery, queues, control, [intake.consumer(queue) for queue in queues])
    return intake


def test_a_paused_worker_takes_nothing_until_it_is_resumed(celery: Consuming, monkeypatch: pytest.MonkeyPatch) -> None:
    intake = intake_of(celery, monkeypatch)
    assert (intake.reason, celery.queues) == ("", {"curate", "train"})
    intake.obey(PAUSED, holds=1)
    assert celery.queues == set()
    assert intake.reason == "paused by a person; `applejack worker resume mac@one` lets it go on"
    intake.obey(GO, holds=0)
    assert (intake.reason, celery.queues, celery.drained) == ("", {"curate", "train"}, 0)


def test_a_request_that_was_not_heard_is_repeated(celery: Consuming, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails without Consumer.reconcile in Intake.obey."""
    intake = intake_of(celery, monkeypatch)
    celery.deaf = True
    intake.obey(PAUSED, holds=0)
    assert celery.queues == {"curate", "train"}
    celery.deaf = False
    intake.obey(PAUSED, holds=0)
    assert celery.queues == set()


def test_a_draining_worker_ends_once_with_its_last_work(celery: Consuming, monkeypatch: pytest.MonkeyPatch) -> None:
    intake = intake_of(celery, monkeypatch)
    intake.obey(DRAINING, holds=1)
    assert (celery.queues, celery.drained) == (set(), 0)
    intake.obey(DRAINING, holds=0)
    intake.obey(DRAINING, holds=0)
    assert celery.drained == 1


@pytest.mark.parametrize("control", [PAUSED, DRAINING])
def test_a_worker_that_starts_while_it_is_held_takes_nothing(
    control: WorkerControl, celery: Consuming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without cancel_task_queue in Intake.start, and, of a drained one, without `_drained`: launchd would start
    it again and again."""
    intake = intake_of(celery, monkeypatch, control)
    assert celery.queues == set()
    intake.obey(control, holds=0)
    assert celery.drained == 0
    assert "`applejack worker resume mac@one`" in intake.reason
    intake.obey(GO, holds=0)
    assert celery.queues == {"curate", "train"}
    intake.obey(DRAINING, holds=0)
    assert celery.drained == 1  # asked again, of this process


def test_a_worker_that_cannot_read_the_ledger_takes_nothing_before_it_can(
    celery: Consuming, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = intake_of(celery, monkeypatch, None)
    assert (celery.queues, intake.reason) == (set(), "the ledger was unavailable when this worker started")
    intake.obey(DRAINING, holds=0)
    assert (celery.queues, celery.drained) == (set(), 0)
    intake.obey(GO, holds=0)
    assert celery.queues == {"curate", "train"}
