"""Commands on a ledger with a finished run: their changes, and their errors."""

import json
import re
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import FailureKind
from config.ledger import Ledger
from config.ledger.jobs import Claim
from config.ledger.stages import StageClaim
from config.prompts import write
from config.records import (
    Failure,
    Message,
    Pin,
    Prompt,
    Provenance,
    Sampling,
    Spec,
    StageState,
    ToolCall,
    Trajectory,
    Verdict,
)
from config.topology import Stage
from producer.cli import main
from producer.mining.mine import mine
from producer.run_status import status
from tests.support.ended_run import ended_run
from tests.support.tiny_student import make_tiny_student

CODE = Path(__file__).resolve().parents[2] / "config"


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    code: int | str | None
    out: str
    err: str


class Applejack:
    """Runs the command in this process, with the test's server and directory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, *arguments: str) -> Result:
        self.monkeypatch.setattr(sys, "argv", ["applejack", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        return Result(ended.value.code, out, err)


@pytest.fixture
def applejack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_url: SecretStr, tmp_path: Path
) -> Applejack:
    monkeypatch.setenv("APPLEJACK_REDIS_URL", redis_url.get_secret_value())
    monkeypatch.chdir(tmp_path)
    return Applejack(monkeypatch, capsys)


def assert_refused(result: Result, text: str) -> None:
    """Assert exit code 2 and one line that contains the text."""
    assert result.code == 2, result
    assert text in result.err
    assert len(result.err.splitlines()) == 1


def test_dry_run_of_a_stage_changes_nothing(applejack: Applejack, ledger: Ledger) -> None:
    ended_run(ledger, "r")
    result = applejack("resubmit", "r", "--stage", "curate", "--dry-run", "--json")
    body = json.loads(result.out)
    assert (body["dry_run"], body["stages"], body["resubmitted"]) == (True, ["curate"], 0)
    assert ledger.stages.view("r", Stage.CURATE).state is StageState.DONE
    body = json.loads(applejack("resubmit", "r", "--stage", "curate", "--json").out)
    assert body["dry_run"] is False
    assert ledger.stages.view("r", Stage.CURATE).state is StageState.READY


@pytest.mark.parametrize(
    "more",
    [
        ("--all",),
        ("--kind", "timeout"),
        ("--reason", "duplicate"),
        ("--job", "1"),
        ("--worker", "mac1"),
        ("--train",),  # later stages run anyway
        ("--all", "--dry-run"),  # a dry run fails in the same way
    ],
)
def test_stage_cannot_be_combined_with_job_options(applejack: Applejack, ledger: Ledger, more: tuple[str, ...]) -> None:
    ended_run(ledger, "r")
    assert_refused(applejack("resubmit", "r", "--stage", "curate", *more), "--stage runs no jobs")
    assert ledger.stages.view("r", Stage.CURATE).state is StageState.DONE
    assert ledger.run("r").version == 2  # set by ended_run


def test_an_unfinished_stage_cannot_run_again(applejack: Applejack, ledger: Ledger) -> None:
    ended_run(ledger, "r")
    assert_refused(applejack("resubmit", "r", "--stage", "train", "--dry-run"), "'train' of run 'r' is skipped")


def test_resubmit_without_matching_jobs_prints_one_line(applejack: Applejack, ledger: Ledger) -> None:
    ended_run(ledger, "r")
    assert applejack("resubmit", "r").out == "0 jobs would run again; nothing was changed\n"


def run_with_failures(ledger: Ledger) -> None:
    """A run of 12 categories; all jobs of two of them and one of a third have failed."""
    prompts = [Prompt(prompt=f"q{n}", category=f"category_number_{n % 12}") for n in range(120)]
    ids = ledger.create(Spec(run_id="night-2026-11-26", train=False), prompts).job_ids
    for number, job_id in enumerate(ids):
        kind = FailureKind.ENDPOINT_UNREACHABLE if number % 12 == 3 else FailureKind.TIMEOUT
        lost = Failure(kind=kind, message="m") if number % 12 in {3, 7} or number == 1 else None
        claim = ledger.jobs.begin("night-2026-11-26", job_id, worker="w", lease_seconds=9, delivery_limit=3)
        assert isinstance(claim, Claim)
        ended = Trajectory(
            run_id="night-2026-11-26",
            job_id=job_id,
            prompt="q",
            outcome="failed" if lost else "completed",
            failure=lost,
        )
        ledger.jobs.finish(ended, worker="w", token=claim.token)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_resubmit_ends_with_the_answer_after_a_few_lines(applejack: Applejack, ledger: Ledger, columns: int) -> None:
    run_with_failures(ledger)
    applejack.monkeypatch.setenv("COLUMNS", str(columns))
    text = applejack("resubmit", "night-2026-11-26", "--dry-run").out
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines) <= 9
    assert lines[0] == "causes: 11 timeout, 10 endpoint_unreachable"
    assert "category_number_3: 48% of these jobs, 8% of the run" in lines
    assert "21 jobs would run again; nothing was changed" in " ".join(lines[-2:])
    body = json.loads(applejack("resubmit", "night-2026-11-26", "--kind", "timeout", "--dry-run", "--json").out)
    assert (body["resubmitted"], len(body["mix"])) == (11, 12)
    queued = applejack("resubmit", "night-2026-11-26", "--kind", "timeout")
    answer = "11 jobs of night-2026-11-26 queued again; follow with `applejack status night-2026-11-26 --watch`"
    assert " ".join(queued.out.split()).endswith(answer)


def store_dataset(ledger: Ledger, folder: Path, **texts: str) -> None:
    """Store a dataset of the run "r" in the ledger."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.jsonl").write_text(text)
    ledger.files.put("r", "dataset", folder)


