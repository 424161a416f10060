"""A full disk: a worker takes no jobs until its journal has everything that it made, and a stage names the place."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from config.journal import Journal, read
from config.ledger import Ledger
from config.records import JobState, JsonObject, Message, Spec, StageState, Trajectory
from config.settings import Settings
from config.topology import Stage
from tests.support.faults import PAGE, fill, resize
from tests.support.fleet import (
    PROBE,
    QUICK,
    RUN,
    all_terminal,
    answering,
    paused,
    prompts,
    question,
    submit,
    until,
)
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint
from tests.support.small_disk import small_disk
from tests.support.workers import start_worker_process
from worker.endpoint.supervisor import EndpointSupervisor
from worker.fleet.journals import unwritten
from worker.fleet.leases import Leases
from worker.stage_runner import StageRunner

JOBS = 8
LONG = " ".join(map(str, range(2 * PAGE // 4)))  # does not fit in what is left of a file's last page


def test_the_prompts_of_a_run_are_kept_when_there_is_room_again(ledger: Ledger, tmp_path: Path) -> None:
    """Fails without Journal._unkept: `recover` does not find a folder without run.json."""
    [job_id] = ledger.create(Spec(run_id=RUN), prompts(1)).job_ids
    made = Trajectory(run_id=RUN, job_id=job_id, prompt="question 1", outcome="completed")
    with small_disk(tmp_path / "disk") as disk:
        journal = Journal(disk / "journal", "w1")
        fill(disk)
        for write in (lambda: journal.add(made), lambda: journal.keep_run(ledger, ledger.run(RUN))):
            with pytest.raises(OSError, match="No space left on device"):
                write()
        assert read([disk / "journal"]) == []
        resize(disk)
        journal.catch_up(ledger)
        [entries] = read([disk / "journal"])
        assert (list(entries.trajectories([])), [prompt for _, prompt in entries.jobs]) == ([made], prompts(1))


def test_a_worker_takes_no_jobs_until_its_journal_is_written(ledger: Ledger, tmp_path: Path) -> None:
    """Fails without EndpointSupervisor.journal: a quota, or a disk without inodes, has gigabytes free."""
    made = Trajectory(run_id=RUN, job_id="000001-aaaaaaaa", prompt="question 1", outcome="completed")
    said: list[str] = []
    with small_disk(tmp_path / "disk") as disk, ScriptedEndpoint(answering()) as endpoint:
        journal = Journal(disk / "journal", "w1")
        supervisor = EndpointSupervisor(
            Settings(dir=disk, endpoint=endpoint.base_url, health_check_seconds=0.05),
            pause=said.append,
            resume=lambda: said.append("resumed"),
            min_free_bytes=0,
            journal=lambda: unwritten(journal, ledger),
        )
        fill(disk)
        with pytest.raises(OSError, match="No space left on device"):
            journal.add(made)
        supervisor.start()
        why = f"0 MB free in {str(disk)!r}: the journal cannot be written (No space left on device)"
        until(lambda: said == [why], "paused")
        resize(disk)
        until(lambda: said == [why, "resumed"], "resumed")
        supervisor.stop()
        assert (disk / "journal" / RUN / "w1.jsonl").read_text() == made.model_dump_json(exclude_defaults=True) + "\n"


def test_a_curation_on_a_full_disk_names_its_place_and_ends_when_there_is_room(ledger: Ledger, tmp_path: Path) -> None:
    """Fails without StageRunner._full_disk: "internal: OSError: [Errno 28] No space left on device"."""
    spec = Spec(run_id=RUN, dataset_format="seed-text", train=False)
    for number, job_id in enumerate(ledger.create(spec, prompts(2)).job_ids, 1):
        said = (Message(role="user", content=f"question {number}"), Message(role="assistant", content="a"))
        made = Trajectory(
            run_id=RUN, job_id=job_id, prompt=f"question {number}", requires_tools=False, messages=said,
            outcome="completed", finish_reasons=("stop",),
        )  # fmt: skip
        ledger.jobs.finish(made, worker="w")
    with small_disk(tmp_path / "disk") as disk:
        runner = StageRunner(ledger, Leases(ledger.fleet, lease_seconds=60), Settings(dir=disk), "w")
        fill(disk)
        runner.run(RUN, Stage.CURATE)
        view = ledger.stages.view(RUN, Stage.CURATE)
        room = f"0 MB free in {str(disk / 'runs' / RUN)!r}"
        assert view.error == (
            f"No space left on device; {room}: free some, then `applejack resubmit {RUN} --stage curate`"
        )
        assert view.state is StageState.FAILED
        assert not ledger.files.has(RUN, "dataset")
        assert list((disk / "runs" / RUN).iterdir()) == []  # nothing half-written is left
        resize(disk)
        assert ledger.stages.reopen(RUN, Stage.CURATE) == "ready"
        runner.run(RUN, Stage.CURATE)
        assert ledger.stages.view(RUN, Stage.CURATE).state is StageState.DONE
        assert ledger.files.has(RUN, "dataset")


def test_a_worker_with_a_full_disk_pauses_and_its_journal_misses_nothing(
    ledger: Ledger, redis_url: SecretStr, tmp_path: Path
) -> None:
    """Fails without Journal._unwritten: what was made while the disk was full is in no journal.

    The journal and the worker's log are both on the disk.
    """
    with small_disk(tmp_path / "disk") as disk:

        def reply(body: JsonObject) -> Reply:
            asked = question(body)
            if asked == "question 3":
                fill(disk)
            return Reply(text="answer" if asked == PROBE else LONG, stall=0.0 if asked == PROBE else 0.3)

        with ScriptedEndpoint(reply) as endpoint:
            env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
            worker = start_worker_process("generate", "w1", url=redis_url, folder=disk, env=env)
            try:
                submit(ledger, redis_url, prompts(JOBS))
                until(lambda: paused(ledger, "w1@test").startswith(f"0 MB free in {str(disk)!r}"), "paused")
                until(lambda: ledger.jobs.counts(RUN)[JobState.RUNNING] == 0, "its jobs have ended")
                counts = ledger.jobs.counts(RUN)
                assert counts[JobState.FAILED] == 0
                assert counts[JobState.QUEUED] > 0
                assert counts[JobState.GENERATED] > len(journaled(disk))
                resize(disk)
                assert all_terminal(ledger)[JobState.GENERATED] == JOBS
                assert worker.child.exit_code is None
            finally:
                worker.child.kill()
        assert journaled(disk) == sorted(ledger.jobs.ids(RUN))
        assert '"worker.resumed"' in (disk / "w1.log").read_text()


def journaled(disk: Path) -> list[str]:
    """The job ids of the trajectories in the journals."""
    broken: list[str] = []
    found = [made.job_id for entries in read([disk / "journal"]) for made in entries.trajectories(broken)]
    assert broken == []
    return sorted(found)
