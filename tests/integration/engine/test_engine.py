"""pytest-celery's own components, unmodified, on the engine of the test run."""

import pytest
from celery.result import AsyncResult
from pytest_celery import RESULT_TIMEOUT, CeleryTestSetup
from pytest_celery.vendors.worker.tasks import identity


def ask(setup: CeleryTestSetup, value: str) -> AsyncResult:
    # By name on the setup's own application: shared tasks go by the current one, which may be an earlier test's.
    return setup.app.send_task(identity.name, (value,), queue=setup.worker.worker_queue)


def test_setup_is_ready_and_computes(celery_setup: CeleryTestSetup) -> None:
    assert celery_setup.ready(ping=True, control=True, docker=True)
    assert ask(celery_setup, "here").get(timeout=RESULT_TIMEOUT) == "here"


@pytest.mark.parametrize("force", [True, False])
def test_restarted_worker_takes_what_was_queued_meanwhile(celery_setup: CeleryTestSetup, force: bool) -> None:
    celery_setup.worker.kill()
    assert celery_setup.worker.container.status == "exited"
    waiting = ask(celery_setup, "queued")
    celery_setup.worker.restart(force=force)
    assert waiting.get(timeout=RESULT_TIMEOUT) == "queued"


def test_broker_that_was_killed_is_found_again(celery_setup: CeleryTestSetup) -> None:
    celery_setup.broker.kill()
    celery_setup.broker.restart()
    assert ask(celery_setup, "back").get(timeout=RESULT_TIMEOUT) == "back"