def test_fetch_replaces_its_earlier_files(applejack: Applejack, ledger: Ledger, tmp_path: Path) -> None:
    ended_run(ledger, "r")
    store_dataset(ledger, tmp_path / "source", train="one")
    assert applejack("fetch", "r", "--out", "out").code == 0
    store_dataset(ledger, tmp_path / "source", train="two", valid="new")
    assert applejack("fetch", "r", "--out", "out").code == 0
    assert (tmp_path / "out" / "dataset" / "train.jsonl").read_text() == "two"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dataset/notes.txt", "mine"),  # a file that is not in the run
        ("dataset/deep/train.jsonl", "one"),  # the same name in another directory
        ("dataset/train.jsonl", "mine"),  # the user's own dataset
        ("dataset", "mine"),  # a file in place of the directory
    ],
)
@pytest.mark.parametrize("before", [False, True], ids=["first", "again"])
def test_fetch_does_not_overwrite_the_users_files(
    applejack: Applejack, ledger: Ledger, tmp_path: Path, name: str, text: str, before: bool
) -> None:
    ended_run(ledger, "r")
    store_dataset(ledger, tmp_path / "source", train="one")
    if before and name != "dataset":
        applejack("fetch", "r", "--out", "out")
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir(parents=True, exist_ok=True)
    foreign.write_text(text)
    assert_refused(applejack("fetch", "r", "--out", "out"), "choose another --out. Nothing was changed")
    assert foreign.read_text() == text


def test_fetch_keeps_other_files_in_the_directory(applejack: Applejack, ledger: Ledger, tmp_path: Path) -> None:
    ended_run(ledger, "r")
    store_dataset(ledger, tmp_path / "source", train="one")
    (tmp_path / "notes.txt").write_text("mine")
    assert applejack("fetch", "r", "--out", ".").code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("command", ["fetch", "archive"])
@pytest.mark.parametrize("place", ["file/out", "/proc/nowhere/out"])
def test_error_for_an_unwritable_directory_is_one_line(
    applejack: Applejack, ledger: Ledger, tmp_path: Path, command: str, place: str
) -> None:
    ended_run(ledger, "r")
    store_dataset(ledger, tmp_path / "source", train="one")
    (tmp_path / "file").write_text("mine")
    assert_refused(applejack(command, "r", "--out", place), f"{place!r} cannot be written")
    assert ledger.run_ids() == ["r"]


