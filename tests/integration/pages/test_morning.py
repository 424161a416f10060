"""A night with four faults, and the morning after it: every step shows what the ledger holds."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from config.errors import FailureKind
from config.records import JobState
from producer.run_status import RunStatus, status
from tests.support.flower_site import Site, flower_site
from tests.support.night.endpoint import LOOPS
from tests.support.night.images import shrink
from tests.support.night.morning import AGAIN, Seen, in_the_terminal, morning
from tests.support.night.night import MODEL, RUN, WRONG_MODEL, Night, night

JOBS = 60
JOB_SECONDS = 20.0  # limit of one job
PATIENCE = 150.0  # seconds for the night on a busy machine
IMAGES = os.environ.get("TEST_IMAGES", "")  # a folder for the screenshots: docs/images
WITH_IMAGE = ("runs", "run", "fleet", "job", "dialog", "resubmitted", "ended")

pytestmark = pytest.mark.timeout(400)  # a night, and a morning after it


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    with night(tmp_path_factory.mktemp("night"), gpu_host=False, stalls_every=4) as made:
        made.submit(JOBS, job_seconds=JOB_SECONDS)
        made.pass_until(made.is_over, patience=PATIENCE)
        yield made


@pytest.fixture(scope="module")
def flower(ended: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with flower_site(tmp_path_factory.mktemp("flower"), ended.server.url) as started:
        yield started


def test_the_morning_shows_what_the_ledger_holds(ended: Night, flower: Site, browser: Browser, tmp_path: Path) -> None:
    before = status(ended.ledger, RUN)
    assert before.generated + before.failed == JOBS  # such a night loses nothing
    assert before.by_worker.get("mac-four@test", {}).get(JobState.GENERATED.value, 0) == 0
    terminal(list(in_the_terminal(ended, flower)), before)
    images = Path(IMAGES) if IMAGES else tmp_path
    with closing(morning(ended, flower, browser, images)) as seen:  # its window closes before the browser does
        look(seen, before)
        assert status(ended.ledger, RUN).kinds == before.kinds  # looking changes nothing
        act(seen, ended, before)
    assert all((images / f"morning-{name}.png").read_bytes().startswith(b"\x89PNG") for name in WITH_IMAGE)
    if IMAGES:
        assert max(shrink(images / f"morning-{name}.png") for name in WITH_IMAGE) < 150_000


def terminal(seen: list[Seen], before: RunStatus) -> None:
    told, dry = seen
    lines(told, f"{before.kept} of {JOBS} jobs kept", "1 worker does not serve teacher-30b", "on mac-four@test")
    for kind, count in before.kinds.items():
        lines(told, f"{count}  {kind}", f"applejack resubmit {RUN} --kind {kind}")
    lines(dry, f"{before.kinds[AGAIN]}")
    assert all(len(line) <= 100 for line in told.words.splitlines())


def look(seen: Iterator[Seen], before: RunStatus) -> None:
    """Runs, Run, Fleet, Jobs and Job."""
    lines(next(seen), RUN, "done", f"{JOBS} of {JOBS}", f"{before.kept}", "1 with another model than a run requests")
    run = next(seen)
    lines(
        run, f"{before.kept} of {JOBS} jobs kept, {before.failed} failed.", f"{before.failed} of {JOBS} finished jobs"
    )
    lines(run, f"{before.kept} kept, {before.rejected} rejected")
    for cause, count in {**before.kinds, **before.reasons}.items():
        assert re.search(rf"\b{cause}\s+{count}\s", run.words), (cause, count, run.words)
    lines(next(seen), "wrong model for a run", f"does not serve {MODEL}", WRONG_MODEL, "What to do: Load the model")
    loops = before.kinds[FailureKind.REQUEST_LIMIT.value]
    lines(next(seen), f"{loops} of {JOBS} jobs with cause request_limit", LOOPS)
    lines(next(seen), LOOPS, "failed", "request_limit", "list_dir", "1 of ")


def act(seen: Iterator[Seen], ended: Night, before: RunStatus) -> None:
    """Repair the Mac, run a cause again, and watch it."""
    repaired = next(seen)
    assert "The next job that needs this one asks for it again" in repaired.words
    again = before.kinds[AGAIN]
    lines(next(seen), f"Resubmit {again} job", "The mix of categories", "version 2 of its dataset")
    assert status(ended.ledger, RUN).version == 1
    lines(next(seen), "generating")
    assert status(ended.ledger, RUN).version == 2
    after = next(seen)
    now = status(ended.ledger, RUN)
    assert now.generated + now.failed == JOBS
    assert now.kept is not None
    assert now.kept > (before.kept or 0)
    lines(after, f"{now.kept} of {JOBS} jobs kept", f"{again} job", "resubmitted")


def lines(seen: Seen, *expected: str) -> None:
    for words in expected:
        assert words in seen.words, f"{seen.step} lacks {words!r}:\n{seen.words}"
