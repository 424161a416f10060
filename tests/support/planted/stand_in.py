"""A worker that makes nothing up and asks nobody: its rollouts are a short stand-in, everything around them is real."""

from config.ledger import RunView
from config.ledger.jobs import Claim
from config.records import Message, Provenance, Trajectory
from worker import app as composed
from worker.fleet.leases import Lease

runner = composed.worker.jobs
MADE = Provenance(teacher="stand-in", endpoint="none", worker="stand-in", applejack_version="0", toolset_digest="none")


def stand_in(_: RunView, claim: Claim, __: Lease) -> Trajectory:
    question, answer = f"What is job {claim.job_id}?", f"It is one of many, the one called {claim.job_id}."
    return Trajectory(
        run_id=claim.run_id,
        job_id=claim.job_id,
        attempt=claim.attempt,
        prompt=question,
        requires_tools=False,
        messages=(Message(role="user", content=question), Message(role="assistant", content=answer)),
        finish_reasons=("stop",),
        outcome="completed",
        provenance=MADE,
    )


runner._generate = stand_in  # type: ignore[method-assign]
app = composed.app
