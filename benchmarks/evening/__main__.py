"""One evening on one machine, from the hub to the report, with a process killed in every step:

    applejack demo --dir DEMO && python -m benchmarks.evening --demo DEMO [--jobs 60]

The demo's trained student, fused, is published on a local hub server as the teacher, and the untrained one as the
student. Both are then used by hub id: pull, up --serve, prompts, submit, generation, curation, training, evaluation,
report. In each step one process is killed with SIGKILL: the download, the model server, the generate worker, the curate
worker, the training, the evaluation. Every 0.1 s the model processes are counted. The last line is JSON; the exit code
is 1 if something was lost, a step failed or two model processes ran at once.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from benchmarks.evening.machine import PATIENCE, RUN, STUDENT, TEACHER, Evening, say, wait
from config.process import free_port, start_child
from config.records import JsonObject
from worker.doctor.host_checks import SERVING, TRAINING
from worker.student.cpu_blas.blas import mlx_environment

CATEGORIES = ("where_defined", "constant", "count_matches")  # what the demo's student answers best
HUB_BYTES_PER_SECOND = 60_000_000  # slow enough that a download can be killed halfway
LORA = ("batch_size=2", "learning_rate=2e-4", "num_layers=16", "grad_checkpoint=false", "steps_per_report=5")


def main() -> int:
    """Live through the evening and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True, help="directory of an earlier `applejack demo`")
    parser.add_argument("--jobs", type=int, default=60, help="number of prompts")
    parser.add_argument("--folder", type=Path, help="directory of the evening; default: a temporary one, then removed")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="applejack-evening-"))
    folder.mkdir(parents=True, exist_ok=True)
    publish(options.demo, folder / "hub")
    port = free_port()
    hub = start_child(
        "hub",
        [sys.executable, "-m", "tests.support.hub_server", "--root", str(folder / "hub"), "--port", str(port),
         "--bytes-per-second", str(HUB_BYTES_PER_SECOND)],
        log=folder / "hub.log",
    )  # fmt: skip
    evening = Evening(folder.resolve(), f"http://127.0.0.1:{port}")
    try:
        report = live(evening, options.jobs)
    finally:
        hub.kill()
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(report))
    return 0 if report["ok"] else 1


def publish(demo: Path, hub: Path) -> None:
    """The two models as the hub's files."""
    base = demo / "models" / "smollm2-135m"
    adapter = sorted(demo.glob("runs/demo-*/adapter-v*"))[-1]
    for name in (TEACHER, STUDENT):
        (hub / name).parent.mkdir(parents=True, exist_ok=True)
    if not (hub / STUDENT).exists():
        shutil.copytree(base, hub / STUDENT)
    if not (hub / TEACHER).exists():
        fuse = [sys.executable, "-P", "-m", "mlx_lm", "fuse", "--model", str(base), "--adapter-path", str(adapter)]
        subprocess.run([*fuse, "--save-path", str(hub / TEACHER)], check=True, env={**os.environ, **mlx_environment()})


def live(evening: Evening, jobs: int) -> JsonObject:
    """All steps of the evening, each with its kill."""
    with step(evening, "pull"):
        pull(evening)
    spec = find_spec("celery")
    assert spec is not None
    assert spec.origin is not None
    code = str(Path(spec.origin).parent)
    prompts = str(evening.folder / "prompts.jsonl")
    categories = [word for category in CATEGORIES for word in ("--category", category)]
    evening.run("prompts", code, "--count", str(jobs), "--out", prompts, *categories, "--tools", "grep,count")
    with evening.sampled(), evening.stack():
        wait((evening.data / "stack.json").is_file, "the stack")
        wait(lambda: evening.named(SERVING), "the model server")
        lora = [word for pair in LORA for word in ("--lora", pair)]
        evening.run(
            "submit", prompts, "--run", RUN, "--workspace", code, "--model", TEACHER, "--student", STUDENT,
            "--format", "turns", "--tools", "grep,count", "--max-tokens", "256", *lora,
        )  # fmt: skip
        with step(evening, "generate"):
            until(evening, lambda now: now["generated"] >= jobs // 6, "the first jobs")
            evening.kill("model server", SERVING)
            until(evening, lambda now: now["generated"] >= jobs // 2, "half of the jobs")
            evening.kill("generate worker", frozenset({"generate1@%h"}))
            until(evening, lambda now: now["stage"] != "generate", "the last job")
        with step(evening, "curate"):
            with suppress(AssertionError):
                until(evening, lambda now: now["stages"]["curate"] == "running", "curation", seconds=5)
            evening.kill("curate worker", frozenset({"curate@%h"}))
            until(evening, lambda now: now["stage"] in {"train", "failed"}, "curation")
        with step(evening, "train"):
            wait(lambda: evening.named(TRAINING), "the training")
            time.sleep(20)
            evening.kill("training", TRAINING)
            evening.kill("train worker", frozenset({"train@%h"}))
            until(evening, lambda now: now["stage"] in {"evaluate", "failed"}, "training")
        with step(evening, "evaluate"):
            wait(lambda: evening.named(SERVING), "the evaluation's server")
            evening.kill("train worker in evaluation", frozenset({"train@%h"}))
            until(evening, lambda now: now["stage"] in {"done", "failed"}, "evaluation")
        ended = evening.status()
        report = evening.run("report", RUN) if ended["stage"] == "done" else {}
    whole = ended["generated"] + ended["failed"] == jobs and ended["kept"] + ended["rejected"] == ended["generated"]
    return {
        "ok": ended["stage"] == "done" and whole and not evening.together,
        **{name: ended[name] for name in ("stage", "error", "generated", "failed", "kept", "rejected", "correct")},
        "killed": evening.killed,
        "seconds": evening.seconds,
        "samples": evening.samples,
        "two_model_processes": evening.together,
        "report": report,
    }


def pull(evening: Evening) -> None:
    """Download the teacher; the first attempt is killed halfway."""
    command = evening.command("pull", TEACHER)
    first = start_child("pull", command, log=evening.folder / "pull.log", env=evening.environment, grace=0)
    time.sleep(4)
    first.send(signal.SIGKILL)
    first.wait()
    evening.killed.append("download")
    evening.run("pull", TEACHER)


def until(
    evening: Evening, reached: Callable[[JsonObject], object], what: str, *, seconds: float = PATIENCE
) -> JsonObject:
    """The status once `reached` holds; AssertionError if the run fails first."""

    def look() -> JsonObject | None:
        now = evening.status()
        return now if now and reached(now) else None

    return wait(look, what, seconds=seconds)


@contextmanager
def step(evening: Evening, name: str) -> Iterator[None]:
    """Time one step."""
    started = time.monotonic()
    yield
    evening.seconds[name] = round(time.monotonic() - started, 1)
    say(f"{name}: {evening.seconds[name]} s")


if __name__ == "__main__":
    sys.exit(main())
