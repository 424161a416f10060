"""Worker processes that run one stage each, with a fault where a test wants one."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from config.topology import Stage
from tests.support.faults import Fault
from tests.support.workers import ROOT

MODULE = "tests.support.planted.stage_process"


@dataclass
class StageProcesses:
    """Starts a process for each stage to run. A context manager."""

    log: Path
    url: str

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, run_id: str, stage: Stage, folder: Path, *, fault: Fault | None = None, lease: float = 60.0) -> int:
        """Run a stage with this folder as its worker's directory; returns the exit code, -9 if it was killed."""
        request = {"url": self.url, "dir": str(folder), "run": run_id, "stage": stage.value, "lease": lease}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({**request, "fault": asdict(fault) if fault else None}), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())
