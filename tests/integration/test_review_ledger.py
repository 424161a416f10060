"""The counts of a run's review page are the ledger's, in whatever state the run is."""

import time
from collections import Counter
from pathlib import Path

from config.errors import FailureKind, RejectionReason
from config.ledger import Judged, Ledger
from config.ledger.stages import StageClaim
from config.records import Failure, Finding, JobState, Message, Prompt, Spec, Trajectory, Verdict
from config.review_file import ReviewHead, ReviewLine
from config.topology import Stage
from producer.control import cancel, resume
from producer.review import write_review_file
from tests.unit.test_review import Page
from worker.cli.review_run import write_run_page

RUN = "night"
FAILURE = Failure(kind=FailureKind.TIMEOUT, message="no answer within 300 s")


def new_run(ledger: Ledger, jobs: int) -> tuple[str, ...]:
    return ledger.create(Spec(run_id=RUN, train=False), [Prompt(prompt=f"q{n}") for n in range(jobs)]).job_ids


def finish(ledger: Ledger, job_id: str, attempt: int = 1, *, failed: bool = False) -> None:
    """The answer names its attempt. No attempt ends in the millisecond in which its job was submitted."""
    time.sleep(0.002)
    ledger.jobs.begin(RUN, job_id, worker="w", lease_seconds=9, delivery_limit=3)
    messages = (Message(role="user", content="q"), Message(role="assistant", content=f"attempt {attempt} of {job_id}"))
    made = Trajectory(run_id=RUN, job_id=job_id, attempt=attempt, prompt="q", outcome="completed", messages=messages)
    if failed:
        made = made.model_copy(update={"outcome": "failed", "failure": FAILURE, "messages": ()})
    assert ledger.jobs.finish(made, worker="w") in {"stored", "last"}


def curated(ledger: Ledger, rejected: dict[str, RejectionReason], *, recorded: bool = True) -> None:
    """The curation of all finished jobs, as a worker stores it; `recorded`: as this version does."""
    claim = ledger.stages.begin(RUN, Stage.CURATE, worker="w", lease_seconds=9)
    assert isinstance(claim, StageClaim)
    judged = Judged(ledger.run(RUN).version, ledger.fleet.now()) if recorded else None
    verdicts = []
    for one in ledger.jobs.trajectories(RUN):
        reason = RejectionReason.FAILED_GENERATION if one.failure else rejected.get(one.job_id)
        findings = (Finding(reason=reason, detail=f"found in attempt {one.attempt}"),) if reason else ()
        verdicts.append(Verdict(job_id=one.job_id, findings=findings))
    ledger.set_verdicts(RUN, verdicts, judged=judged)
    kept = sum(verdict.kept for verdict in verdicts)
    ledger.stages.finish(claim, result={"kept": kept, "rejected": len(verdicts) - kept})


def reviewed(ledger: Ledger, folder: Path, most: int = 0) -> tuple[ReviewHead, list[ReviewLine]]:
    """The review file of the run; the page made from it has the same counts."""
    head = write_review_file(ledger, RUN, folder / "review.jsonl", most=most)
    first, *lines = (folder / "review.jsonl").read_text().splitlines()
    assert ReviewHead.model_validate_json(first) == head
    read = [ReviewLine.model_validate_json(line) for line in lines]
    write_run_page(folder / "review.jsonl", folder / "page.html", as_json=False)
    (index,) = Page((folder / "page.html").read_text()).data["index"]
    assert isinstance(index, dict)
    shown = Counter(item.get("side") or ("rejected" if item["reasons"] else "kept") for item in index["items"])
    assert shown == Counter(line.side for line in read)
    assert index["head"]["counts"] == {"kept": head.kept, "rejected": head.rejected, "open": head.open}
    return head, read


def ledgers_counts(ledger: Ledger) -> tuple[dict[str, int], int, int, dict[str, int]]:
    """Jobs per state, kept and rejected verdicts, jobs per reason: read in another way than the page does."""
    verdicts = ledger.verdicts(RUN).values()
    kept = sum(verdict.kept for verdict in verdicts)
    reasons = Counter(reason.value for verdict in verdicts for reason in verdict.reasons)
    return {s.value: n for s, n in ledger.jobs.counts(RUN).items()}, kept, len(verdicts) - kept, dict(reasons)


def test_a_superseded_attempt_is_not_shown_after_a_resubmission(ledger: Ledger, tmp_path: Path) -> None:
    ids = new_run(ledger, 8)
    for job_id in ids:
        finish(ledger, job_id, failed=job_id in ids[:2])
    curated(ledger, {ids[2]: RejectionReason.WRONG_ANSWER})
    ledger.jobs.resubmit(RUN, ids[:3], train=False, evaluate=False)
    for job_id in ids[:3]:
        finish(ledger, job_id, 2, failed=job_id == ids[0])
    curated(ledger, {})
    head, lines = reviewed(ledger, tmp_path)
    states, kept, rejected, reasons = ledgers_counts(ledger)
    assert (head.states, head.kept, head.rejected, head.reasons) == (states, kept, rejected, reasons)
    assert (head.open, head.again, head.notes) == (0, 0, ())
    assert {line.trajectory.job_id: line.trajectory.attempt for line in lines} == {
        job_id: 2 if job_id in ids[:3] else 1 for job_id in ids
    }
    failed = [line for line in lines if line.trajectory.failure]
    assert [line.side for line in failed] == ["rejected"]


