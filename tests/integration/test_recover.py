"""A lost ledger is rebuilt from the journals of any workers, and the same dataset comes out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import FailureKind, StoreError, UsageError
from config.journal import Journal, read
from config.ledger import Ledger
from config.ledger.jobs import Claim
from config.ledger.store import ledger_client
from config.records import Failure, JobState, Prompt, Spec, StageState, Trajectory
from config.topology import Stage, run_key
from producer.recover import recover
from tests.integration.conftest import StartWorker
from tests.support.fleet import QUICK, RUN, answering, prompts, submit, until
from tests.support.scripted_endpoint import ScriptedEndpoint
from tests.support.workers import ROOT, WorkerProcess

JOBS = 12
SPEC = Spec(run_id=RUN)
PROMPTS = [Prompt(prompt=f"question {number}", requires_tools=False) for number in range(3)]
APPLEJACK = [sys.executable, "-P", "-c", "from producer.cli import main; main()"]


def quiet(_: str) -> None:
    """Progress that no test reads."""


def made(job_id: str, answer: str = "yes", *, attempt: int = 1, failure: Failure | None = None) -> Trajectory:
    return Trajectory(
        run_id=RUN, job_id=job_id, attempt=attempt, prompt=answer, outcome="failed" if failure else "completed",
        failure=failure,
    )  # fmt: skip


def dataset(ledger: Ledger, folder: Path) -> dict[str, bytes]:
    """The rows of the curated dataset."""
    until(lambda: ledger.stages.view(RUN, Stage.CURATE).state is StageState.DONE, "curation")
    ledger.files.get(RUN, "dataset", folder)
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.jsonl"))}


@pytest.mark.timeout(180)
def test_the_same_dataset_comes_out_after_redis_lost_everything(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker, tmp_path: Path
) -> None:
    client = ledger_client(redis_url.get_secret_value())
    with ScriptedEndpoint(answering(0.05)) as endpoint:

        def start(name: str, queues: str = "generate") -> WorkerProcess:
            env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url, "APPLEJACK_DIR": str(tmp_path / name)}
            return start_worker(queues, name, env=env, wait=False)

        workers = [start("one"), start("two"), start("gpu", "curate")]
        until(lambda: len(ledger.fleet.workers()) == 3, "the workers")
        submit(ledger, redis_url, prompts(JOBS))
        before = dataset(ledger, tmp_path / "before")
        folders = [tmp_path / name / "journal" for name in ("one", "two")]
        each = [len(list(entries.trajectories([]))) for folder in folders for entries in read([folder])]
        assert (len(each), sum(each)) == (2, JOBS)
        # everything is lost, and so is one worker's disk
        client.flushall()
        until(lambda: len(ledger.fleet.workers()) == 3, "the workers")
        [found] = recover(ledger, folders[:1], tell=quiet)
        assert (found.created, found.restored, found.missing) == (True, each[0], JOBS - each[0])
        assert dataset(ledger, tmp_path / "after") == before
        # a newer journal finds everything there
        [again] = recover(ledger, folders, tell=quiet)
        assert (again.restored, again.missing) == (0, 0)
    assert all(worker.child.exit_code is None for worker in workers)


def test_an_older_snapshot_gets_the_later_attempts(ledger: Ledger, tmp_path: Path) -> None:
    """Without the comparison of attempts in restore.lua, the failed first attempt would stand."""
    job_ids = ledger.create(SPEC, PROMPTS).job_ids
    journal, run = Journal(tmp_path / "journal", "w1"), ledger.run(RUN)
    journal.keep_run(ledger, run)
    failed = made(job_ids[0], failure=Failure(kind=FailureKind.TIMEOUT, message="late"))
    for trajectory in (failed, made(job_ids[0], "second", attempt=2), made(job_ids[1])):
        journal.add(trajectory)
    ledger.jobs.finish(failed, worker="w1")  # what the snapshot had
    [found] = recover(ledger, [tmp_path / "journal"], tell=quiet)
    assert (found.created, found.restored, found.missing, found.unknown) == (False, 2, 1, 0)
    view = ledger.jobs.view(RUN, job_ids[0])
    assert (view.state, view.attempt, view.failure) == (JobState.GENERATED, 2, None)
    assert ledger.jobs.failure_counts(RUN) == {}
    current = {one.job_id: one.prompt for one in ledger.jobs.trajectories(RUN)}
    assert current == {job_ids[0]: "second", job_ids[1]: "yes"}
    assert ledger.jobs.finish(made(job_ids[2]), worker="w1") == "last"


def test_doubled_and_unreadable_entries_change_nothing(ledger: Ledger, tmp_path: Path) -> None:
    job_ids = ledger.create(SPEC, PROMPTS).job_ids
    first, second = (Journal(tmp_path / name, name) for name in ("one", "two"))
    for journal in (first, second):
        journal.keep_run(ledger, ledger.run(RUN))
    first.add(made(job_ids[0], "first"))
    second.add(made(job_ids[0], "too late"))
    second.drop(made(job_ids[0], "too late"))  # the ledger had refused it
    first.add(made("000009-00000000"))
    with (tmp_path / "one" / RUN / "one.jsonl").open("ab") as file:
        file.write(b'{"run_id": "r", "job_id": "0000')  # the power went
    ledger.remove(RUN)
    [found] = recover(ledger, [tmp_path / "two", tmp_path / "one"], tell=quiet)
    assert (found.restored, found.unknown, found.missing) == (1, 1, 2)
    assert found.broken == (f"{tmp_path / 'one' / RUN / 'one.jsonl'}:3",)
    assert [one.prompt for one in ledger.jobs.trajectories(RUN)] == ["first"]


def test_a_recovery_that_was_interrupted_is_ended_by_the_next_one(ledger: Ledger, tmp_path: Path) -> None:
    """Fails without `restoring` in restore.lua: nothing is left to put back, and curation waits for ever."""
    job_ids = ledger.create(SPEC, PROMPTS).job_ids
    journal = Journal(tmp_path, "w1")
    journal.keep_run(ledger, ledger.run(RUN))
    for job_id in job_ids:
        journal.add(made(job_id))
        ledger.restoration.put(made(job_id), worker="w1")  # by a recovery that was killed then
    [found] = recover(ledger, [tmp_path], tell=quiet)
    assert (found.restored, found.missing) == (0, 0)
    assert ledger.stages.view(RUN, Stage.CURATE).state is StageState.READY
    history = ledger.run(RUN).history
    recover(ledger, [tmp_path], tell=quiet)
    assert ledger.run(RUN).history == history


def test_a_run_that_was_lost_during_its_recovery_can_be_recovered(
    ledger: Ledger, redis_url: SecretStr, tmp_path: Path
) -> None:
    """An older state of Redis may hold a half written run, into which workers and an earlier recovery still write.

    Fails without the look for the fingerprint in restore.lua and restored.lua (the run could never be made again: "took
    too long to write"), and without Ledger._clear (a job is in two states, and curation waits for ever).
    """
    first, second, third = job_ids = ledger.create(SPEC, PROMPTS).job_ids
    journal = Journal(tmp_path, "w1")
    journal.keep_run(ledger, ledger.run(RUN))
    journal.add(made(second))
    ledger_client(redis_url.get_secret_value()).flushall()
    ledger._write_prompts(RUN, list(zip(job_ids, PROMPTS, strict=True))[:2])
    assert ledger.jobs.finish(made(first), worker="w") == "stored"  # begun before the loss
    with pytest.raises(StoreError, match="has lost run 'r' again"):  # of the recovery that was under way
        ledger.restoration.put(made(second), worker="w")
    with pytest.raises(StoreError, match="has lost run 'r' again"):
        ledger.restoration.end(SPEC, restored=1)
    [found] = recover(ledger, [tmp_path], tell=quiet)
    assert (found.created, found.restored, found.missing) == (True, 1, 2)
    assert ledger.jobs.counts(RUN) == {**dict.fromkeys(JobState, 0), JobState.QUEUED: 2, JobState.GENERATED: 1}
    for job in (first, third):
        assert isinstance(ledger.jobs.begin(RUN, job, worker="w", lease_seconds=9, delivery_limit=3), Claim)
        ledger.jobs.finish(made(job), worker="w")
    assert ledger.stages.view(RUN, Stage.CURATE).state is StageState.READY


def test_an_unreadable_prompt_keeps_only_itself_out_of_the_journal(ledger: Ledger, tmp_path: Path) -> None:
    """Fails without Jobs.readable_prompts: the journal then has no prompts at all, and recover finds no run."""
    client, job_ids = ledger._redis, ledger.create(SPEC, PROMPTS).job_ids
    earlier, journal = Journal(tmp_path / "earlier", "w1"), Journal(tmp_path / "later", "w2")
    earlier.keep_run(ledger, ledger.run(RUN))
    for job_id, broken in ((job_ids[0], b"{"), (job_ids[1], b"\xff")):
        client.hset(run_key(RUN, "prompts"), job_id, broken)
    journal.keep_run(ledger, ledger.run(RUN))
    journal.add(made(job_ids[2]))
    ledger.remove(RUN)
    [found] = recover(ledger, [tmp_path / "later"], tell=quiet)
    assert (found.restored, found.missing, found.unknown) == (1, 2, 0)
    assert ledger.jobs.ids(RUN) == list(job_ids)
    assert ledger.jobs.readable_prompts(RUN, job_ids) == [None, None, PROMPTS[2]]
    ledger.remove(RUN)
    recover(ledger, [tmp_path / "later", tmp_path / "earlier"], tell=quiet)
    assert ledger.jobs.readable_prompts(RUN, job_ids) == PROMPTS


def test_a_line_of_another_run_changes_no_run(ledger: Ledger, tmp_path: Path) -> None:
    """Fails without the comparison of run ids in producer/recover.py: the other run gets the answer."""
    other = SPEC.model_copy(update={"run_id": "other"})
    job_ids = [ledger.create(spec, PROMPTS).job_ids[0] for spec in (SPEC, other)]
    journal = Journal(tmp_path / "journal", "w1")
    journal.keep_run(ledger, ledger.run(RUN))
    line = made(job_ids[1], "planted").model_copy(update={"run_id": "other"})
    (tmp_path / "journal" / RUN / "w1.jsonl").write_text(f"{line.model_dump_json()}\n")
    [found] = recover(ledger, [tmp_path / "journal"], tell=quiet)
    assert (found.restored, found.unknown) == (0, 1)
    assert ledger.jobs.view("other", job_ids[1]).state is JobState.QUEUED


def test_a_run_of_the_same_name_with_other_prompts_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    ledger.create(SPEC, PROMPTS)
    journal = Journal(tmp_path, "one")
    journal.keep_run(ledger, ledger.run(RUN))
    ledger.remove(RUN)
    ledger.create(SPEC, [*PROMPTS, Prompt(prompt="another")])
    with pytest.raises(UsageError, match="another run 'r'"):
        recover(ledger, [tmp_path], tell=quiet)


def test_the_journal_of_an_archived_run_is_known(ledger: Ledger) -> None:
    ledger.create(SPEC, PROMPTS)
    ledger.remove(RUN)
    assert ledger.archived([RUN, "other"]) == [RUN]
    ledger.create(SPEC, PROMPTS)  # submitted again: its journal is needed
    assert ledger.archived([RUN]) == []


def test_the_command_says_what_it_did(ledger: Ledger, redis_url: SecretStr, tmp_path: Path) -> None:
    job_ids = ledger.create(SPEC, PROMPTS).job_ids
    journal = Journal(tmp_path / "journal", "one")
    journal.keep_run(ledger, ledger.run(RUN))
    journal.add(made(job_ids[0]))
    ledger.remove(RUN)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "APPLEJACK_REDIS_URL": redis_url.get_secret_value()}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*APPLEJACK, "recover", "--json", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)

    done = run("--from", str(tmp_path / "journal"))
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout.splitlines()[-1])
    assert (body["run_id"], body["recovered"], body["missing"], body["created"]) == (RUN, 1, 2, True)
    for words in (["--from", str(tmp_path / "nowhere")], ["--from", str(tmp_path / "journal"), "other"]):
        failed = run(*words)
        assert (failed.returncode, len(failed.stdout.splitlines())) == (2, 1), failed.stderr
