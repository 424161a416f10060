"""Reading all prompts and verdicts of a run in parts."""

from config.ledger import Ledger
from config.records import JobState, Prompt, Spec, Verdict

JOBS = 2500  # more than two parts


def test_prompts_and_verdicts_are_read_in_parts_that_hold_each_job(ledger: Ledger) -> None:
    prompts = [Prompt(prompt=f"question {number}", category="counting") for number in range(JOBS)]
    ids = ledger.create(Spec(run_id="r", train=False), prompts).job_ids
    ledger.set_verdicts("r", [Verdict(job_id=job_id, split="train", rows=(1,)) for job_id in ids])
    parts = list(ledger.jobs.scan_prompts("r"))
    assert len(parts) > 1
    assert {job_id: prompt for part in parts for job_id, prompt in part.items()} == dict(zip(ids, prompts, strict=True))
    verdicts = {job_id: verdict for part in ledger.jobs.scan_verdicts("r") for job_id, verdict in part.items()}
    assert verdicts == ledger.verdicts("r")


def test_a_run_without_verdicts_yields_none(ledger: Ledger) -> None:
    ledger.create(Spec(run_id="r", train=False), [Prompt(prompt="question")])
    assert [part for part in ledger.jobs.scan_verdicts("r") if part] == []


def test_a_row_has_the_time_of_the_last_change_by_a_worker(ledger: Ledger) -> None:
    ids = ledger.create(Spec(run_id="r", train=False), [Prompt(prompt="one"), Prompt(prompt="two")]).job_ids
    before = ledger.fleet.now()
    ledger.jobs.begin("r", ids[0], worker="w", lease_seconds=9, delivery_limit=3)
    [running, queued] = ledger.jobs.rows("r", ids)
    assert running.state is JobState.RUNNING
    assert running.changed is not None
    assert abs(running.changed - before) < 5  # the row has whole milliseconds
    assert queued.changed is None