def test_a_job_that_runs_again_is_neither_kept_nor_rejected(ledger: Ledger, tmp_path: Path) -> None:
    ids = new_run(ledger, 6)
    for job_id in ids:
        finish(ledger, job_id)
    curated(ledger, {ids[5]: RejectionReason.EMPTY_ANSWER})
    ledger.jobs.resubmit(RUN, [ids[0], ids[1], ids[5]], train=False, evaluate=False)
    finish(ledger, ids[0], 2)
    finish(ledger, ids[5], 2, failed=True)
    head, lines = reviewed(ledger, tmp_path)
    _, kept, rejected, _ = ledgers_counts(ledger)  # the verdicts of version 1
    assert (kept, rejected) == (5, 1)
    assert (head.version, head.judged_version) == (2, 1)
    assert (head.kept, head.rejected, head.open, head.again) == (3, 0, 2, 3)
    assert head.notes[0] == "The verdicts are of version 1 (5 kept, 1 rejected); the run is at version 2."
    assert "Submitted again since: 3 jobs" in head.notes[1]
    assert "2 finished and have no verdict yet, 1 did not finish yet" in head.notes[1]
    shown = {line.trajectory.job_id: line for line in lines}
    assert ids[1] not in shown  # it has no current trajectory
    assert (shown[ids[0]].side, shown[ids[0]].trajectory.attempt, shown[ids[0]].verdict) == ("open", 2, None)
    assert (shown[ids[5]].side, shown[ids[5]].why) == ("open", "failed: timeout")


def test_the_verdicts_of_a_worker_that_does_not_record_its_curation_are_told_apart(
    ledger: Ledger, tmp_path: Path
) -> None:
    ids = new_run(ledger, 3)
    for job_id in ids:
        finish(ledger, job_id)
    curated(ledger, {}, recorded=False)
    assert reviewed(ledger, tmp_path)[0].kept == 3
    ledger.jobs.resubmit(RUN, ids[:1], train=False, evaluate=False)
    finish(ledger, ids[0], 2)
    head, _ = reviewed(ledger, tmp_path)
    assert (head.kept, head.open, head.again, head.judged_version) == (2, 1, 1, 1)


def test_a_run_without_verdicts_shows_what_failed(ledger: Ledger, tmp_path: Path) -> None:
    ids = new_run(ledger, 5)
    finish(ledger, ids[0], failed=True)
    finish(ledger, ids[1])
    head, lines = reviewed(ledger, tmp_path)
    assert head.states == {state.value: n for state, n in ledger.jobs.counts(RUN).items()}
    assert (head.kept, head.rejected, head.open, head.judged_version) == (0, 0, 2, None)
    assert head.failures == {"timeout": 1}
    assert head.notes == (
        "There are no verdicts yet: 2 of 5 jobs finished, 1 of them failed; curation follows the last one.",
    )
    assert {line.why for line in lines} == {"failed: timeout", "not judged yet"}
    assert "kept" not in head.totals


def test_cancelled_jobs_are_counted_as_cancelled(ledger: Ledger, tmp_path: Path) -> None:
    ids = new_run(ledger, 4)
    for job_id in ids[:2]:
        finish(ledger, job_id)
    cancel(ledger, RUN)
    head, _ = reviewed(ledger, tmp_path)
    assert (head.states["cancelled"], head.open) == (2, 2)
    assert any("2 jobs cancelled; `applejack resume night`" in note for note in head.notes)
    resume(ledger, RUN, without_cancelled=True)
    curated(ledger, {ids[1]: RejectionReason.WRONG_ANSWER})
    head, _ = reviewed(ledger, tmp_path)
    states, kept, rejected, reasons = ledgers_counts(ledger)
    assert (head.states, head.kept, head.rejected, head.reasons) == (states, kept, rejected, reasons)
    assert sum(head.states.values()) == 4


def test_the_page_of_a_big_run_holds_a_sample_of_each_reason(ledger: Ledger, tmp_path: Path) -> None:
    ids = new_run(ledger, 60)
    for job_id in ids:
        finish(ledger, job_id)
    rare = RejectionReason.LEAKED_TOOL_CALL
    curated(ledger, dict.fromkeys(ids[:30], RejectionReason.WRONG_ANSWER) | {ids[3]: rare})
    head, lines = reviewed(ledger, tmp_path, most=5)
    assert (head.kept, head.rejected, head.shown) == (30, 30, 11)
    assert Counter(line.side for line in lines) == {"kept": 5, "rejected": 6}
    assert head.reasons == {"wrong_answer": 29, "leaked_tool_call": 1}
    assert any(line.verdict and line.verdict.reasons == (rare,) for line in lines)
    assert "The page holds 11 of 60 trajectories" in head.notes[0]
    assert [line.trajectory.job_id for line in lines] == sorted(line.trajectory.job_id for line in lines)
    assert len(ledger.jobs.ids(RUN, JobState.GENERATED)) == 60
