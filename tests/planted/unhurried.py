"""A worker whose rollouts take a while, so that faults find jobs in its hands; a run named calm is not slowed."""

import os
import time

from config.ledger import RunView
from config.ledger.jobs import Claim
from config.records import Trajectory
from worker import app as composed

SECONDS = float(os.environ.get("TEST_JOB_SECONDS", "0.5"))

steps = composed.worker.steps
roll = steps._roll


def roll_slowly(run: RunView, claim: Claim) -> Trajectory:
    trajectory = roll(run, claim)
    if claim.run_id != "calm":
        time.sleep(SECONDS)
    return trajectory


steps._roll = roll_slowly  # type: ignore[method-assign]
app = composed.app
