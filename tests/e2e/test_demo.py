"""The demo as a newcomer runs it, small, with a worker killed in mid-run; a real model is trained and asked."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from config.records import Prompt
from config.report.model import Report

ROOT = Path(__file__).resolve().parents[2]
JOBS = 60
SMALL = ("--jobs", str(JOBS), "--iterations", "3", "--questions", "2")  # what the student learns is not the point here


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every process that has the demo's folder in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("APPLEJACK_DIR") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def kill_a_generate_worker(folder: Path) -> bool:
    """SIGKILL, once one has begun to finish jobs; True when it was done."""
    for process in processes_of(folder):
        command = process.cmdline()
        if "generate1@%h" in command and "watchdog.py" not in " ".join(command):
            log = folder / "logs" / "generate1.log"
            if log.exists() and "job.finished" in log.read_text():
                process.send_signal(signal.SIGKILL)
                return True
    return False


@pytest.mark.timeout(900)
def test_the_demo_finishes_with_every_job_accounted_for_though_a_worker_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = subprocess.Popen(
        [sys.executable, "-c", "from producer.cli import main; main()", "demo", "--json", *SMALL],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "APPLEJACK_DIR": str(folder)},
    )
    killed, deadline = False, time.monotonic() + 120
    while not killed and demo.poll() is None and time.monotonic() < deadline:
        killed = kill_a_generate_worker(folder)
        time.sleep(0.1)
    out, err = demo.communicate()
    assert killed, err
    body = json.loads(out.splitlines()[-1])
    assert demo.returncode == 0, err
    assert body["jobs"] == body["generated"] + body["failed"] == JOBS
    assert body["kept"] + body["rejected"] == JOBS
    assert body["failed"] == 0
    assert (Path(body["adapter"]) / "adapters.safetensors").stat().st_size > 0
    report = Report.read(Path(body["report"]))
    assert report.before is not None
    assert report.after is not None
    assert report.before.prompts == report.after.prompts > 0
    assert report.training is not None
    assert report.training.iterations > 0
    assert "generate1 exited (signal 9 (SIGKILL, often because memory ran out))" in err
    with (Path(body["dataset"]) / "held_out.jsonl").open() as lines:
        asked = {Prompt.model_validate_json(line).prompt for line in lines}
    trained = (Path(body["dataset"]) / "train.jsonl").read_text()
    assert asked
    assert not [prompt for prompt in asked if json.dumps(prompt) in trained]
    assert processes_of(folder) == []  # nothing is left running

    status = subprocess.run(
        [sys.executable, "-c", "from producer.cli import main; main()", "status", "--json"],
        capture_output=True, text=True, cwd=tmp_path, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "APPLEJACK_DIR": str(folder)},
    )  # fmt: skip
    told = json.loads(status.stdout.splitlines()[-1])
    assert (told["run_id"], told["stage"], told["generated"]) == (body["run_id"], "done", JOBS)
