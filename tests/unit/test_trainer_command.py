"""Which trainers may run, what they are given, and what is read from them."""

import json
import math
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from config.errors import TrainingError, UsageError
from config.records import Adapter, TrainProgress
from config.settings import Settings
from config.trainer_command import is_allowed, parse_trainer, refusal
from producer.commands.worker_environment import trainer_settings
from worker.train.command_process import command_reports, read_reports

SCRIPT = """
import json, os, sys, time
config = sys.argv[-1]
with open(os.environ["TOLD"], "w") as file:
    json.dump({"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}, file)
"""


def test_a_trainer_is_split_into_words_without_a_shell() -> None:
    assert parse_trainer("command:python 'my trainers/train.py' --fast; rm -rf /") == (
        *("python", "my trainers/train.py"),
        *("--fast;", "rm", "-rf", "/"),  # arguments, which no shell reads
    )


@pytest.mark.parametrize("trainer", ["python train.py", "command:", "command:  ", "command:python 'train.py", ""])
def test_a_trainer_that_is_not_a_command_is_refused_in_one_line(trainer: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_trainer(trainer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        ("command:python train.py", True),
        ("command:python   'train.py'", True),  # the same words
        ("command:python other.py", False),
        ("command:python train.py --and more", False),  # an argument could make it do something else
        ("command:python", False),
    ],
)
def test_only_the_same_words_are_allowed(command: str, allowed: bool) -> None:
    settings = Settings(trainers="sh other.sh ; python train.py;")
    assert settings.allowed_trainers == ("sh other.sh", "python train.py")
    assert is_allowed(parse_trainer(command), settings.allowed_trainers) is allowed
    assert not is_allowed(parse_trainer(command), Settings().allowed_trainers)  # by default none


def test_a_refusal_names_the_trainer_the_allowed_ones_and_the_way_out() -> None:
    text = refusal(("python", "a b.py"), ("sh x.sh",), host="gpu1", run_id="night-1")
    assert text.startswith("gpu1: this worker does not run the trainer \"python 'a b.py'\"; allowed here: 'sh x.sh'.")
    assert "applejack resubmit night-1 --stage train" in text
    assert "\n" not in text


def test_a_worker_passes_the_allowed_trainers_and_where_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = trainer_settings(Settings(), ["python train.py", "sh x.sh"])
    assert found == {"APPLEJACK_TRAINERS": "python train.py;sh x.sh", "APPLEJACK_TRAINER_DIR": str(tmp_path.resolve())}
    assert "APPLEJACK_TRAINERS" not in trainer_settings(Settings(), [])  # the setting of the environment stays
    with pytest.raises(UsageError, match="a command with ';' cannot be allowed"):
        trainer_settings(Settings(), ["python train.py; sh"])


def test_reports_are_read_and_others_ignored() -> None:
    lines = [
        '{"iteration": 3, "train_loss": 1.5, "grad_norm": 2.0}',  # an unknown figure is left out
        '{"iteration": 4, "iterations": 8, "valid_loss": NaN}',
        "epoch 1 of 3",
        '["iteration", 5]',
        '{"train_loss": 1.0}',
    ]
    found = list(read_reports(lines, 10))
    assert found[0] == TrainProgress(iteration=3, iterations=10, train_loss=1.5)
    assert (found[1].iterations, math.isnan(found[1].valid_loss or 0)) == (8, True)
    assert len(found) == 2


def reports(tmp_path: Path, code: str, *, cancelled: bool = False) -> list[TrainProgress]:
    (tmp_path / "train.py").write_text(code)
    found = command_reports(
        (sys.executable, "train.py", "config.json"),
        cwd=tmp_path,
        log_file=tmp_path / "train.log",
        progress=tmp_path / "progress.jsonl",
        iterations=10,
        cancelled=lambda: cancelled and (tmp_path / "started").exists(),
    )
    return list(found)


def test_a_trainer_gets_its_configuration_and_no_settings_of_applejack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLD", str(tmp_path / "told.json"))
    monkeypatch.setenv("APPLEJACK_REDIS_URL", "redis://:secret@host/0")
    monkeypatch.setenv("APPLEJACK_ENDPOINT_KEY", "secret")
    (tmp_path / "progress.jsonl").write_text('{"iteration": 9}\n')  # of an interrupted start: reported then
    assert reports(tmp_path, SCRIPT) == []
    told = json.loads((tmp_path / "told.json").read_text())
    assert (told["arguments"], Path(told["folder"])) == (["config.json"], tmp_path.resolve())
    assert "secret" not in json.dumps(told["environment"])
    assert not [name for name in told["environment"] if name.startswith("APPLEJACK_")]


def test_half_a_line_is_read_when_it_is_whole_and_the_last_lines_after_the_end(tmp_path: Path) -> None:
    code = """
import time
with open("progress.jsonl", "a") as file:
    file.write('{"iteration": 1, "train_')
    file.flush()
    time.sleep(0.5)
    file.write('loss": 2.0}\\n{"iteration": 2}\\n')
"""
    assert [report.iteration for report in reports(tmp_path, code)] == [1, 2]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('CUDA out of memory')", "ended with exit code 1: RuntimeError: CUDA out of memory"),
        ("import os; os.kill(os.getpid(), 9)", "ended with signal 9 .SIGKILL, often because memory ran out"),
    ],
)
def test_a_failing_trainer_is_one_line(tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        reports(tmp_path, code)
    assert "\n" not in str(caught.value)


def test_a_missing_program_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    for program, where in (("no-such-trainer", "PATH of this worker"), ("./train.sh", str(tmp_path))):
        found = command_reports(
            (program, "config.json"),
            cwd=tmp_path,
            log_file=tmp_path / "log",
            progress=tmp_path / "progress.jsonl",
            iterations=1,
            cancelled=lambda: False,
        )
        with pytest.raises(TrainingError, match=where):
            next(found)


def test_a_cancelled_trainer_ends_with_all_its_processes(tmp_path: Path) -> None:
    code = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])  # as a launcher starts its workers
pathlib.Path("pids").write_text(f"{os.getpid()} {child.pid}")
pathlib.Path("started").touch()
time.sleep(100)
"""
    started = time.monotonic()
    with pytest.raises(TrainingError, match="cancelled"):
        reports(tmp_path, code, cancelled=True)
    assert time.monotonic() - started < 15
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert pids[0] != os.getpid()
    alive = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    assert alive == []


def test_an_adapter_of_ours_does_not_store_the_new_fields() -> None:
    adapter = Adapter(
        path="a", student="s", dataset_hash="h", iterations=1, peak_memory_gb=1, tokens_per_second=1, seconds=1
    )
    assert {"trainer", "unservable"}.isdisjoint(json.loads(adapter.model_dump_json()))
