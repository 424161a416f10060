"""A worker whose rollouts take a while, so that faults find jobs in its hands; a run named calm is not slowed.

With APPLEJACK_SERVE it supervises a server of the scripted teacher in the place of mlx_lm's.
"""

import os
import time

from config.ledger import RunView
from config.ledger.jobs import Claim
from config.records import Trajectory
from worker import app as composed
from worker.endpoint import model_server
from worker.fleet.leases import Lease

SECONDS = float(os.environ.get("TEST_JOB_SECONDS", "0.5"))

model_server.CHILD = "tests.support.planted.scripted_server"
runner = composed.worker.jobs
generate = runner._generate


def generate_slowly(run: RunView, claim: Claim, lease: Lease) -> Trajectory | None:
    ends = time.monotonic() + SECONDS
    trajectory = generate(run, claim, lease)
    if claim.run_id != "calm":
        time.sleep(max(0.0, ends - time.monotonic()))
    return trajectory


runner._generate = generate_slowly  # type: ignore[method-assign]
app = composed.app
