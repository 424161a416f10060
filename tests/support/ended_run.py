"""A run that has ended, made in the ledger without workers."""

from config.ledger import Judged, Ledger
from config.ledger.stages import StageClaim
from config.records import Prompt, Spec, Trajectory, Verdict
from config.topology import Stage


def ended_run(ledger: Ledger, run_id: str) -> tuple[str, ...]:
    """Three completed jobs, the first of them in a second attempt, curated; their ids."""
    spec = Spec(run_id=run_id, train=False)
    ids = ledger.create(spec, [Prompt(prompt=f"q{number}") for number in range(3)]).job_ids
    for attempt in (1, 2):
        for job_id in ids if attempt == 1 else ids[:1]:
            ledger.jobs.begin(run_id, job_id, worker="w", lease_seconds=9, delivery_limit=3)
            told = Trajectory(run_id=run_id, job_id=job_id, attempt=attempt, prompt="q", outcome="completed")
            ledger.jobs.finish(told, worker="w")
        if attempt == 1:
            ledger.jobs.resubmit(run_id, ids[:1], train=False, evaluate=False)
    claim = ledger.stages.begin(run_id, Stage.CURATE, worker="w", lease_seconds=9)
    assert isinstance(claim, StageClaim)
    judged = Judged(ledger.run(run_id).version, ledger.fleet.now())
    ledger.set_verdicts(run_id, [Verdict(job_id=job_id) for job_id in ids], judged=judged)
    ledger.stages.finish(claim, result={"kept": 3})
    return ids