def test_error_for_fetch_into_a_file_is_one_line(applejack: Applejack, ledger: Ledger, tmp_path: Path) -> None:
    ended_run(ledger, "r")
    store_dataset(ledger, tmp_path / "source", train="one")
    (tmp_path / "file").write_text("mine")
    assert_refused(applejack("fetch", "r", "--out", "file"), "'file' cannot be written: Not a directory")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_server_that_is_not_redis_times_out_quickly(applejack: Applejack, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # like an HTTP server that waits for the rest of the request
        monkeypatch.setenv("APPLEJACK_REDIS_URL", f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        started = time.monotonic()
        result = applejack("status")
        assert time.monotonic() - started < 8
    assert result.code == 1
    assert re.fullmatch(
        r"applejack: Redis is unavailable: Timeout .*; start it, or check APPLEJACK_REDIS_URL\n", result.err
    )


@pytest.mark.parametrize("command", ["up", "demo"])
@pytest.mark.parametrize("folder", ["file", "file/deep", "/proc/nowhere"])
def test_error_for_a_stack_in_an_unwritable_directory_is_one_line(
    applejack: Applejack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, folder: str
) -> None:
    monkeypatch.delenv("APPLEJACK_REDIS_URL")
    (tmp_path / "file").write_text("mine")
    assert_refused(applejack(command, "--dir", folder), " cannot be written: ")
    assert (tmp_path / "file").read_text() == "mine"


def create_half_finished_run(ledger: Ledger) -> None:
    """Create a run with one finished job of two."""
    ids = ledger.create(Spec(run_id="r", train=False), [Prompt(prompt="q1"), Prompt(prompt="q2")]).job_ids
    ledger.jobs.begin("r", ids[0], worker="w", lease_seconds=9, delivery_limit=3)
    ledger.jobs.finish(Trajectory(run_id="r", job_id=ids[0], prompt="q1", outcome="completed"), worker="w")


def test_status_reports_a_missing_worker(applejack: Applejack, ledger: Ledger) -> None:
    create_half_finished_run(ledger)
    result = applejack("status", "r").out
    assert "r waits: no generate worker is alive. 1 of 2 jobs done." in result
    assert "start a worker on this machine: `applejack worker generate`" in result
    assert "a minute" not in result
    assert "left" not in result
    body = json.loads(applejack("status", "r", "--json").out)
    assert (body["missing_role"], body["eta_seconds"]) == ("generate", None)


def test_status_shows_rate_and_time_left_while_a_worker_is_alive(applejack: Applejack, ledger: Ledger) -> None:
    create_half_finished_run(ledger)
    ledger.fleet.heartbeat("w", {"queues": ["generate"]})
    result = applejack("status", "r").out
    assert re.match(r"r is generating: 1 of 2 jobs done, [\d.]+ a minute, less than a minute left\.\n", result)
    assert "alive" not in result


def test_status_lists_other_runs_with_their_states(applejack: Applejack, ledger: Ledger) -> None:
    create_half_finished_run(ledger)
    ended_run(ledger, "r2")
    lines = applejack("status").out.splitlines()
    assert lines[0].startswith("r2 has ended: 3 of 3 jobs kept")
    assert lines[-2:] == ["other runs", "  r  generating  1 of 2 jobs done"]
    body = json.loads(applejack("status", "--json").out)
    assert (body["run_id"], body["runs"]) == ("r2", ["r2", "r"])
    assert body["others"] == [{"run_id": "r", "state": "generating"}]
    assert "other runs" not in applejack("status", "r2").out


CONTRACT = (
    "run_id", "queued", "running", "generated", "failed", "cancelled", "kept", "rejected", "correct", "stage",
    "workers",
)  # fmt: skip
EARLIER = (
    "total", "truncated", "lost_calls", "kinds", "error", "rate", "eta_seconds", "missing_role", "control", "version",
    "created", "training", "adapters", "stages", "by_worker", "devices",
)  # fmt: skip
NEW = ("state", "headline", "problems", "failures", "rejections", "next", "reasons", "losses", "evaluation", "now")


def test_status_as_json_has_all_keys(applejack: Applejack, ledger: Ledger) -> None:
    create_half_finished_run(ledger)
    ledger.fleet.heartbeat("w", {"queues": ["generate"], "paused": "no disk"})
    body = json.loads(applejack("status", "r", "--json").out)
    assert set(body) == {*CONTRACT, *EARLIER, *NEW}
    assert (body["state"], body["workers"][0]["paused"]) == ("generating", "no disk")
    assert body["problems"] == [
        {
            "text": "1 worker paused: no disk (docs/troubleshooting.md#a-worker-is-paused)",
            "workers": ["w"],
            "commands": [],
        }
    ]
    assert body["headline"] == "r stands still: its only generate worker is paused. 1 of 2 jobs done."


def test_the_status_of_a_running_run_reads_its_recent_rates_only(applejack: Applejack, ledger: Ledger) -> None:
    """A night has thousands of them, and reading all took half a second."""
    create_half_finished_run(ledger)
    ledger.fleet.heartbeat("w", {"queues": ["generate"]})
    everything, by_worker = ledger.counters("r")
    [ten] = everything
    assert ledger.counters("r", tens=[ten - 1, ten, ten + 1]) == ({ten: 1}, by_worker)
    assert ledger.counters("r", tens=[ten + 1]) == ({}, by_worker)
    asked = []
    real = ledger.counters
    applejack.monkeypatch.setattr(ledger, "counters", lambda run, tens=None: asked.append(tens) or real(run, tens=tens))
    seen = status(ledger, "r")
    assert seen.rate > 0
    assert [len(tens) for tens in asked if tens is not None] == [13]


def test_a_watched_run_that_is_cancelled_ends_the_view_with_code_1(applejack: Applejack, ledger: Ledger) -> None:
    create_half_finished_run(ledger)
    assert applejack("status", "r").code == 0
    ledger.controls.cancel("r")
    result = applejack("status", "r", "--watch", "--json")
    assert (result.code, json.loads(result.out)["state"]) == (1, "cancelled")
    assert "r is cancelled: 1 of 2 jobs generated, 1 cancelled; " in result.err
    assert "run its 1 cancelled job and go on: `applejack resume r`" in result.err
    assert applejack("status", "r").code == 0


def test_rejections_by_reason_come_from_curation(applejack: Applejack, ledger: Ledger) -> None:
    ended_run(ledger, "r")
    assert ledger.stages.reopen("r", Stage.CURATE) == "ready"
    claim = ledger.stages.begin("r", Stage.CURATE, worker="w", lease_seconds=9)
    assert isinstance(claim, StageClaim)
    reasons = {"wrong_answer": 2, "failed_generation": 1}
    ledger.stages.finish(claim, result={"kept": 1, "rejected": 2, "reasons": {**reasons}})
    body = json.loads(applejack("status", "r", "--json").out)
    assert (body["kept"], body["rejected"], body["reasons"]) == (
        1,
        2,
        {"wrong_answer": 2},
    )  # failures are counted by kind
    command = "applejack resubmit r --reason wrong_answer"
    assert body["rejections"] == [{"name": "wrong_answer", "count": 2, "command": command}]
    assert f"  2  wrong_answer  {command}\n" in applejack("status", "r").out


def test_a_long_unknown_run_id_is_truncated(applejack: Applejack) -> None:
    assert_refused(applejack("why", "x" * 500, "1"), f"there is no run '{'x' * 80}...'")


def test_why_prints_messages_and_provenance(applejack: Applejack, ledger: Ledger) -> None:
    [job_id] = ledger.create(Spec(run_id="r", train=False), [Prompt(prompt="q")]).job_ids
    ledger.jobs.begin("r", job_id, worker="w", lease_seconds=9, delivery_limit=3)
    call = ToolCall(id="c1", name="grep", arguments={"pattern": "[a]", "deep": True})
    messages = (Message(role="user", content="q"), Message(role="assistant", content="", tool_calls=(call,)))
    origin = Provenance(
        teacher="t", endpoint="http://h/v1", sampling=Sampling(), worker="w", applejack_version="1",
        toolset_digest="d", workspace=Pin(origin="/code", commit="abc"),
    )  # fmt: skip
    ledger.jobs.finish(
        Trajectory(run_id="r", job_id=job_id, prompt="q", outcome="completed", messages=messages, provenance=origin),
        worker="w",
    )
    lines = applejack("why", "r", "1").out.splitlines()
    assert lines[-3:] == [
        "  user: q",
        '  call c1: grep({"pattern": "[a]", "deep": true})',
        "  from t at http://h/v1, temperature 0.7, top_p 0.8, code /code at abc, by w, applejack 1, tools d",
    ]


ROWS = [
    # rows of the job, how people read them
    ((12, 13, 14), "kept: train.jsonl rows 12-14"),
    ((3, 7, 8, 20), "kept: train.jsonl rows 3, 7-8, 20"),
    ((5,), "kept: train.jsonl row 5"),
    ((), "kept"),  # a verdict written before it named rows
]


@pytest.mark.parametrize(("rows", "text"), ROWS)
def test_why_names_the_rows_of_a_kept_job(
    rows: tuple[int, ...], text: str, applejack: Applejack, ledger: Ledger
) -> None:
    job_id, *_ = ended_run(ledger, "r")
    ledger.set_verdicts("r", [Verdict(job_id=job_id, split="train" if rows else None, rows=rows)])
    assert applejack("why", "r", "1").out.splitlines()[-1] == text
    body = json.loads(applejack("why", "r", "1", "--json").out)
    assert body["rows"] == [{"split": "train", "file": "train.jsonl", "row": row} for row in rows]


def test_archive_reports_whether_the_run_is_still_in_the_ledger(applejack: Applejack, ledger: Ledger) -> None:
    ended_run(ledger, "r")
    assert json.loads(applejack("archive", "r", "--out", "a", "--keep", "--json").out)["left_in_ledger"] is True
    assert json.loads(applejack("archive", "r", "--out", "b", "--json").out)["left_in_ledger"] is False


def test_submit_stores_how_base_and_adapter_are_evaluated(applejack: Applejack, ledger: Ledger) -> None:
    Path("p.jsonl").write_text('{"prompt": "a", "requires_tools": false}\n')
    submit = ("submit", "p.jsonl", "--format", "seed-text", "--no-train", "--teacher", "scripted", "--force")
    sizes = ("--evaluate-prompts", "200", "--evaluate-tokens", "512")
    assert applejack(*submit, "--run", "r", *sizes, "--evaluate-samples", "3", "--evaluate-concurrency", "8").code == 0
    assert applejack(*submit, "--run", "plain").code == 0
    spec, plain = ledger.run("r").spec, ledger.run("plain").spec
    assert (spec.evaluate_prompts, spec.evaluate_samples, spec.evaluate_concurrency) == (200, 3, 8)
    assert spec.evaluate_limits == plain.evaluate_limits.model_copy(update={"max_tokens": 512})
    assert plain == plain.model_copy(
        update=Spec(run_id="plain").model_dump(include={"evaluate_prompts", "evaluate_samples"})
    )


def test_submit_stores_questions_about_a_package_that_is_not_the_runs(
    applejack: Applejack, ledger: Ledger, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    write(mine([CODE], count=12, seed=1, categories=("constant", "where_defined")), prompts)
    student = ("--student", str(make_tiny_student(tmp_path / "student")))
    arguments = ("submit", str(prompts), "--workspace", str(CODE), "--teacher", "scripted", "--force", *student)
    result = applejack(*arguments, "--run", "asks", "--unseen", "6")
    assert "the evaluation also asks 6 questions about package:kombu@" in result.out
    ledger.files.get("asks", "unseen", tmp_path / "unseen")
    first = (tmp_path / "unseen" / "unseen.jsonl").read_bytes()
    assert len(first.splitlines()) == 6

    again = applejack(*arguments, "--run", "asks", "--unseen", "3")  # the run goes on with its own questions
    assert again.code == 0
    assert "the evaluation also asks" not in again.out
    ledger.files.get("asks", "unseen", tmp_path / "again")
    assert (tmp_path / "again" / "unseen.jsonl").read_bytes() == first

    assert applejack(*arguments, "--run", "asks-none", "--unseen", "0").code == 0
    assert not ledger.files.has("asks-none", "unseen")
