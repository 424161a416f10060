"""Runs one stage in a forked process for each JSON request on stdin, with a fault in it; answers with its exit code.

    python -m tests.support.planted.stage_process      (started by tests/support/stage_processes.py)

Everything is imported once, before the first fork. A forked process is a worker without Celery: ledger, leases and
StageRunner are real, and a SIGKILL leaves nothing cleaned up.
"""

import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

from config import logs
from config.ledger import Ledger
from config.settings import Settings
from config.topology import Stage
from tests.support.faults import Fault, plant
from worker.fleet.leases import Leases
from worker.stage_runner import StageRunner

PRELOADED = (
    "worker.curate.pipeline", "worker.curate.replay", "worker.evaluate.checkpoint_choice", "worker.evaluate.unseen",
    "worker.generate.job", "worker.train.trainer", "worker.train.command_trainer", "transformers", "tokenizers",
)  # fmt: skip


def run_stage(request: dict[str, str], fault: Fault | None) -> None:
    """What a forked process does."""
    settings = Settings(dir=Path(request["dir"]), log_format="json")
    logs.configure(settings)
    ledger = Ledger.connect(request["url"])
    leases = Leases(ledger.fleet, lease_seconds=float(request["lease"]))
    if fault:
        plant(fault, settings.dir)
    StageRunner(ledger, leases, settings, f"worker-{os.getpid()}").run(request["run"], Stage(request["stage"]))


def main() -> None:
    """Fork for each request."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an import prints is not an answer
    for module in PRELOADED:
        import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        if (pid := os.fork()) == 0:
            code = 1
            try:
                run_stage(request, Fault(**request.pop("fault")) if request["fault"] else None)
                code = 0
            except BaseException:  # noqa: BLE001 - the exit below would hide it
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


if __name__ == "__main__":
    main()
