"""The trajectory of a job that never had a rollout."""

from config.ledger.jobs import Claim
from config.records import Failure, Prompt, Spec, Trajectory


def never_rolled(spec: Spec, prompt: Prompt, claim: Claim, failure: Failure) -> Trajectory:
    """A failed trajectory without messages."""
    return Trajectory(
        run_id=claim.run_id,
        job_id=claim.job_id,
        attempt=claim.attempt,
        **prompt.model_dump(exclude={"workspace"}),
        system_prompt=spec.system_prompt,
        outcome="failed",
        failure=failure,
    )
